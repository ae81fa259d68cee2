#ifndef PRODUCER_SUBSCRIBE_H
#define PRODUCER_SUBSCRIBE_H

#include <stddef.h>

#include "common/base/thread.h"
#include "producer/client.h"

/*
 * A connection that is subscribed to some channels, and is made again when it
 * is lost. What was published meanwhile is lost, so whoever waits for it reads
 * the truth after each on_ready. Loop thread only.
 */
struct subscription;

struct subscription_events {
    /* All channels are subscribed to from now on. */
    void (*on_ready)(void *arg);
    /* Redis does not allow it: nothing will be told. It is closed. */
    void (*on_refused)(void *arg, const char *why);
    /* The connection is lost, or could not be made; it is tried again. */
    void (*on_lost)(void *arg, const char *why);
    /* Something was published on channels[i], named so when it was made. */
    void (*on_message)(void *arg, size_t i, const char *text, size_t len);
    void *arg;
};

/*
 * Connects as c did, on its loop. channels[0] to [n - 1] are borrowed until
 * subscription_free; one may be there twice. Returns owned.
 */
struct subscription *
subscription_new(const struct client *c, const char *const *channels, size_t n,
                 const struct subscription_events *events) ON_LOOP;

/* Not from a callback of it. NULL is a no-op. */
void subscription_free(struct subscription *s) ON_LOOP;

#endif
