/*
 * belt status: how jobs stand.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/base/text.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/failure.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/kept_out.h"
#include "producer/standing.h"

enum { JOBS_AT_ONCE = 100, ERROR_WIDTH = 60 };

struct query {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct out *out;         /* borrowed */
    struct standing entries[JOBS_AT_ONCE];
    size_t count;
    int64_t now_ms; /* by Redis' clock */
    bool negative;  /* a job is not there */
};

static int on_name(void *arg, const struct job_name *name);

static const struct column columns[] = {
    {"job", FOR_PEOPLE, false},
    {"queue", FOR_PROGRAMS, false},
    {"id", FOR_PROGRAMS, false},
    {"state", FOR_ALL, false},
    {"type", FOR_ALL, false},
    {"attempt", FOR_ALL, true},
    {"progress", FOR_ALL, true},
    {"message", FOR_ALL, false},
    {"created", FOR_PEOPLE, true},
    {"created_at", FOR_PROGRAMS, true},
    {"due", FOR_PEOPLE, true},
    {"due_at", FOR_PROGRAMS, true},
    {"started", FOR_PEOPLE, true},
    {"started_at", FOR_PROGRAMS, true},
    {"ended", FOR_PEOPLE, true},
    {"ended_at", FOR_PROGRAMS, true},
    {"worker", FOR_ALL, false},
    {"lane", FOR_PROGRAMS, false},
    {"cpu", FOR_PEOPLE, true},
    {"cpu_ms", FOR_PROGRAMS, true},
    {"memory", FOR_PEOPLE, true},
    {"peak_rss", FOR_PROGRAMS, true},
    {"exit", FOR_PROGRAMS, true},
    {"error", FOR_ALL, false},
    {"kept", FOR_PROGRAMS, false},
    {"log_lines", FOR_PROGRAMS, true},
    {0},
};

/* "3m ago" or "in 2h", and the instant for programs; 0: none. */
static void out_instant(struct query *q, int64_t at_ms)
{
    char age[32], text[48];

    if (at_ms <= 0) {
        out_none(q->out);
        out_none(q->out);
        return;
    }
    int64_t ms = q->now_ms - at_ms;
    if (ms >= 0)
        snprintf(text, sizeof(text), "%s ago", age_format(ms, age));
    else
        snprintf(text, sizeof(text), "in %s", age_format(999 - ms, age));
    out_str(q->out, text);
    out_int(q->out, at_ms);
}

static void out_error(struct query *q, const struct buf *error)
{
    bool table = q->o->format == OUT_TABLE;
    size_t n = error->len;
    struct buf b = {0};

    if (n == 0) {
        out_none(q->out);
        return;
    }
    size_t cut = table ? safe_cut(error->data, n, ERROR_WIDTH) : n;
    buf_append(&b, error->data, cut);
    if (cut < n)
        buf_str(&b, "…");
    out_text(q->out, b.data, b.len);
    buf_done(&b);
}

/* What its last run used: "1.2s" and "50.1M", and the numbers for programs. */
static void out_usage(struct query *q, const struct kept *k)
{
    const int64_t cpu_ms = kept_int(k, KEPT_cpu_ms, -1);
    const int64_t rss = kept_int(k, KEPT_peak_rss, -1);
    char text[32];

    out_str(q->out, cpu_ms < 0 ? NULL : text_format_duration(cpu_ms, text));
    kept_out_number(q->out, k, KEPT_cpu_ms);
    (void)snprintf(text, sizeof(text), "%.1fM", (double)rss / (1024 * 1024));
    out_str(q->out, rss < 0 ? NULL : text);
    kept_out_number(q->out, k, KEPT_peak_rss);
}

static void print_kept(struct query *q, const struct standing *e)
{
    const struct kept *k = &e->kept;
    struct buf error = {0};

    out_str(q->out, standing_state(e, q->now_ms));
    kept_out(q->out, k, KEPT_type);
    kept_out_number(q->out, k, KEPT_attempt);
    kept_out_number(q->out, k, KEPT_progress);
    kept_out(q->out, k, KEPT_message);
    out_instant(q, kept_int(k, KEPT_created_at, 0));
    out_instant(q, kept_int(k, KEPT_due_at, 0));
    out_instant(q, kept_int(k, KEPT_started_at, 0));
    out_instant(q, kept_int(k, KEPT_ended_at, 0));
    kept_out(q->out, k, KEPT_worker);
    kept_out(q->out, k, KEPT_lane);
    out_usage(q, k);
    kept_out_number(q->out, k, KEPT_exit);
    if (k->values[KEPT_error])
        failure_append_text(k->values[KEPT_error], k->lens[KEPT_error], &error);
    out_error(q, &error);
    buf_done(&error);
    out_bool(q->out, true);
    kept_out_number(q->out, k, KEPT_log_lines);
}

static void out_worker(struct out *out, const struct standing *e)
{
    size_t n;
    const char *worker = standing_worker(e, &n);

    if (worker)
        out_text(out, worker, n);
    else
        out_none(out);
}

static void print_found(struct query *q, const struct standing *e)
{
    const struct found *f = &e->found;
    bool dead = f->place == PLACE_DEAD;
    struct buf error = {0};

    out_str(q->out, standing_state(e, q->now_ms));
    out_str(q->out, f->job->type);
    out_int(q->out, f->job->attempt);
    out_none(q->out);
    out_none(q->out);
    out_instant(q, f->job->created_at_ms);
    out_instant(q, dead ? 0 : f->at_ms);
    out_instant(q, 0);
    out_instant(q, dead ? f->at_ms : 0);
    out_worker(q->out, e);
    out_str(q->out, f->lane[0] != '\0' ? f->lane : NULL);
    for (int i = 0; i < 5; i++) /* nobody has told: its usage, its exit */
        out_none(q->out);
    failure_append(f->job, &error);
    out_error(q, &error);
    buf_done(&error);
    out_bool(q->out, false);
    out_none(q->out);
}

static void print_nothing(struct query *q, const struct standing *e)
{
    char text[JOB_NAME_TEXT_MAX];

    q->negative = true;
    complain(q->o, "%s: not found: not kept, or gone",
             job_name_format(&e->name, text));
    out_str(q->out, q->o->format == OUT_TABLE ? "(not found)" : NULL);
    for (size_t i = 4; columns[i].name; i++)
        out_none(q->out);
}

static bool print(struct query *q, const struct standing *e)
{
    char text[JOB_NAME_TEXT_MAX];

    out_str(q->out, job_name_format(&e->name, text));
    out_str(q->out, e->name.queue[0] != '\0' ? e->name.queue : NULL);
    out_str(q->out, e->name.id);
    if (standing_is_kept(e))
        print_kept(q, e);
    else if (e->found.job)
        print_found(q, e);
    else
        print_nothing(q, e);
    return out_row(q->out);
}

static int flush(struct query *q)
{
    int status =
        standing_ask(q->client, q->o->ns, q->entries, q->count, &q->now_ms);

    for (size_t i = 0; i < q->count; i++) {
        struct standing *e = &q->entries[i];
        if (status == 0 && !print(q, e))
            status = EX_IOERR; /* told at the end */
        standing_done(e);
    }
    q->count = 0;
    return status;
}

static int on_name(void *arg, const struct job_name *name)
{
    struct query *q = arg;
    struct standing *e = &q->entries[q->count];

    e->name = *name;
    if (name->queue[0] == '\0') {
        int status = find_queue(q->client, q->o->ns, &e->name);
        if (status != 0)
            return status;
    }
    return ++q->count == JOBS_AT_ONCE ? flush(q) : 0;
}

static int ask_all(struct query *q)
{
    int status = job_names_read(q->o, on_name, q);

    if (status != 0 && status != EX_DATAERR)
        return status;
    int flushed = flush(q);
    if (flushed != 0)
        return flushed;
    return status ? status : q->negative ? 1 : EX_OK;
}

static int run_status(const struct options *o)
{
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    struct query *q = mem_new(sizeof(*q));
    q->o = o;
    q->client = client;
    q->out = out_new(o, columns);
    status = ask_all(q);
    out_end(q->out);
    free(q);
    client_close(client);
    return status;
}

const struct command cmd_status = {
    .name = "status",
    .usage = "QUEUE/ID ... | ID ... | -",
    .summary = "Show how jobs stand: state, progress, times",
    .details =
        "Jobs pushed with --keep have a status, also after their end. Others "
        "are looked\nfor among those that are scheduled, to be retried, dead "
        "or held by a worker.\n\nrecovering: the worker that ran it is gone, "
        "and it will run again. An ID without\nits queue is looked for in all "
        "queues. With - the names come from stdin. Exits 1\nif a job is not "
        "found.\n",
    .min_args = 1,
    .max_args = -1,
    .run = run_status,
};
