#ifndef COMMON_BASE_CHAN_H
#define COMMON_BASE_CHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/thread.h"

/*
 * A bounded first-in first-out channel of pointers between threads, with the
 * semantics of Go's channels (The Go Programming Language Specification,
 * "Channel types", "Send statements", "Select statements").
 *
 * A successful send hands the item to the channel and from there to exactly
 * one receiver; a failed send leaves it with the caller. With capacity 0 a
 * send succeeds only together with a receive (rendezvous). Deadlines are
 * absolute, in clock_ms() milliseconds; CHAN_NOWAIT polls, CHAN_FOREVER waits.
 * Items may be any pointer, NULL included. Any thread.
 */
struct chan;

#define CHAN_NOWAIT 0
#define CHAN_FOREVER INT64_MAX

/* Returns an owned channel for cap items (0: rendezvous). */
struct chan *chan_new(unsigned cap);

/* Frees a drained channel that no thread uses any more. NULL is a no-op. */
void chan_free(struct chan *c);

/* Takes item. Returns 0, or ERR_TIMEOUT or ERR_CLOSED with item untouched. */
int chan_send(struct chan *c, void *item, int64_t deadline_ms) MAY_BLOCK;

/*
 * Returns the oldest item, owned, through ret_item. Items sent before
 * chan_close are still delivered; ERR_CLOSED comes only once it is empty.
 */
int chan_recv(struct chan *c, void **ret_item, int64_t deadline_ms) MAY_BLOCK;

/* The same with CHAN_NOWAIT: the only forms the event loop may call. */
int chan_try_send(struct chan *c, void *item);
int chan_try_recv(struct chan *c, void **ret_item);

/*
 * As many of n items as there is room for, in their order, as that many
 * chan_try_send or chan_try_recv would, but under one lock, and each waiting
 * partner is woken once. Returns how many; 0 also when the channel is closed.
 */
unsigned chan_try_send_many(struct chan *c, void *const *items, unsigned n);
unsigned chan_try_recv_many(struct chan *c, void **ret_items, unsigned n);

/* Refuses further sends and wakes every waiter, senders included. */
void chan_close(struct chan *c);

/* Items inside right now (0 for a rendezvous), and the capacity. */
unsigned chan_len(struct chan *c);
unsigned chan_cap(const struct chan *c);

enum chan_op { CHAN_SEND, CHAN_RECV };

struct chan_case {
    struct chan *chan; /* NULL: a case that is never ready, as in Go */
    enum chan_op op;
    void *item; /* sent by CHAN_SEND; set by a CHAN_RECV that succeeded */
    int err;    /* of the chosen case: 0, or ERR_CLOSED */
};

/*
 * Waits until one of n cases can go on, performs exactly that one and returns
 * its index, with cases[i].err 0 or ERR_CLOSED. Among ready cases each is
 * equally likely. Returns ERR_TIMEOUT at the deadline; CHAN_NOWAIT makes that
 * Go's default case.
 */
int chan_select(struct chan_case *cases, unsigned n,
                int64_t deadline_ms) MAY_BLOCK;

#endif
