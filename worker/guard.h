#ifndef WORKER_GUARD_H
#define WORKER_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/err.h"

/*
 * The guard: a tiny process, forked before any thread exists, that kills what
 * handlers left behind when the worker itself dies without a chance to.
 *
 * PR_SET_PDEATHSIG reaches a handler's first process only. The guard shares a
 * table of the living process groups with the worker and holds the other end of
 * a pipe: at the end of the pipe it sends KILL to the groups in the table.
 */

/*
 * Before any thread is started; once per process. most: groups that live at a
 * time. ERR_SYSTEM with a text that says what failed.
 */
int guard_start(unsigned most, struct errbuf *eb);

/* Notes that a group lives, or is gone. Any thread; never blocks. */
void guard_add(pid_t pgid);
void guard_remove(pid_t pgid);
bool guard_has(pid_t pgid); /* whether it is noted as living */

/* Ends it in peace and waits for it. */
void guard_stop(void);

#endif
