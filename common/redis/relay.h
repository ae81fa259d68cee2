#ifndef COMMON_REDIS_RELAY_H
#define COMMON_REDIS_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/queue.h"

/*
 * Empties the outbox of a queue: brings each envelope to the queue that its
 * member "queue" names (docs/PROTOCOL.md, "Outbox").
 *
 * Each is pushed once, though several relays may work at one outbox, and each
 * may end between any two steps: it is taken out behind the push only, and a
 * push of the same bytes is not repeated within a day. Those for one queue keep
 * their order, unless Redis refuses some of them. What cannot be delivered now
 * stays; what never can goes to dead of its own queue. Loop thread only.
 */
#define RELAY_ONCE_MS (24 * 3600 * 1000LL)

struct relay_result {
    int err; /* 0: every envelope was looked at; else what ended it */
    int64_t sent;
    int64_t held;      /* dropped: another job has their lock, as they allow */
    int64_t buried;    /* now in dead: no envelope, no queue, or held */
    int64_t left;      /* refused by their queue or by Redis: they stay */
    struct errbuf why; /* of the last one that was not sent, or of err */
};

struct relay;
typedef void (*relay_cb)(void *arg, const struct relay_result *res);

/* Borrows c and k for its life. Returns owned. */
struct relay *relay_new(struct conn *c, const struct keys *k, relay_cb cb,
                        void *arg);

/* Not while it runs, unless c is free: c's calls end first. NULL: a no-op. */
void relay_free(struct relay *r);

/*
 * Reads the outbox from its head to its end; cb is called once, later. A no-op
 * while it runs. ERR_REFUSED when the connection is down.
 */
int relay_start(struct relay *r) ON_LOOP;

bool relay_runs(const struct relay *r);

#endif
