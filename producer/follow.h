#ifndef PRODUCER_FOLLOW_H
#define PRODUCER_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "producer/client.h"
#include "producer/job_name.h"
#include "producer/kept.h"
#include "producer/log_line.h"

/*
 * The log of a kept job: what is there, or line by line as it comes until the
 * job has ended. What fell out of it before we could read it is counted.
 * Connections that are lost are made again, as by waiting.h, on which this is
 * built. One thread at a time.
 */
enum { FOLLOW_ALL = 1000 }; /* lines that a log has at most */

struct follow_events {
    /* The next line, lent. False ends it with 74. */
    bool (*on_line)(void *arg, const struct log_line *line);
    /* Between the last line and the next there were n more. NULL: never mind.
     */
    void (*on_missing)(void *arg, int64_t n);
    /* The job has ended, as k says, lent, and all lines were told. May be NULL.
     */
    void (*on_end)(void *arg, const struct kept *k);
    /* It is not kept; seen: not any longer. */
    void (*on_absent)(void *arg, bool seen);
    void *arg;
};

/*
 * Reads the last lines (at most FOLLOW_ALL) of what is there. Returns 0, or the
 * status of a failure that was told; 1 if the job is not kept.
 */
int follow_read(struct client *client, const char *ns,
                const struct job_name *name, int64_t lines,
                const struct follow_events *events);

struct follow;

/*
 * Subscribes, and turns the loop until that is done: from then on no line is
 * missed. The first are the last lines of what is there then. The client,
 * borrowed, lasts from now on until follow_free; name has a queue. timeout_ms
 * (0: none) begins here. Returns 0 with it, owned, in *ret, or a status that
 * was told.
 */
int follow_new(struct client *client, const char *ns,
               const struct job_name *name, int64_t lines, int64_t timeout_ms,
               const struct follow_events *events, struct follow **ret);

/* The job may not be there yet, but will be: it is about to be pushed. */
void follow_expect(struct follow *f);

/*
 * Tells lines until the job has ended. Returns its own status, as waiting_run:
 * its exit code, 1 if it is not kept, WAITING_TIMED_OUT.
 */
int follow_run(struct follow *f);

void follow_free(struct follow *f); /* NULL is a no-op */

#endif
