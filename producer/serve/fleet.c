/*
 * Fleet: queues and workers as metrics.
 *
 * A family's samples stand together, so all queues are looked at first, a
 * hundred at a time, and then written family by family. What a queue has
 * counted is in Redis and survives whoever counted it.
 *
 * Thread: one at a time, that of the client.
 */
#include "producer/serve/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/prom.h"
#include "common/base/text.h"
#include "producer/element.h"
#include "producer/queue_sizes.h"
#include "producer/stats_rows.h"
#include "producer/worker_list.h"

struct fleet_queue {
    struct queue_sizes sizes;
    struct stats total;
    int64_t since_ms;    /* when the first ready job could start; 0: none */
    int64_t tick_due_ms; /* of the periodic job that is next; 0: none */
};

struct fleet {
    struct client *client;      /* borrowed */
    struct fleet_queue *queues; /* owned */
    size_t count;
    size_t known; /* queues, with those that are not shown */
    int64_t now_ms;
    int64_t workers, threads, busy;
};

static void on_head(void *arg, const struct reply *r)
{
    struct fleet_queue *q = arg;
    struct bytes element;
    struct errbuf eb;

    if (!reply_str(r, &element.p, &element.len))
        return;
    struct job *job = job_of(element, &eb);
    if (job == NULL)
        return;
    q->since_ms = job->created_at_ms;
    if (job->at_ms > q->since_ms)
        q->since_ms = job->at_ms;
    job_free(job);
}

static void on_tick(void *arg, const struct reply *r)
{
    struct fleet_queue *q = arg;
    const char *score;
    size_t n;

    if (reply_len(r) == 2 && reply_str(reply_at(r, 1), &score, &n))
        q->tick_due_ms = (int64_t)strtod(score, NULL);
}

static void ask_head(struct fleet *f, struct fleet_queue *q)
{
    struct args a = {0};

    args_str(&a, "LINDEX");
    args_str(&a, q->sizes.keys.ready);
    args_int(&a, 0);
    client_call(f->client, &a, on_head, q);
    args_clear(&a);
    args_str(&a, "ZRANGE");
    args_str(&a, q->sizes.keys.cron_due);
    args_int(&a, 0);
    args_int(&a, 0);
    args_str(&a, "WITHSCORES");
    client_call(f->client, &a, on_tick, q);
    args_done(&a);
}

/* Up to QUEUE_SIZES_AT_ONCE of them. */
static int look_at_some(struct fleet *f, const char *ns, char *const *names,
                        size_t n)
{
    struct queue_sizes *sizes = mem_new(n * sizeof(*sizes));
    int status = queue_sizes_look(f->client, ns, names, n, sizes, &f->now_ms);

    for (size_t i = 0; i < n; i++)
        f->queues[f->count++].sizes = sizes[i];
    free(sizes);
    for (size_t i = f->count - n; i < f->count; i++)
        ask_head(f, &f->queues[i]);
    if (status == 0)
        status = client_wait(f->client);
    for (size_t i = f->count - n; i < f->count && status == 0; i++)
        status = stats_total(&f->queues[i].total, f->client,
                             &f->queues[i].sizes.keys);
    return status;
}

static int look_at_queues(struct fleet *f, const char *ns, size_t max)
{
    struct queue_names names = {0};
    int status = queue_names_find(&names, f->client, ns);
    size_t n = names.count < max ? names.count : max;

    f->known = names.count;
    f->queues = mem_new((n > 0 ? n : 1) * sizeof(*f->queues));
    while (f->count < n && status == 0) {
        size_t some = n - f->count;
        if (some > QUEUE_SIZES_AT_ONCE)
            some = QUEUE_SIZES_AT_ONCE;
        status = look_at_some(f, ns, names.names + f->count, some);
    }
    queue_names_done(&names);
    return status;
}

/* Of a worker, which may have written anything: no sum overflows. */
static int64_t threads_of(const char *text)
{
    int64_t n;

    return text != NULL &&
                   text_parse_int(text, 0, INT32_MAX, NULL, &n, NULL) == 0
               ? n
               : 0;
}

static int look_at_workers(struct fleet *f, const char *ns)
{
    struct keys keys;
    bool more = true;
    int status = 0;

    keys_init(&keys, ns, "default");
    for (int64_t from = 0; more && status == 0; from += WORKERS_AT_ONCE) {
        struct worker_page *page = NULL;
        status = worker_page_read(f->client, &keys, from, &page);
        more = status == 0 && page->more;
        for (size_t i = 0; status == 0 && i < page->count; i++) {
            const struct worker_info *w = &page->workers[i];
            if (w->expires_ms <= page->now_ms)
                continue;
            f->workers++;
            f->threads += threads_of(w->fields[WORKER_threads]);
            f->busy += threads_of(w->fields[WORKER_busy]);
        }
        worker_page_free(page);
    }
    return status;
}

/* ---- written ---- */

#define OF_QUEUE(q, key, value)                                                \
    (const struct prom_label[])                                                \
    {                                                                          \
        {"queue", (q)->sizes.keys.queue}, {key, value},                        \
        {                                                                      \
            NULL, NULL                                                         \
        }                                                                      \
    }

static void put_jobs(const struct fleet *f, struct buf *out)
{
    static const char name[] = "belt_queue_jobs";

    prom_family(out, name, PROM_GAUGE, "Jobs in each queue, by state.");
    for (size_t i = 0; i < f->count; i++) {
        const struct fleet_queue *q = &f->queues[i];
        const struct queue_sizes *s = &q->sizes;
        prom_int(out, name, OF_QUEUE(q, "state", "ready"), s->ready);
        prom_int(out, name, OF_QUEUE(q, "state", "scheduled"), s->scheduled);
        prom_int(out, name, OF_QUEUE(q, "state", "retry"), s->retry);
        prom_int(out, name, OF_QUEUE(q, "state", "active"), s->active);
        prom_int(out, name, OF_QUEUE(q, "state", "dead"), s->dead);
    }
}

static int64_t latency_ms(const struct fleet *f, const struct fleet_queue *q)
{
    return q->since_ms > 0 && q->since_ms < f->now_ms ? f->now_ms - q->since_ms
                                                      : 0;
}

static int64_t cron_late_ms(const struct fleet *f, const struct fleet_queue *q)
{
    return q->tick_due_ms > 0 && q->tick_due_ms < f->now_ms
               ? f->now_ms - q->tick_due_ms
               : 0;
}

static void put_ages(const struct fleet *f, const char *name, const char *help,
                     int64_t (*age_ms)(const struct fleet *f,
                                       const struct fleet_queue *q),
                     struct buf *out)
{
    prom_family(out, name, PROM_GAUGE, help);
    for (size_t i = 0; i < f->count; i++)
        prom_fraction(out, name, OF_QUEUE(&f->queues[i], NULL, NULL),
                      age_ms(f, &f->queues[i]), 1000);
}

static void put_config(const struct fleet *f, struct buf *out)
{
    prom_family(out, "belt_queue_paused", PROM_GAUGE, "1 if it is paused.");
    for (size_t i = 0; i < f->count; i++) {
        const char *paused = f->queues[i].sizes.fields[QUEUE_PAUSED];
        prom_int(out, "belt_queue_paused", OF_QUEUE(&f->queues[i], NULL, NULL),
                 paused != NULL && strcmp(paused, "0") != 0);
    }
    prom_family(out, "belt_queue_limit_jobs", PROM_GAUGE,
                "How many may be ready, where there is a limit.");
    for (size_t i = 0; i < f->count; i++) {
        const char *limit = f->queues[i].sizes.fields[QUEUE_MAX_LENGTH];
        if (limit != NULL)
            prom_int(out, "belt_queue_limit_jobs",
                     OF_QUEUE(&f->queues[i], NULL, NULL),
                     text_int_or(limit, 0));
    }
}

static int64_t counted(const struct fleet_queue *q, int counter)
{
    return q->total.count > 0 ? q->total.rows[0].counts[counter] : 0;
}

static void put_counter(const struct fleet *f, const char *name,
                        const char *help, int counter, struct buf *out)
{
    prom_family(out, name, PROM_COUNTER, help);
    for (size_t i = 0; i < f->count; i++)
        prom_int(out, name, OF_QUEUE(&f->queues[i], NULL, NULL),
                 counted(&f->queues[i], counter));
}

static void put_finished(const struct fleet *f, struct buf *out)
{
    static const char name[] = "belt_queue_finished_total";
    static const struct {
        const char *outcome;
        int counter;
    } rows[] = {{"done", STATS_done},       {"retried", STATS_retried},
                {"dead", STATS_dead},       {"cancelled", STATS_cancelled},
                {"expired", STATS_expired}, {"discarded", STATS_discarded},
                {"invalid", STATS_invalid}, {"put_off", STATS_put_off},
                {"snoozed", STATS_snoozed}};

    prom_family(out, name, PROM_COUNTER,
                "Jobs that a worker was done with, by outcome.");
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
            prom_int(out, name,
                     OF_QUEUE(&f->queues[i], "outcome", rows[k].outcome),
                     counted(&f->queues[i], rows[k].counter));
}

static void put_workers(const struct fleet *f, struct buf *out)
{
    prom_family(out, "belt_workers", PROM_GAUGE,
                "Workers that have told of themselves of late.");
    prom_int(out, "belt_workers", NULL, f->workers);
    prom_family(out, "belt_fleet_threads", PROM_GAUGE,
                "Threads of all workers, by what they do.");
    prom_int(out, "belt_fleet_threads",
             (const struct prom_label[]){{"state", "busy"}, {NULL, NULL}},
             f->busy);
    prom_int(out, "belt_fleet_threads",
             (const struct prom_label[]){{"state", "idle"}, {NULL, NULL}},
             f->threads > f->busy ? f->threads - f->busy : 0);
    prom_family(out, "belt_queues", PROM_GAUGE,
                "Known queues, with those that have no series here.");
    prom_int(out, "belt_queues", NULL, (int64_t)f->known);
}

static void put_all(const struct fleet *f, struct buf *out)
{
    put_workers(f, out);
    put_jobs(f, out);
    put_ages(f, "belt_queue_latency_seconds",
             "How long the first ready job has waited; 0 without created_at.",
             latency_ms, out);
    put_ages(f, "belt_cron_late_seconds",
             "How long the next tick of a periodic job is overdue.",
             cron_late_ms, out);
    put_config(f, out);
    put_counter(f, "belt_queue_enqueued_total",
                "Jobs pushed, but for those by plain RPUSH.", STATS_pushed,
                out);
    put_counter(f, "belt_queue_refused_total",
                "Pushes that were refused because the queue was full.",
                STATS_refused, out);
    put_counter(f, "belt_queue_reaped_total",
                "Jobs taken back from workers that were lost.", STATS_reaped,
                out);
    put_finished(f, out);
}

int fleet_write(struct client *c, const char *ns, int64_t max_queues,
                struct buf *out)
{
    struct fleet f = {.client = c};
    int status = look_at_queues(&f, ns, (size_t)max_queues);

    if (status == 0)
        status = look_at_workers(&f, ns);
    if (status == 0)
        put_all(&f, out);
    for (size_t i = 0; i < f.count; i++) {
        queue_sizes_done(&f.queues[i].sizes, 1);
        stats_done(&f.queues[i].total);
    }
    free(f.queues);
    return status;
}
