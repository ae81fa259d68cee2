#ifndef PRODUCER_BOUNDS_H
#define PRODUCER_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/keys.h"
#include "common/redis/queue_bounds.h"
#include "producer/client.h"

/*
 * The bounds of a queue as they lie in its config. One thread at a time, that
 * of the client.
 */
struct bounds {
    /* What holds, in the order of queue_bounds; QUEUE_BOUND_NONE: no bound. */
    int64_t values[QUEUE_BOUNDS];
    bool set[QUEUE_BOUNDS]; /* config says so; else it is what is usual */
};

/*
 * Writes what is wanted, of which QUEUE_BOUND_UNSAID stays as it is and
 * QUEUE_BOUND_NONE is taken away (NULL: nothing is wanted), and reads what
 * there is then. Returns 0, or the status of a failure that was told.
 */
int bounds_set(struct client *c, const struct keys *k, const int64_t *wanted,
               struct bounds *ret);

#endif
