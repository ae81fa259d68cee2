/*
 * belt cron add, remove, pause, resume, run: periodic jobs.
 *
 * Each reads the entry, decides, and writes it over what was read.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/cron_client.h"
#include "producer/payload.h"
#include "producer/push_flags.h"

#define AT(member) offsetof(struct options, member)
#define DAY_MS (24LL * 3600 * 1000)

enum { ATTEMPTS_MAX = 1000000, TIMES_MAX = 1000000000 };

struct running {
    bool answered;
    int rc;
    struct errbuf eb;
    struct push_one_result one;
    struct push_result plain;
};

static void on_pushed(void *arg, int err, const struct reply *r);
static void on_pushed_one(void *arg, int err, const struct reply *r);

static int change_one(const struct options *o, cron_decide_fn decide, void *arg)
{
    struct cron_client c;
    const char *name = o->args[0];

    if (!cron_is_name(name, strlen(name)))
        return fail(o, EX_USAGE,
                    "%s: no name of an entry: up to %d of A-Z a-z 0-9 . _ -",
                    name, CRON_NAME_MAX_LEN);
    int status = cron_client_open(o, &c);
    if (status == 0)
        status = cron_client_change(&c, name, decide, arg);
    cron_client_close(&c);
    return status;
}

/* ---- add ---- */

static int make(const struct options *o, const struct buf *payload,
                const struct push_options *p, struct cron_entry **ret,
                struct errbuf *eb)
{
    struct cron_wish w = {
        .spec = o->args[1],
        .zone = o->tz,
        .type = o->args[2],
        .overlap = o->overlap,
        .catch_up = o->catch_up,
        .source = "cli",
        .backoff = p->backoff.len > 0 ? p->backoff.data : NULL,
        .jitter_ms = o->jitter_ms,
        .times = o->times,
        .catch_up_limit_ms = o->catch_up_limit_ms,
        .max_attempts = o->max_attempts,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms,
        .expires_ms = o->expires_after_ms,
        .updated_at_ms = clock_wall_ms(),
        .paused = o->paused,
    };

    if (o->arg_count > 3)
        w.payload = (struct json_span){payload->data, payload->len};
    return cron_entry_make(o->args[0], &w, ret, eb);
}

static int add(const struct options *o, const struct cron_entry *e)
{
    struct cron_client c;
    int status = cron_client_open(o, &c);

    if (status == 0)
        status = cron_client_add(&c, e);
    cron_client_close(&c);
    return status;
}

static int payload_status(int err)
{
    return err == ERR_MISSING  ? EX_NOINPUT
           : err == ERR_SYSTEM ? EX_IOERR
                               : EX_DATAERR;
}

static int run_add(const struct options *o)
{
    struct buf payload = {0};
    struct push_options p;
    struct cron_entry *e = NULL;
    struct errbuf eb;
    int status, rc;

    if (push_flags_read(o, &p, &eb) != 0)
        status = fail(o, EX_USAGE, "%s", eb.text);
    else if ((rc = payload_build(o->args + 3, o->arg_count - 3,
                                 CRON_ENTRY_MAX_BYTES, &payload, &eb)) != 0)
        status = fail(o, payload_status(rc), "%s", eb.text);
    else if ((rc = make(o, &payload, &p, &e, &eb)) != 0)
        status = fail(o, rc == ERR_SYSTEM ? EX_UNAVAILABLE : EX_DATAERR, "%s",
                      eb.text);
    else
        status = add(o, e);
    cron_entry_free(e);
    push_options_done(&p);
    buf_done(&payload);
    return status;
}

/* ---- remove, pause, resume ---- */

static int decide_remove(struct cron_client *c, const char *name, void *arg,
                         struct buf *out, int64_t *ret_due_ms)
{
    (void)arg;
    (void)out;
    *ret_due_ms = CRON_DUE_NEVER;
    if (c->was == NULL && c->due_ms < 0)
        return fail(c->o, EXIT_FAILURE, "%s: there is no such entry in %s",
                    name, c->keys.queue);
    return 0;
}

static int run_remove(const struct options *o)
{
    return change_one(o, decide_remove, NULL);
}

static int decide_pause(struct cron_client *c, const char *name, void *arg,
                        struct buf *out, int64_t *ret_due_ms)
{
    bool pause = *(bool *)arg;
    struct cron_entry *e;
    char now[24];
    struct job_change changes[] = {{"paused", pause ? "true" : NULL},
                                   {"updated_at", now}};
    int status = cron_client_parse(c, name, &e);

    if (status != 0)
        return status;
    (void)snprintf(now, sizeof(now), "%lld", (long long)clock_wall_ms());
    if (e->paused == pause) { /* but whether it is due may be mended */
        buf_append(out, e->raw, e->raw_len);
        *ret_due_ms = CRON_DUE_AS_IT_IS;
    } else {
        cron_entry_rewrite(e, changes, 2, out);
    }
    if (!pause && (e->paused || c->due_ms < 0))
        status = cron_client_next(c, e, ret_due_ms);
    else if (pause)
        *ret_due_ms = CRON_DUE_NEVER;
    cron_entry_free(e);
    return status;
}

static int run_pause(const struct options *o)
{
    bool pause = true;

    return change_one(o, decide_pause, &pause);
}

static int run_resume(const struct options *o)
{
    bool pause = false;

    return change_one(o, decide_pause, &pause);
}

/* ---- run ---- */

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct running *run = arg;

    run->rc = queue_push_result(err, r, &run->plain, &run->eb);
    run->answered = true;
}

static void on_pushed_one(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct running *run = arg;

    run->rc = queue_push_one_result(err, r, &run->one, &run->eb);
    run->answered = true;
}

static int run_status(const struct options *o, const struct cron_entry *e,
                      const struct running *run, const char *id)
{
    if (run->rc == ERR_UNKNOWN)
        return fail(o, EX_TEMPFAIL,
                    "outcome unknown: the connection was lost before Redis "
                    "answered");
    if (run->rc == ERR_FULL)
        return fail(o, EX_TEMPFAIL, "not pushed: %s is full", o->queue);
    if (run->rc == ERR_REFUSED)
        return fail(o, EX_TEMPFAIL, "not pushed: connection lost");
    if (run->rc != 0)
        return fail(o, client_push_status(run->rc, &run->eb), "not pushed: %s",
                    run->eb.text);
    if (run->one.state == PUSH_HELD)
        return fail(o, EXIT_FAILURE,
                    "not pushed: %s has not ended, and %s skips meanwhile",
                    run->one.holder, e->name);
    if (o->format == OUT_TABLE)
        printf("%s/%s\n", o->queue, id);
    else
        printf("{\"queue\":\"%s\",\"id\":\"%s\"}\n", o->queue, id);
    return 0;
}

static int push_now(struct cron_client *c, const struct cron_entry *e,
                    int64_t now_ms)
{
    loop_role_assert();
    struct running run = {.answered = false};
    struct unique unique = {.until = UNIQUE_DONE, .on_conflict = UNIQUE_SKIP};
    struct conn *conn = client_conn(c->client);
    struct buf envelope = {0};
    char id[ID_MAX_LEN + 1];

    cron_run_id(e, id);
    cron_job(e, id, now_ms, now_ms, &envelope);
    cron_lock(e->name, unique.key);
    struct push_one one = {.id = id,
                           .envelope = {envelope.data, envelope.len},
                           .unique = &unique,
                           .keep = e->keep_ms > 0,
                           .type = e->type,
                           .created_at_ms = now_ms};
    if (e->overlap != CRON_SKIP)
        one.unique = NULL;
    int rc = one.unique != NULL || one.keep
                 ? queue_push_one(conn, &c->keys, &one, on_pushed_one, &run)
                 : queue_push(conn, &c->keys, false, &one.envelope, 1,
                              on_pushed, &run);
    while (rc == 0 && !run.answered)
        client_turn(c->client, true);
    buf_done(&envelope);
    if (rc != 0)
        return fail(c->o, EX_UNAVAILABLE, "%s: not sent: %s",
                    client_url(c->client), client_down_why(c->client));
    return run_status(c->o, e, &run, id);
}

static int run_run(const struct options *o)
{
    struct cron_client c;
    struct cron_entry *e = NULL;
    int64_t now_ms = 0;
    int status = cron_client_open(o, &c);

    if (status == 0)
        status = cron_client_read(&c, o->args[0]);
    if (status == 0)
        status = cron_client_parse(&c, o->args[0], &e);
    if (status == 0)
        status = client_now(c.client, &now_ms);
    if (status == 0)
        status = push_now(&c, e, now_ms);
    cron_entry_free(e);
    cron_client_close(&c);
    return status;
}

/* ---- the commands ---- */

#define QUEUE_FLAG                                                             \
    {                                                                          \
        "queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,                     \
            "whose it is (default: \"default\")"                               \
    }

static const struct flag queue_flags[] = {QUEUE_FLAG, {0}};

static const struct flag add_flags[] = {
    QUEUE_FLAG,
    {"tz", 0, FLAG_TEXT, "ZONE", AT(tz), 0, 0,
     "whose clock: Europe/Berlin (UTC)"},
    {"jitter", 0, FLAG_DURATION, "D", AT(jitter_ms), 0, CRON_JITTER_MAX_MS,
     "up to so much later, the same for each tick (0)"},
    {"overlap", 0, FLAG_TEXT, "allow|skip", AT(overlap), 0, 0,
     "skip: not while the last one has not ended (allow)"},
    {"catch-up", 0, FLAG_TEXT, "none|last|all", AT(catch_up), 0, 0,
     "which of the ticks that were missed are made up for (last)"},
    {"catch-up-limit", 0, FLAG_DURATION, "D", AT(catch_up_limit_ms), 0,
     CRON_LIMIT_MAX_MS, "and how late they may be (1h)"},
    {"times", 0, FLAG_INT, "N", AT(times), 1, TIMES_MAX,
     "only so many jobs, then it goes"},
    {"keep", 0, FLAG_DURATION, "D", AT(keep_ms), 1, 366 * DAY_MS,
     "how long the results of its jobs are kept (not at all)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, 366 * DAY_MS,
     "of an attempt (the handler's)"},
    {"max-attempts", 0, FLAG_INT, "N", AT(max_attempts), 1, ATTEMPTS_MAX,
     "then a job is dead (20)"},
    {"backoff", 0, FLAG_TEXT, "POLICY", AT(backoff), 0, 0,
     "between attempts, as for push"},
    {"expires", 0, FLAG_DURATION, "D", AT(expires_after_ms), 1, 366 * DAY_MS,
     "a job is not begun later than so long after its tick"},
    {"paused", 0, FLAG_BOOL, NULL, AT(paused), 0, 0,
     "nothing comes before belt cron resume"},
    {0},
};

#define DST                                                                    \
    "\nSPEC is MINUTE HOUR DAY MONTH WEEKDAY, with six fields the second in "  \
    "front; or @hourly\n@daily @weekly @monthly @yearly, or \"@every 90s\". "  \
    "A time that daylight saving leaves out\ncomes right behind the gap, one " \
    "that comes twice counts once; but if HOUR begins with *,\nit goes by "    \
    "elapsed time. DAY and WEEKDAY are alternatives if neither begins with "   \
    "*.\n"

const struct command cmd_cron_add = {
    .name = "cron add",
    .usage = "NAME SPEC TYPE [PAYLOAD | - | @FILE | key=value ...]",
    .summary = "Add a periodic job, or replace the one of that name",
    .details = "belt cron add nightly '0 2 * * *' report --tz Europe/Berlin\n"
               "Its jobs have the ids cron:NAME:INSTANT; any worker of the "
               "queue pushes them, each once.\n" DST,
    .flags = add_flags,
    .min_args = 3,
    .max_args = -1,
    .run = run_add,
};
const struct command cmd_cron_remove = {
    .name = "cron remove",
    .usage = "NAME",
    .summary = "Remove a periodic job; those that it has pushed stay",
    .flags = queue_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_remove,
};
const struct command cmd_cron_pause = {
    .name = "cron pause",
    .usage = "NAME",
    .summary = "Let a periodic job push nothing until it is resumed",
    .flags = queue_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_pause,
};
const struct command cmd_cron_resume = {
    .name = "cron resume",
    .usage = "NAME",
    .summary = "Let it go on, from now: the pause is not made up for",
    .flags = queue_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_resume,
};
const struct command cmd_cron_run = {
    .name = "cron run",
    .usage = "NAME",
    .summary = "Push one job of it now, out of turn, and print its queue/id",
    .details = "With --overlap skip nothing is pushed while the last one has "
               "not ended: exit status 1.\n",
    .flags = queue_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_run,
};
