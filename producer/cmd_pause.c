/*
 * belt pause, belt resume: whether jobs of a queue may start.
 *
 *     config ──version──► lanes renew ──► each lets go and writes that version
 *
 * Pausing is one transaction; then the command waits for the lanes that hold
 * a lease. One whose lease has run out starts nothing before it has renewed,
 * and then it knows (docs/PROTOCOL.md), so nobody waits longer than a lease for
 * the dead. What else is written here is for people to read.
 *
 * Thread: main, which is also the loop.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/queue.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/lanes.h"
#include "producer/out.h"

enum {
    TIMEOUT_MS = 60 * 1000, /* of waiting, unless --timeout says */
    STEP_MAX_MS = 50,
    REASON_MAX = 1000,
    NAMED_MAX = 5, /* lanes in a message */
    BY_MAX = 256
};

struct pausing {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    const char *queue;       /* borrowed */
    struct keys keys;
    int64_t version; /* 0: config has one that is no number */
    int64_t until_ms;
    bool done, lifted; /* all comply; it is not paused any more */
    int64_t removed;   /* fields, by resume */
    struct lanes lanes;
};

static void on_nothing(void *arg, const struct reply *r);
static void on_exec(void *arg, const struct reply *r);
static void on_paused(void *arg, const struct reply *r);

/* ---- the transaction ---- */

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

static void begin(struct pausing *p)
{
    struct args a = {0};

    args_str(&a, "MULTI");
    client_call(p->client, &a, on_nothing, NULL);
    args_done(&a);
}

/* The version behind what was changed, the word to the lanes, and EXEC. */
static void finish(struct pausing *p, const char *how, int64_t n)
{
    struct args a = {0};

    args_str(&a, how);
    args_str(&a, p->keys.config);
    args_str(&a, "version");
    args_int(&a, n);
    client_call(p->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "PUBLISH");
    args_str(&a, p->keys.control);
    args_str(&a, "pause");
    client_call(p->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "EXEC");
    client_call(p->client, &a, on_exec, p);
    args_done(&a);
}

/* PUBLISH is the last one, the version the one before it. */
static void on_exec(void *arg, const struct reply *r)
{
    struct pausing *p = arg;
    size_t n = reply_len(r);

    (void)reply_int(reply_at(r, 0), &p->removed);
    p->version = 0;
    if (n >= 2)
        (void)reply_int(reply_at(r, n - 2), &p->version);
    for (size_t i = 0; i + 2 < n; i++) {
        if (reply_is_error(reply_at(r, i)))
            client_fail(p->client, reply_error(reply_at(r, i)));
    }
}

/*
 * A version is only compared: one that people broke, or that begins anew below
 * what some lane complied with once, jumps.
 */
static int mend_version(struct pausing *p, int64_t now_ms)
{
    int64_t least = p->lanes.highest + 1;

    if (p->version >= least)
        return 0;
    begin(p);
    if (p->version < 1)
        finish(p, "HSET", now_ms > least ? now_ms : least);
    else
        finish(p, "HINCRBY", least - p->version);
    if (p->version < 1)
        least = now_ms > least ? now_ms : least;
    int status = client_wait(p->client);
    p->version = least;
    return status;
}

/* USER@HOST */
static void name_self(char out[BY_MAX])
{
    const struct passwd *pw = getpwuid(geteuid());
    const char *host = getenv("BELT_HOST");
    char name[128] = "";

    if (!host || *host == '\0') {
        (void)gethostname(name, sizeof(name) - 1);
        host = name;
    }
    if (pw)
        snprintf(out, BY_MAX, "%s@%s", pw->pw_name, host);
    else
        snprintf(out, BY_MAX, "%ld@%s", (long)geteuid(), host);
}

static void send_pause(struct pausing *p, int64_t now_ms)
{
    const struct options *o = p->o;
    struct args a = {0};
    char by[BY_MAX];

    name_self(by);
    p->until_ms = o->for_ms > 0 ? now_ms + o->for_ms : 0;
    begin(p);
    args_str(&a, "HSET");
    args_str(&a, p->keys.config);
    args_str(&a, "paused");
    args_int(&a, o->for_ms > 0 ? p->until_ms : 1);
    args_str(&a, "paused_at");
    args_int(&a, now_ms);
    args_str(&a, "paused_by");
    args_str(&a, by);
    args_str(&a, "paused_reason");
    args_str(&a, o->reason ? o->reason : "");
    client_call(p->client, &a, on_nothing, NULL);
    args_done(&a);
    finish(p, "HINCRBY", 1);
}

static void send_resume(struct pausing *p)
{
    struct args a = {0};

    begin(p);
    args_str(&a, "HDEL");
    args_str(&a, p->keys.config);
    args_str(&a, "paused");
    args_str(&a, "paused_at");
    args_str(&a, "paused_by");
    args_str(&a, "paused_reason");
    client_call(p->client, &a, on_nothing, NULL);
    args_done(&a);
    finish(p, "HINCRBY", 1);
}

/* ---- waiting ---- */

static void on_paused(void *arg, const struct reply *r)
{
    struct pausing *p = arg;
    const char *text;
    size_t n;

    p->lifted = !reply_str(r, &text, &n) || strcmp(text, "0") == 0;
}

static int look(struct pausing *p)
{
    struct args a = {0};

    args_str(&a, "HGET");
    args_str(&a, p->keys.config);
    args_str(&a, "paused");
    client_call(p->client, &a, on_paused, p);
    args_done(&a);
    int status = lanes_look(&p->lanes, p->client, &p->keys, p->version);
    p->done = status == 0 && p->lanes.behind == 0;
    if (p->until_ms > 0 && p->lanes.now_ms >= p->until_ms)
        p->lifted = true;
    return status;
}

static int wait_for_lanes(struct pausing *all, size_t n, int64_t deadline_ms)
{
    int64_t step_ms = 1;

    for (bool done = false; !done;) {
        done = true;
        for (size_t i = 0; i < n; i++) {
            int status = all[i].done ? 0 : look(&all[i]);
            if (status != 0)
                return status;
            done = done && (all[i].done || all[i].lifted);
        }
        if (clock_ms() >= deadline_ms)
            return 0;
        if (!done)
            client_sleep(all->client, step_ms);
        step_ms = 2 * step_ms < STEP_MAX_MS ? 2 * step_ms : STEP_MAX_MS;
    }
    return 0;
}

/* ---- the commands ---- */

static const struct column pause_columns[] = {
    {"queue", FOR_ALL, false},
    {"state", FOR_ALL, false},
    {"waiting", FOR_PROGRAMS, true},
    {0},
};

/* Returns the exit status. */
static int tell(struct out *out, struct pausing *p)
{
    const struct options *o = p->o;
    bool waited = !o->no_wait;

    out_str(out, p->queue);
    out_str(out, p->done ? "paused" : p->lifted ? "resumed" : "pausing");
    out_int(out, p->lanes.behind);
    out_row(out);
    if (p->done || !waited)
        return 0;
    if (p->lifted)
        return fail(o, 1, "%s: the pause ended before all workers had heard",
                    p->queue);
    struct buf names = {0};
    lanes_name(&p->lanes, NAMED_MAX, &names);
    complain(o, "%s: paused, but not yet heard by %lld: %s", p->queue,
             (long long)p->lanes.behind, names.data);
    buf_done(&names);
    return EX_TEMPFAIL;
}

static int pause_all(struct pausing *all, size_t n)
{
    const struct options *o = all->o;
    int64_t now_ms, patience = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    int64_t deadline_ms = clock_ms() + patience;
    int status = client_now(all->client, &now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        status = lanes_look(&all[i].lanes, all->client, &all[i].keys, 0);
    for (size_t i = 0; i < n && status == 0; i++)
        send_pause(&all[i], now_ms);
    if (status == 0)
        status = client_wait(all->client);
    for (size_t i = 0; i < n && status == 0; i++)
        status = mend_version(&all[i], now_ms);
    if (status == 0 && o->no_wait) {
        for (size_t i = 0; i < n && status == 0; i++)
            status = look(&all[i]);
    } else if (status == 0) {
        status = wait_for_lanes(all, n, deadline_ms);
    }
    if (status != 0)
        return status;
    struct out *out = out_new(o, pause_columns);
    for (size_t i = 0; i < n; i++) {
        int one = tell(out, &all[i]);
        status = status == 0 ? one : status;
    }
    out_end(out);
    return status;
}

static const struct column resume_columns[] = {
    {"queue", FOR_ALL, false},
    {"state", FOR_ALL, false},
    {0},
};

static int resume_all(struct pausing *all, size_t n)
{
    int64_t now_ms;
    int status = client_now(all->client, &now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        send_resume(&all[i]);
    if (status == 0)
        status = client_wait(all->client);
    for (size_t i = 0; i < n && status == 0; i++) {
        int64_t removed = all[i].removed;
        status = mend_version(&all[i], now_ms);
        all[i].removed = removed;
    }
    if (status != 0)
        return status;
    struct out *out = out_new(all->o, resume_columns);
    for (size_t i = 0; i < n; i++) {
        out_str(out, all[i].queue);
        out_str(out, all[i].removed > 0 ? "resumed" : "not paused");
        out_row(out);
    }
    out_end(out);
    return 0;
}

static int run_on(const struct options *o,
                  int (*run)(struct pausing *all, size_t n))
{
    struct client *client;
    size_t n = (size_t)o->arg_count;

    for (size_t i = 0; i < n; i++) {
        if (!text_is_name(o->args[i], strlen(o->args[i])))
            return fail(o, EX_USAGE, "%s: not the name of a queue", o->args[i]);
    }
    if (o->reason && strlen(o->reason) > REASON_MAX)
        return fail(o, EX_USAGE, "--reason: more than %d bytes", REASON_MAX);
    int status = client_open(o, &client);
    if (status != 0)
        return status;
    struct pausing *all = mem_new(n * sizeof(*all));
    for (size_t i = 0; i < n; i++) {
        all[i] = (struct pausing){
            .o = o, .client = client, .queue = o->args[i], .removed = 0};
        keys_init(&all[i].keys, o->ns, o->args[i]);
    }
    status = run(all, n);
    for (size_t i = 0; i < n; i++)
        lanes_done(&all[i].lanes);
    free(all);
    client_close(client);
    return status;
}

static int run_pause(const struct options *o)
{
    return run_on(o, pause_all);
}

static int run_resume(const struct options *o)
{
    return run_on(o, resume_all);
}

#define AT(member) offsetof(struct options, member)

static const struct flag pause_flags[] = {
    {"for", 0, FLAG_DURATION, "D", AT(for_ms), 1, QUEUE_WAIT_MAX_MS,
     "it ends by itself then (never)"},
    {"reason", 0, FLAG_TEXT, "TEXT", AT(reason), 0, 0, "for people"},
    {"no-wait", 0, FLAG_BOOL, NULL, AT(no_wait), 0, 0,
     "do not wait for the workers"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, QUEUE_WAIT_MAX_MS,
     "of waiting for them (60s)"},
    {0},
};

const struct command cmd_pause = {
    .name = "pause",
    .usage = "QUEUE ... [--for D] [--reason TEXT] [--no-wait] [--timeout D]",
    .summary = "Let no job of a queue start",
    .details =
        "It returns when no job starts any more: every worker has given back\n"
        "what it had not begun, or has lost its lease. Jobs that run are not\n"
        "disturbed, and pushing goes on. After --timeout it ends with 75 and\n"
        "names the lanes that have not answered; the queue is paused all the\n"
        "same. 1: somebody resumed it, or --for was over, before that.\n",
    .flags = pause_flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_pause,
};

const struct command cmd_resume = {
    .name = "resume",
    .usage = "QUEUE ...",
    .summary = "Let the jobs of a paused queue start again",
    .min_args = 1,
    .max_args = -1,
    .run = run_resume,
};
