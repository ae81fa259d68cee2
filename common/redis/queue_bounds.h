#ifndef COMMON_REDIS_QUEUE_BOUNDS_H
#define COMMON_REDIS_QUEUE_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/*
 * The bounds of a queue: fields of its config that people set (belt queues
 * set, section queue of a worker's configuration). Any thread.
 */
enum { QUEUE_BOUNDS = 5 };

enum queue_bound_kind { BOUND_COUNT, BOUND_SIZE, BOUND_AGE };

struct queue_bound {
    const char *field, *name; /* "max_length", "max-length" */
    enum queue_bound_kind kind;
    int64_t min, max;
    int64_t without; /* what holds if there is none; 0: no bound */
};
extern const struct queue_bound queue_bounds[QUEUE_BOUNDS];

/* Values of a bound that are no number. */
#define QUEUE_BOUND_NONE INT64_C(-1)   /* it is to be taken away */
#define QUEUE_BOUND_UNSAID INT64_C(-2) /* it is to stay as it is */

/*
 * Reads what people write: a number, a size or a duration, or "none". The
 * text of ERR_INVALID does not name the bound.
 */
int queue_bound_read(const struct queue_bound *b, const char *text,
                     int64_t *ret, struct errbuf *eb);

#endif
