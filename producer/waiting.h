#ifndef PRODUCER_WAITING_H
#define PRODUCER_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/thread.h"
#include "producer/client.h"
#include "producer/job_name.h"
#include "producer/kept.h"

/*
 * Waiting for the ends of kept jobs without asking again and again: first
 * subscribed to their channels, then their hashes are read, then what is
 * published makes us read again. Both connections are made again when they are
 * lost. The
 * client is told of losses and of how the waiting ended. One thread at a time.
 */
#define WAITING_MAX 10000 /* jobs */

struct waiting;

struct waiting_events {
    /* Job i has ended, as k says, lent. False ends the waiting with 74. */
    bool (*on_end)(void *arg, size_t i, const struct kept *k);
    /* Job i is not kept; seen: not any longer. */
    void (*on_absent)(void *arg, size_t i, bool seen);
    /* Unless NULL the channels of their logs are subscribed to as well: this
     * was published on that of job i, or, text NULL, some may have been missed
     * (and there may be some at the start). */
    void (*on_log)(void *arg, size_t i, const char *text, size_t len);
    void *arg;
};

/*
 * Subscribes to the ends of these jobs, all of which have a queue, and turns
 * the loop until that is done, or not allowed. The client, borrowed, lasts
 * from now on until waiting_free. timeout_ms (0: none) begins here. Returns 0
 * with it, owned, in *ret, or a status that was told.
 */
int waiting_new(struct client *client, const char *ns,
                const struct job_name *names, size_t n, int64_t timeout_ms,
                const struct waiting_events *events, struct waiting **ret);

/* Their hashes may not be there yet, but will be. */
void waiting_expect(struct waiting *w);

/*
 * Waits until all jobs, or with any the first of them, have ended. Returns the
 * status: the job's own if it was one that we waited for; 0 if all of several
 * are done, else 1, as for a job that is not kept; WAITING_TIMED_OUT when the
 * time to wait is over.
 */
#define WAITING_TIMED_OUT 124
int waiting_run(struct waiting *w, bool any);

/* Ends the waiting from one of the events, with this status. */
void waiting_stop(struct waiting *w, int status);

void waiting_free(struct waiting *w); /* NULL is a no-op */

#endif
