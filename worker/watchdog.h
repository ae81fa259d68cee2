#ifndef WORKER_WATCHDOG_H
#define WORKER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/thread.h"

/*
 * Watchdog: what the service manager is told of this worker (notify.h), and
 * whether it makes progress.
 *
 *     READY=1      each lane is bound to its queue; or, so that a start does
 *                  not wait for a Redis that is away, READY_MS have passed
 *     STATUS=      "3 of 16 busy; emails, images", when it has changed
 *     RELOADING=1  a configuration is read; READY=1 when that has ended
 *     STOPPING=1   it ends, with EXTEND_TIMEOUT_USEC for as long as it takes;
 *                  not when it is about to be run anew by itself
 *     WATCHDOG=1   a timer of the loop, so that it turns is the proof; not
 *                  while progress is lacking
 *
 * Progress is lacking when, for two of the manager's limits (without one: a
 * minute) and at least a lease, some lane is bound, not paused and was told by
 * each renewal that jobs wait, there is room for one, and no job came, none was
 * settled, and Redis refused nothing. That Redis is away, or that all threads
 * are in long jobs, is no lack.
 */
struct agent;
struct watchdog;

/* Begins; a->base is there. Returns owned. */
struct watchdog *watchdog_start(struct agent *a) ON_LOOP;

/* Ends it, when the loop has. NULL is a no-op, here and below. */
void watchdog_end(struct watchdog *w) ON_LOOP;

/* Looks at once: something has changed. Also to be called once a tick. */
void watchdog_look(struct watchdog *w) ON_LOOP;

/* A configuration is being read, and has been, well or not. */
void watchdog_reloading(struct watchdog *w) ON_LOOP;
void watchdog_reloaded(struct watchdog *w) ON_LOOP;

/* The queue that waits though progress is lacking; NULL: none is. Lent. */
const char *watchdog_lacks(const struct watchdog *w) ON_LOOP;

/*
 * What is seen of progress: moved is any number that changes with it. Start
 * with {0}.
 */
struct stall {
    uint64_t moved;
    int64_t since_ms; /* it has been expected since; 0: it is not */
};

/* Takes note of a look; returns whether it lacked for as long as limit_ms. */
bool stall_lasts(struct stall *p, bool expected, uint64_t moved, int64_t now_ms,
                 int64_t limit_ms);

#endif
