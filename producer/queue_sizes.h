#ifndef PRODUCER_QUEUE_SIZES_H
#define PRODUCER_QUEUE_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/out.h"

/*
 * Queues, how much waits in each and whether it is paused. One thread at a
 * time, that of the client.
 */

/* Names of queues. Start with {0}. */
struct queue_names {
    char **names; /* owned, each too */
    size_t count, cap;
};

void queue_names_add(struct queue_names *list, const char *name);
/* Adds all queues that are known, and sorts. Returns as client_wait. */
int queue_names_find(struct queue_names *list, struct client *c,
                     const char *ns);
void queue_names_done(struct queue_names *list);

/* What config says of a pause, and of how many may be ready. */
enum queue_field {
    QUEUE_PAUSED,
    QUEUE_PAUSED_AT,
    QUEUE_PAUSED_BY,
    QUEUE_PAUSED_REASON,
    QUEUE_MAX_LENGTH,
    QUEUE_FIELDS
};

struct queue_sizes {
    struct client *client; /* borrowed */
    struct keys keys;
    int64_t ready, scheduled, retry, dead, active, lanes;
    int64_t more_from;          /* index of the next page of lanes; -1: none */
    char *fields[QUEUE_FIELDS]; /* owned; NULL: not said */
};

/* For one round. */
enum { QUEUE_SIZES_AT_ONCE = 100 };

/*
 * Looks at n queues; *ret_now_ms is the time, by Redis' clock. Returns as
 * client_wait; queue_sizes_done in either case.
 */
int queue_sizes_look(struct client *c, const char *ns, char *const *names,
                     size_t n, struct queue_sizes *ret, int64_t *ret_now_ms);
void queue_sizes_done(struct queue_sizes *queues, size_t n);

/* As a row of a writer that was made with these columns. */
extern const struct column queue_sizes_columns[];
void queue_sizes_out(struct out *out, const struct queue_sizes *q,
                     int64_t now_ms);

#endif
