#ifndef PRODUCER_CANCEL_H
#define PRODUCER_CANCEL_H

#include <stdbool.h>
#include <stddef.h>

#include "producer/client.h"
#include "producer/job_name.h"
#include "producer/kept.h"

/*
 * Cancelling jobs of which the ids are known. First the ids are marked: from
 * then on no lane that fetches such a job runs it, and the lane that has it
 * stops it. Then jobs that wait for their time or a retry are looked for, and
 * taken out at once. In this order nothing slips through while it moves; where
 * the look misses a job, its mark waits for it. Main thread.
 */
enum cancel_outcome {
    MARKED,    /* it is ready or runs, and will be cancelled */
    CANCELLED, /* it is */
    ENDED,     /* it had ended before, or in another way */
    OVER,      /* it has ended; how is not kept */
    NOT_FOUND
};

struct cancel_entry {
    struct job_name name;
    enum cancel_outcome outcome;
    struct kept kept; /* as it was asked for last */
    bool marked;      /* its mark is there still */
    int misses;       /* looks at all places that did not find it */
};

struct cancel {
    const char *ns;           /* borrowed */
    struct client *client;    /* borrowed */
    struct cancel_entry *all; /* owned */
    size_t count, cap;
};

/* How many of c->all, from this one on, are asked for at once. */
size_t cancel_chunk(const struct cancel *c, size_t from);

/*
 * Marks all, and looks for them. Like those below it returns 0, or the status
 * of an error that was told.
 */
int cancel_run(struct cancel *c);

/* Looks for a job that is marked, and ends it where it can be ended here. */
int cancel_look(struct cancel *c, struct cancel_entry *e, unsigned places);

/* Sees what its mark, which may have gone, and its news say. */
int cancel_conclude(struct cancel *c, struct cancel_entry *e);

/* Takes a mark back that will find no job. */
int cancel_unmark(struct cancel *c, struct cancel_entry *e);

#endif
