#ifndef WORKER_HOST_H
#define WORKER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Which host and process this is, so that another worker of the same host can
 * see that this one has died without waiting for its lease (proc(5)).
 *
 * BELT_HOST overrides the host name, for containers that share a kernel but
 * have random names, and for tests.
 */
struct host {
    char name[65]; /* a valid name: other characters become '-' */
    char boot_id[40];
    int64_t pid_ns; /* inode of the pid namespace, 0 if unknown */
    pid_t pid;
    int64_t start; /* of the process, clock ticks since boot */
};

void host_self(struct host *ret);

/* A zombie is gone; hidden: it may run, but we cannot see it. */
enum host_process { HOST_PROCESS_RUNS, HOST_PROCESS_GONE, HOST_PROCESS_HIDDEN };

/* ret_start, ticks since boot, is set if it runs. */
enum host_process host_process_look(pid_t pid, int64_t *ret_start);

/*
 * Writes the description of a lane, a JSON object of this host's members,
 * threads, worker, and the id that was bound before ("" for none).
 */
void host_describe(const struct host *h, unsigned threads, const char *worker,
                   const char *was, char *out, size_t size);

/*
 * Whether a description is of a process of this very host, boot and pid
 * namespace; and whether that process has ended. False when in doubt.
 */
bool host_is_neighbour(const struct host *h, const char *description,
                       size_t len);
bool host_is_gone(const struct host *h, const char *description, size_t len);

#endif
