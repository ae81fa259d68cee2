/*
 * Metrics: what the HTTP side counts of itself, and GET /metrics.
 *
 * The fleet's numbers are read by a side thread (fleet.c); where Redis is away
 * the loop answers with its own alone. Labels are rows of routes[] and
 * statuses of a list, never paths, so nobody can make series.
 *
 * Thread: counted on the loop, written by any.
 */
#include "producer/serve/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/prom.h"
#include "producer/serve/answer.h"
#include "producer/serve/fleet.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"
#include "producer/serve/side.h"

static const int64_t bounds_us[] = {500,    1000,   2500,    5000,
                                    10000,  25000,  50000,   100000,
                                    250000, 500000, 1000000, 10000000};
enum { BOUNDS = sizeof(bounds_us) / sizeof(bounds_us[0]) };

/* Of a row of routes[]; relaxed: each is right by itself. */
struct row {
    _Atomic uint64_t answers[ANSWER_STATUSES];
    _Atomic uint64_t times[BOUNDS + 1]; /* the last: longer than all bounds */
    _Atomic int64_t sum_us;
};

struct serve_metrics {
    int64_t started_at_ms; /* wall clock */
    _Atomic int64_t connections, waits;
    size_t row_count;
    struct row rows[]; /* as routes[]; the last: no route */
};

static uint64_t load(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

struct serve_metrics *serve_metrics_new(void)
{
    size_t n = 0;
    struct serve_metrics *m;

    while (routes[n].method != NULL)
        n++;
    m = mem_new(sizeof(*m) + (n + 1) * sizeof(m->rows[0]));
    m->row_count = n + 1;
    m->started_at_ms = clock_wall_ms();
    return m;
}

void serve_metrics_free(struct serve_metrics *m)
{
    free(m);
}

void serve_metrics_count(struct serve_metrics *m, const struct route *route,
                         int status, int64_t us)
{
    struct row *row =
        &m->rows[route != NULL ? (size_t)(route - routes) : m->row_count - 1];
    unsigned i = 0;

    while (i < BOUNDS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&row->answers[answer_status_place(status)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&row->times[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->sum_us, us > 0 ? us : 0,
                              memory_order_relaxed);
}

void serve_metrics_connections(struct serve_metrics *m, int64_t n)
{
    atomic_store_explicit(&m->connections, n, memory_order_relaxed);
}

void serve_metrics_waits(struct serve_metrics *m, int64_t n)
{
    atomic_store_explicit(&m->waits, n, memory_order_relaxed);
}

/* ---- written ---- */

static const char *method_of(const struct serve_metrics *m, size_t i)
{
    return i + 1 < m->row_count ? routes[i].method : "other";
}

static const char *path_of(const struct serve_metrics *m, size_t i)
{
    return i + 1 < m->row_count ? routes[i].path : "other";
}

static void put_requests(const struct serve_metrics *m, struct buf *out)
{
    static const char name[] = "belt_http_requests_total";

    prom_family(out, name, PROM_COUNTER,
                "Requests answered, by route, method and status.");
    for (size_t i = 0; i < m->row_count; i++) {
        for (unsigned s = 0; s < ANSWER_STATUSES; s++) {
            uint64_t n = load(&m->rows[i].answers[s]);
            char code[16] = "other";
            if (n == 0)
                continue;
            if (answer_statuses[s].status > 0)
                (void)snprintf(code, sizeof(code), "%d",
                               answer_statuses[s].status);
            prom_int(out, name,
                     (const struct prom_label[]){{"route", path_of(m, i)},
                                                 {"method", method_of(m, i)},
                                                 {"code", code},
                                                 {NULL, NULL}},
                     (int64_t)n);
        }
    }
}

static void put_times(const struct serve_metrics *m, struct buf *out)
{
    static const char name[] = "belt_http_request_duration_seconds";

    prom_family(out, name, PROM_HISTOGRAM,
                "From the last byte of a request to its answer.");
    for (size_t i = 0; i < m->row_count; i++) {
        const struct row *row = &m->rows[i];
        uint64_t n[BOUNDS + 1], sum = 0;
        for (unsigned k = 0; k <= BOUNDS; k++)
            sum += n[k] = load(&row->times[k]);
        if (sum == 0)
            continue;
        prom_times(out, name,
                   (const struct prom_label[]){{"route", path_of(m, i)},
                                               {"method", method_of(m, i)},
                                               {NULL, NULL}},
                   bounds_us, n, BOUNDS, n[BOUNDS],
                   atomic_load_explicit(&row->sum_us, memory_order_relaxed));
    }
}

void serve_metrics_write(const struct serve_metrics *m, bool redis_up,
                         struct buf *out)
{
    prom_family(out, "belt_redis_up", PROM_GAUGE, "1 if Redis answers.");
    prom_int(out, "belt_redis_up", NULL, redis_up);
    prom_family(out, "belt_http_connections", PROM_GAUGE, "Open connections.");
    prom_int(out, "belt_http_connections", NULL,
             atomic_load_explicit(&m->connections, memory_order_relaxed));
    prom_family(out, "belt_http_waits", PROM_GAUGE,
                "Requests that wait for the end of a job.");
    prom_int(out, "belt_http_waits", NULL,
             atomic_load_explicit(&m->waits, memory_order_relaxed));
    put_requests(m, out);
    put_times(m, out);
    prom_process(out, m->started_at_ms);
}

/* ---- answered ---- */

void serve_metrics(struct request *r)
{
    struct serve *s = request_serve(r);
    struct answer a = {0};

    loop_role_assert();
    if (!request_may_use_all(r)) {
        answer_problem(&a, 403, "forbidden",
                       "metrics are of all queues, the token is for some");
        request_answer(r, &a);
        return;
    }
    if (conn_is_up(s->conn)) {
        side_run(s->side, r);
        return;
    }
    a.status = 200;
    a.content_type = PROM_CONTENT_TYPE;
    serve_metrics_write(s->metrics, false, &a.body);
    request_answer(r, &a);
}

/* What is known of ourselves is said even if the fleet cannot be asked. */
void look_metrics(struct client *c, const struct request *r, struct answer *a)
{
    const struct serve *s = request_serve(r);
    struct buf fleet = {0};
    bool up = fleet_write(c, s->ns, s->o->metrics_queues, &fleet) == 0;

    a->status = 200;
    a->content_type = PROM_CONTENT_TYPE;
    serve_metrics_write(s->metrics, true, &a->body);
    prom_family(&a->body, "belt_fleet_up", PROM_GAUGE,
                "1 if what follows could be read from Redis; 0: it is not "
                "there.");
    prom_int(&a->body, "belt_fleet_up", NULL, up);
    if (up)
        buf_append(&a->body, fleet.data, fleet.len);
    buf_done(&fleet);
}
