#ifndef PRODUCER_SERVE_METRICS_H
#define PRODUCER_SERVE_METRICS_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/thread.h"
#include "producer/serve/route.h"

/*
 * What the HTTP side counts of itself, for GET /metrics. The loop counts; what
 * was counted may be written by any thread meanwhile.
 */
struct serve_metrics;

/* Returns owned counters, all 0. */
struct serve_metrics *serve_metrics_new(void);
void serve_metrics_free(struct serve_metrics *m); /* NULL is a no-op */

/*
 * A request was answered, us microseconds behind its last byte. route is one
 * of routes[], or NULL if none was found for it.
 */
void serve_metrics_count(struct serve_metrics *m, const struct route *route,
                         int status, int64_t us) ON_LOOP;

/* So many connections are open. */
void serve_metrics_connections(struct serve_metrics *m, int64_t n) ON_LOOP;

/* So many requests wait for the end of a job. */
void serve_metrics_waits(struct serve_metrics *m, int64_t n) ON_LOOP;

/* Appends all of it; redis_up: whether Redis answers the loop. */
void serve_metrics_write(const struct serve_metrics *m, bool redis_up,
                         struct buf *out);

#endif
