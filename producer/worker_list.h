#ifndef PRODUCER_WORKER_LIST_H
#define PRODUCER_WORKER_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/out.h"

/*
 * The fleet, as each worker describes itself. Every field is optional: workers
 * of other versions write others. One thread at a time, that of the client.
 */
#define WORKER_FIELDS(X)                                                       \
    X(host)                                                                    \
    X(pid)                                                                     \
    X(queues)                                                                  \
    X(threads)                                                                 \
    X(busy)                                                                    \
    X(held)                                                                    \
    X(rss_kb)                                                                  \
    X(version)                                                                 \
    X(started_at)                                                              \
    X(stage)

enum worker_field {
#define WORKER_ENUM(name) WORKER_##name,
    WORKER_FIELDS(WORKER_ENUM)
#undef WORKER_ENUM
        WORKER_FIELD_COUNT
};

enum { WORKERS_AT_ONCE = 100 };

struct worker_info {
    char *id; /* owned */
    int64_t expires_ms;
    char *fields[WORKER_FIELD_COUNT]; /* owned; NULL: not said */
};

struct worker_page {
    struct worker_info workers[WORKERS_AT_ONCE];
    size_t count;
    int64_t now_ms; /* by Redis' clock */
    bool more;      /* there may be some behind them */
};

/*
 * Reads the workers from a place in their set on. Returns owned through ret,
 * or the status of a failure that was told.
 */
int worker_page_read(struct client *c, const struct keys *k, int64_t from,
                     struct worker_page **ret);
void worker_page_free(struct worker_page *page); /* NULL is a no-op */

/* A worker as a row of a writer that was made with these columns. */
extern const struct column worker_columns[];
void worker_out(struct out *out, const struct worker_info *w, int64_t now_ms);

#endif
