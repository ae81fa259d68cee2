#ifndef WORKER_GUARD_H
#define WORKER_GUARD_H

#include <sys/types.h>

#include "common/base/err.h"

/*
 * The guard: a tiny process, forked before any thread exists, that kills what
 * handlers left behind when the worker itself dies without a chance to.
 *
 * PR_SET_PDEATHSIG reaches a handler's first process only. The guard holds
 * the other end of a pipe, learns of every process group that starts and
 * ends, and on the end of the pipe sends KILL to the groups that are left.
 */

/* Before any thread is started; once per process. */
int guard_start(struct errbuf *eb);

/* Tells it that a group is alive, or gone. Any thread; never blocks long. */
void guard_add(pid_t pgid);
void guard_remove(pid_t pgid);

/* Ends it in peace and waits for it. */
void guard_stop(void);

#endif
