#ifndef WORKER_CELL_H
#define WORKER_CELL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/thread.h"
#include "worker/cgroup.h"
#include "worker/isolation.h"
#include "worker/spawn.h"

/*
 * A cell: the place that one process of a handler gets, for exec and command
 * that of one run. It is opened before the process is started and closed when
 * the process and its group are gone. Most handlers ask for nothing, and then
 * it costs nothing.
 *
 *     cell_open → env_make(h->carry, cell_tmp, …), cell_equip → spawn_start
 *     … reap → cell_close
 */
struct cell {
    const struct isolation *iso; /* borrowed; NULL: nothing was asked for */
    struct spawn_setup setup;
    char *tmp;            /* owned: its private directory, or NULL */
    int tmp_fd;           /* owned: holds its lock */
    struct cgroup cgroup; /* its path NULL: none */
};

/*
 * iso may be NULL. ERR_SYSTEM with a text that names the key and why it cannot
 * be had now; then nothing is left, and cell_close does nothing.
 */
int cell_open(struct cell *c, struct isolation *iso,
              struct errbuf *eb) MAY_BLOCK;

/* TMPDIR for env_make: lent until cell_close, or NULL. */
const char *cell_tmp(const struct cell *c);

/*
 * Sets dir and setup of s, and lets its user open the pipes among its
 * descriptors by their names, /dev/stderr. c must outlive s.
 */
void cell_equip(const struct cell *c, struct spawn *s);

/*
 * A program's path as spawn_find wrote it begins in our directory and is to be
 * found from another one: makes it absolute if need be.
 */
int cell_path(const struct cell *c, char *path, size_t size);

/* Kills what is left in its cgroup, and removes all that it left. */
void cell_close(struct cell *c) MAY_BLOCK;

#endif
