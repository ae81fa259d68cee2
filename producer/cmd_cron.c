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
#include "producer/connect.h"
#include "producer/cron_client.h"
#include "producer/payload.h"
#include "producer/push_flags.h"

#define AT(member) offsetof(struct options, member)

/* What is done to the entry of the command line. */
typedef int (*cron_do)(const struct options *o, struct cron_client *c,
                       const void *arg);

static int with_client(const struct options *o, cron_do act, const void *arg)
{
    struct cron_client c;
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    cron_client_init(&c, client, o->ns, o->queue);
    status = act(o, &c, arg);
    cron_client_done(&c);
    client_close(client);
    return status;
}

static int change_one(const struct options *o, cron_do act, const void *arg)
{
    const char *name = o->args[0];

    if (!cron_is_name(name, strlen(name)))
        return fail(o, EX_USAGE,
                    "%s: no name of an entry: up to %d of A-Z a-z 0-9 . _ -",
                    name, CRON_NAME_MAX_LEN);
    return with_client(o, act, arg);
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

static int add(const struct options *o, struct cron_client *c, const void *arg)
{
    (void)o;
    return cron_client_add(c, arg);
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
        status = with_client(o, add, e);
    cron_entry_free(e);
    push_options_done(&p);
    buf_done(&payload);
    return status;
}

/* ---- remove, pause, resume ---- */

static int remove_one(const struct options *o, struct cron_client *c,
                      const void *arg)
{
    (void)arg;
    return cron_client_remove(c, o->args[0]);
}

static int run_remove(const struct options *o)
{
    return change_one(o, remove_one, NULL);
}

static int pause_one(const struct options *o, struct cron_client *c,
                     const void *arg)
{
    return cron_client_pause(c, o->args[0], *(const bool *)arg);
}

static int run_pause(const struct options *o)
{
    bool pause = true;

    return change_one(o, pause_one, &pause);
}

static int run_resume(const struct options *o)
{
    bool pause = false;

    return change_one(o, pause_one, &pause);
}

/* ---- run ---- */

static int push_now(const struct options *o, struct cron_client *c,
                    const void *arg)
{
    struct cron_entry *e = NULL;
    struct cron_run run;
    int status = cron_client_read(c, o->args[0]);

    (void)arg;
    if (status == 0)
        status = cron_client_parse(c, o->args[0], &e);
    if (status == 0)
        status = cron_client_run(c, e, &run);
    if (status == 0 && o->format == OUT_TABLE)
        printf("%s/%s\n", o->queue, run.id);
    else if (status == 0)
        printf("{\"queue\":\"%s\",\"id\":\"%s\"}\n", o->queue, run.id);
    cron_entry_free(e);
    return status;
}

static int run_run(const struct options *o)
{
    return with_client(o, push_now, NULL);
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
    {"times", 0, FLAG_INT, "N", AT(times), 1, CRON_TIMES_MAX,
     "only so many jobs, then it goes"},
    {"keep", 0, FLAG_DURATION, "D", AT(keep_ms), 1, CRON_SPAN_MAX_MS,
     "how long the results of its jobs are kept (not at all)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, CRON_SPAN_MAX_MS,
     "of an attempt (the handler's)"},
    {"max-attempts", 0, FLAG_INT, "N", AT(max_attempts), 1, PUSH_ATTEMPTS_MAX,
     "then a job is dead (20)"},
    {"backoff", 0, FLAG_TEXT, "POLICY", AT(backoff), 0, 0,
     "between attempts, as for push"},
    {"expires", 0, FLAG_DURATION, "D", AT(expires_after_ms), 1,
     CRON_SPAN_MAX_MS, "a job is not begun later than so long after its tick"},
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
