/*
 * Bounds of queues: the rows, and how each is read.
 *
 * Thread: any; nothing here has state.
 */
#include "common/redis/queue_bounds.h"

#include <string.h>

#include "common/base/text.h"

#define AGE_MAX_MS (36500LL * 24 * 3600 * 1000)
#define COUNT_TOP 1000000000LL
#define BYTES_TOP (INT64_C(1) << 50)

const struct queue_bound queue_bounds[QUEUE_BOUNDS] = {
    {"max_length", "max-length", BOUND_COUNT, 0, COUNT_TOP, 0},
    {"max_bytes", "max-bytes", BOUND_SIZE, 1, BYTES_TOP, 0},
    {"dead_max", "dead-max", BOUND_COUNT, 1, COUNT_TOP, 100000},
    {"dead_max_age", "dead-max-age", BOUND_AGE, 1, AGE_MAX_MS, 7776000000LL},
    {"dead_max_bytes", "dead-max-bytes", BOUND_SIZE, 1, BYTES_TOP, 268435456},
};

int queue_bound_read(const struct queue_bound *b, const char *text,
                     int64_t *ret, struct errbuf *eb)
{
    int64_t n;
    int rc;

    if (strcmp(text, "none") == 0) {
        *ret = QUEUE_BOUND_NONE;
        return 0;
    }
    if (b->kind == BOUND_SIZE)
        rc = text_parse_size(text, &n, eb);
    else if (b->kind == BOUND_AGE)
        rc = text_parse_duration(text, &n, eb);
    else
        rc = text_parse_int(text, b->min, b->max, NULL, &n, eb);
    if (rc == 0 && (n < b->min || n > b->max))
        rc = errbuf_set(eb, ERR_INVALID, "%s: too %s", text,
                        n < b->min ? "small" : "big");
    if (rc == 0)
        *ret = n;
    return rc;
}
