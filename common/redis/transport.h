#ifndef COMMON_REDIS_TRANSPORT_H
#define COMMON_REDIS_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/thread.h"
#include "common/redis/url.h"

struct event_base;

/*
 * A stream of bytes to the address of a URL, for conn.c: resolves, connects,
 * reads, writes; knows nothing of Redis' protocol. Opened and closed any
 * number of times. Loop thread only.
 */
struct transport;

/* Callbacks may call any transport_* function but transport_free. */
struct transport_events {
    void (*on_open)(void *arg);
    /* Bytes arrived; lent until it returns or closes the transport. */
    void (*on_bytes)(void *arg, const char *p, size_t n);
    /* Not connected, or no more; once. The owner calls transport_close. */
    void (*on_lost)(void *arg, int err, const char *why);
    void *arg;
};

/* Returns an owned transport, closed. */
struct transport *transport_new(struct event_base *base, const struct url *url,
                                const struct transport_events *ev) ON_LOOP;
void transport_free(struct transport *t) ON_LOOP; /* NULL is a no-op */

/*
 * Connects a closed transport: on_open, or on_lost at the latest at
 * deadline_ms. Either may come from inside this call.
 */
void transport_open(struct transport *t, int64_t deadline_ms) ON_LOOP;

/* Closes at once, without a callback; what is unsent is dropped. */
void transport_close(struct transport *t) ON_LOOP;

/*
 * Queues bytes on an open transport, which stay where they are until release
 * is called with extra, perhaps from inside.
 */
void transport_write(struct transport *t, const void *p, size_t n,
                     void (*release)(const void *p, size_t n, void *extra),
                     void *extra) ON_LOOP;

/* Bytes that the kernel does not have yet; 0 while not open. */
size_t transport_unsent(const struct transport *t) ON_LOOP;

#endif
