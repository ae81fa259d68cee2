#ifndef PRODUCER_LANES_H
#define PRODUCER_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/redis/keys.h"
#include "producer/client.h"

/*
 * The lanes of a queue that may start jobs, and with which version of its
 * configuration each complies. Main thread.
 */
struct lanes {
    char **ids; /* owned, each too: those that hold a lease, not run out */
    size_t count, cap;
    int64_t *versions; /* owned; -1: with none */
    int64_t now_ms;    /* of Redis, when it was asked */

    int64_t behind;  /* lanes that do not comply with what was asked for */
    int64_t highest; /* version that any complies with; 0: none does */
    int64_t version; /* asked for */
};

/*
 * Looks; what l held before is forgotten ({0} is nothing). Lanes that come
 * while it looks may be missed: they have heard of what was changed before.
 * Returns as client_wait.
 */
int lanes_look(struct lanes *l, struct client *client, const struct keys *k,
               int64_t version);

/* Appends the ids of those behind, at most so many, and how many more. */
void lanes_name(const struct lanes *l, size_t most, struct buf *out);

void lanes_done(struct lanes *l);

#endif
