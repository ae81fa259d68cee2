#ifndef PRODUCER_SERVING_H
#define PRODUCER_SERVING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/keys.h"
#include "producer/client.h"

/*
 * Who serves a queue, as far as a job is concerned: the lanes that hold a
 * lease, and what their workers tell about themselves every 20 s (fleet.c).
 * What a worker does not tell is not held against it. Main thread.
 */
#define SERVING_LANES_MAX 1000

struct serving {
    int64_t lanes;   /* leases, of SERVING_LANES_MAX at most */
    int64_t live;    /* of those: not run out */
    int64_t able;    /* of those: with a handler for the type */
    int64_t awake;   /* of those: that fetch */
    int64_t full;    /* of those: all threads are busy */
    int64_t threads; /* of the awake ones */

    char host[256];   /* of the lane that holds the job; "": unknown */
    int64_t since_ms; /* since when it runs there; 0: not told */
    int64_t term_ms;  /* of the leases of that worker; 0: not told */
};

/*
 * type "" matches every handler; lane: that holds the job, "" if none does.
 * Returns 0, or the exit status of an error that was told.
 */
int serving_ask(struct client *c, const struct keys *keys, const char *type,
                const char *id, const char *lane, int64_t now_ms,
                struct serving *ret);

/* The id of a lane's worker: all before the last dot. Returns out. */
const char *lane_worker(const char *lane, char out[192]);

#endif
