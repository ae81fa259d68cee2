#ifndef WORKER_CGROUP_H
#define WORKER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/thread.h"
#include "worker/isolation.h"

/*
 * A cgroup (version 2) of one run, a child of the directory that the handler's
 * key names. Everything that the run starts is in it and ends with it, even
 * what left the process group. A lock on its directory says that its worker
 * lives: what a killed worker left is removed by the next one that makes a
 * cgroup beside it. Any thread.
 */
struct cgroup {
    char *path;    /* owned; NULL: there is none */
    int fd, procs; /* owned: its directory, its cgroup.procs */
};

/*
 * Makes it and sets its limits. ERR_SYSTEM with a text that begins with the
 * key which cannot be, and then nothing is left.
 */
int cgroup_open(struct cgroup *cg, const struct isolation *iso,
                struct errbuf *eb) MAY_BLOCK;

/* Writes the limits into the files of the directory fd. */
int cgroup_limit(int fd, const struct isolation *iso,
                 struct errbuf *eb) MAY_BLOCK;

/* CPU time of all that ran in it, in µs; -1: not known. */
int64_t cgroup_cpu_us(const struct cgroup *cg);

/* Whether the kernel killed one of it for want of memory. */
bool cgroup_oom(const struct cgroup *cg);

/* Kills what is in it and removes it; what cannot be is logged. */
void cgroup_close(struct cgroup *cg) MAY_BLOCK;

/* Removes what killed workers left beside it. */
void cgroup_sweep(const char *parent) MAY_BLOCK;

#endif
