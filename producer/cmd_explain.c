/*
 * belt explain: why a job is not running.
 *
 * Everything that may be a cause is looked at (explain.h), in steps that have
 * an end. Jobs move meanwhile: one that is not found is looked for twice.
 *
 * Thread: main, which is also the loop.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/explain.h"
#include "producer/ids.h"

enum { LOOKS = 2 };

struct question {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct keys keys;
    struct known k;
};

static void on_config(void *arg, const struct reply *r);
static void on_depth(void *arg, const struct reply *r);
static void on_mark(void *arg, const struct reply *r);

/* ---- what is known ---- */

static enum place place_of(const struct kept *k)
{
    if (kept_is(k, "active"))
        return PLACE_ACTIVE;
    if (kept_is(k, "scheduled"))
        return PLACE_SCHEDULED;
    return kept_is(k, "retry") ? PLACE_RETRY : PLACE_NONE;
}

static int look_for(struct question *q)
{
    struct known *k = &q->k;
    int status = 0;

    if (kept_is_over(&k->kept))
        return 0;
    /* What lies behind the end of a look is there the next time, too. */
    for (int i = 0;
         i < LOOKS && status == 0 && !k->found.job && k->found.cut == 0; i++)
        status = find_job(q->client, &q->keys, k->name.id, PLACES_ALL,
                          place_of(&k->kept), &k->found);
    const char *lane = k->kept.values[KEPT_lane];
    if (status == 0 && !k->found.job && kept_is(&k->kept, "active") && lane)
        status = find_lease(q->client, &q->keys, lane, &k->leased);
    return status;
}

static char *text_of(const struct reply *r)
{
    const char *p;
    size_t n;

    return reply_str(r, &p, &n) && n > 0 ? mem_dup(p, n) : NULL;
}

static void on_config(void *arg, const struct reply *r)
{
    struct known *k = arg;
    int64_t n;

    if (reply_int(reply_at(r, 0), &n) && n > 0)
        k->paused = n;
    if (reply_int(reply_at(r, 1), &n))
        k->paused_at_ms = n;
    k->paused_by = text_of(reply_at(r, 2));
    k->paused_reason = text_of(reply_at(r, 3));
}

static void on_depth(void *arg, const struct reply *r)
{
    (void)reply_int(r, arg);
}

static void on_mark(void *arg, const struct reply *r)
{
    *(bool *)arg = !reply_is_nil(r);
}

static void ask_queue(struct question *q)
{
    struct args a = {0};

    args_str(&a, "HMGET");
    args_str(&a, q->keys.config);
    args_str(&a, "paused");
    args_str(&a, "paused_at");
    args_str(&a, "paused_by");
    args_str(&a, "paused_reason");
    client_call(q->client, &a, on_config, &q->k);
    args_clear(&a);
    args_str(&a, "LLEN");
    args_str(&a, q->keys.ready);
    client_call(q->client, &a, on_depth, &q->k.depth);
    args_clear(&a);
    args_str(&a, "ZSCORE");
    args_str(&a, q->keys.cancelled);
    args_str(&a, q->k.name.id);
    client_call(q->client, &a, on_mark, &q->k.marked);
    args_done(&a);
}

static int ask(struct question *q)
{
    struct known *k = &q->k;
    int status = 0;

    if (k->name.queue[0] == '\0')
        status = find_queue(q->client, q->o->ns, &k->name);
    if (status != 0 || k->name.queue[0] == '\0')
        return status;
    keys_init(&q->keys, q->o->ns, k->name.queue);
    kept_ask(q->client, &q->keys, k->name.id, &k->kept);
    ask_queue(q);
    status = client_now(q->client, &k->now_ms);
    if (status == 0)
        status = look_for(q);
    if (status == 0)
        status = serving_ask(q->client, &q->keys, known_type(k), k->name.id,
                             k->found.lane, k->now_ms, &k->serving);
    if (k->paused > 1 && k->paused <= k->now_ms)
        k->paused = 0; /* it has ended by itself */
    return status;
}

/* ---- what is told ---- */

struct facts {
    const struct question *q; /* borrowed */
    struct buf b;
};

static bool is_json(const struct facts *f)
{
    enum out_format format = f->q->o->format;

    return format == OUT_JSON || format == OUT_NDJSON;
}

static void begin_fact(struct facts *f, const char *name)
{
    if (is_json(f))
        buf_printf(&f->b, "%s\"%s\":", f->b.len > 1 ? "," : "", name);
    else if (f->q->o->format == OUT_TSV)
        buf_printf(&f->b, "%s\t", name);
    else
        buf_printf(&f->b, "  %-12s ", name);
}

static void end_fact(struct facts *f)
{
    if (!is_json(f))
        buf_char(&f->b, '\n');
}

static void fact_text(struct facts *f, const char *name, const char *text)
{
    if (!text || text[0] == '\0')
        return;
    begin_fact(f, name);
    if (is_json(f))
        buf_json_string(&f->b, text, strlen(text));
    else
        safe_append(&f->b, text, strlen(text));
    end_fact(f);
}

static void fact_number(struct facts *f, const char *name, int64_t n)
{
    begin_fact(f, name);
    buf_int(&f->b, n);
    end_fact(f);
}

/* For people with the age. */
static void fact_time(struct facts *f, const char *name, int64_t at_ms)
{
    char time[25], age[32];

    if (at_ms <= 0)
        return;
    if (f->q->o->format != OUT_TABLE) {
        fact_number(f, name, at_ms);
        return;
    }
    int64_t ms = f->q->k.now_ms - at_ms;
    clock_format(at_ms, time);
    begin_fact(f, name);
    if (ms >= 0)
        buf_printf(&f->b, "%s (%s ago)", time, age_format(ms, age));
    else
        buf_printf(&f->b, "%s (in %s)", time, age_format(999 - ms, age));
    end_fact(f);
}

static void tell_job(struct facts *f)
{
    const struct known *k = &f->q->k;
    const struct job *job = k->found.job;
    const char *state = k->kept.values[KEPT_state];
    char worker[192];

    fact_text(f, "state", job ? place_name(k->found.place) : state);
    fact_text(f, "type", known_type(k));
    if (job)
        fact_number(f, "attempt", job->attempt);
    fact_time(f, "created_at",
              job ? job->created_at_ms
                  : kept_int(&k->kept, KEPT_created_at, 0));
    if (k->found.place == PLACE_SCHEDULED || k->found.place == PLACE_RETRY)
        fact_time(f, "due_at", k->found.at_ms);
    if (k->found.place == PLACE_DEAD)
        fact_time(f, "dead_at", k->found.at_ms);
    fact_time(f, "ended_at", kept_int(&k->kept, KEPT_ended_at, 0));
    if (k->found.place == PLACE_READY)
        fact_number(f, "ahead", k->found.ahead);
    if (k->found.lane[0] == '\0')
        return;
    fact_text(f, "worker", lane_worker(k->found.lane, worker));
    fact_text(f, "host", k->serving.host);
    fact_time(f, "running_at", k->serving.since_ms);
    fact_time(f, "lease_end", k->found.lease_ms);
}

static void tell_queue(struct facts *f)
{
    const struct known *k = &f->q->k;

    fact_number(f, "ready", k->depth);
    if (k->paused != 0) {
        fact_time(f, "paused_at", k->paused_at_ms);
        fact_text(f, "paused_by", k->paused_by);
        fact_text(f, "paused_reason", k->paused_reason);
        fact_time(f, "paused_until", k->paused > 1 ? k->paused : 0);
    }
    fact_number(f, "workers", k->serving.live);
    fact_number(f, "workers_able", k->serving.able);
    fact_number(f, "workers_full", k->serving.full);
    fact_number(f, "threads", k->serving.threads);
}

static void tell(const struct question *q)
{
    struct facts f = {.q = q};
    const struct known *k = &q->k;
    char name[JOB_NAME_TEXT_MAX];
    struct verdict v;

    explain(k, &v);
    if (q->o->format == OUT_TABLE) {
        buf_printf(&f.b, "%s: ", job_name_format(&k->name, name));
        safe_append(&f.b, v.text.data, v.text.len);
        buf_char(&f.b, '\n');
    } else {
        if (is_json(&f))
            buf_char(&f.b, '{');
        fact_text(&f, "queue", k->name.queue);
        fact_text(&f, "id", k->name.id);
        fact_text(&f, "reason", v.reason);
        fact_text(&f, "verdict", v.text.data);
    }
    if (k->name.queue[0] != '\0')
        tell_job(&f);
    if (k->name.queue[0] != '\0' && !kept_is_over(&k->kept))
        tell_queue(&f);
    if (is_json(&f))
        buf_str(&f.b, "}\n");
    fwrite(f.b.data, 1, f.b.len, stdout);
    buf_done(&f.b);
    buf_done(&v.text);
}

static int run_explain(const struct options *o)
{
    struct question q = {.o = o};
    int status = 0;

    if (!job_name_parse(o->args[0], strlen(o->args[0]), &q.k.name))
        return fail(o, EX_USAGE, "%s: neither QUEUE/ID nor ID", o->args[0]);
    status = client_open(o, &q.client);
    if (status != 0)
        return status;
    status = ask(&q);
    if (status == 0) {
        tell(&q);
        status = q.k.found.job || q.k.kept.values[KEPT_state] ? EX_OK : 1;
    }
    kept_done(&q.k.kept);
    found_done(&q.k.found);
    free(q.k.paused_by);
    free(q.k.paused_reason);
    client_close(q.client);
    return status;
}

const struct command cmd_explain = {
    .name = "explain",
    .usage = "QUEUE/ID | ID",
    .summary = "Say why a job is not running",
    .details =
        "One sentence, and what it follows from: whether the queue is paused, "
        "who serves it\nand has a handler for the job's type, when it is due, "
        "how many wait before it\n(looked for among the first 10000), who "
        "holds it, why it was put off or failed.\nWhat workers say of "
        "themselves (handlers, threads, what runs) is up to 20s "
        "old.\n\nFormats "
        "for programs have a word for it as \"reason\": done cancelled expired "
        "dead\nrunning held silent cancelling recovering marked expiring "
        "paused "
        "no_worker no_handler\nquiet full waiting due scheduled retry put_off "
        "outbox missed not_found. Exits 1 if\nthe job is not found.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_explain,
};
