/*
 * belt pause, belt resume: whether jobs of a queue may start.
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
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/out.h"
#include "producer/pausing.h"

enum {
    TIMEOUT_MS = 60 * 1000, /* of waiting, unless --timeout says */
    NAMED_MAX = 5           /* lanes in a message */
};

/* USER@HOST */
static void name_self(char out[PAUSE_BY_MAX])
{
    const struct passwd *pw = getpwuid(geteuid());
    const char *host = getenv("BELT_HOST");
    char name[128] = "";

    if (!host || *host == '\0') {
        (void)gethostname(name, sizeof(name) - 1);
        host = name;
    }
    if (pw)
        snprintf(out, PAUSE_BY_MAX, "%s@%s", pw->pw_name, host);
    else
        snprintf(out, PAUSE_BY_MAX, "%ld@%s", (long)geteuid(), host);
}

static const struct column pause_columns[] = {
    {"queue", FOR_ALL, false},
    {"state", FOR_ALL, false},
    {"waiting", FOR_PROGRAMS, true},
    {0},
};

/* Returns the exit status. */
static int tell(const struct options *o, struct out *out,
                const struct pausing *p)
{
    bool waited = !o->no_wait;

    out_str(out, p->keys.queue);
    out_str(out, p->done ? "paused" : p->lifted ? "resumed" : "pausing");
    out_int(out, p->lanes.behind);
    out_row(out);
    if (p->done || !waited)
        return 0;
    if (p->lifted)
        return fail(o, 1, "%s: the pause ended before all workers had heard",
                    p->keys.queue);
    struct buf names = {0};
    lanes_name(&p->lanes, NAMED_MAX, &names);
    complain(o, "%s: paused, but not yet heard by %lld: %s", p->keys.queue,
             (long long)p->lanes.behind, names.data);
    buf_done(&names);
    return EX_TEMPFAIL;
}

static int pause_all(const struct options *o, struct pausing *all, size_t n)
{
    int64_t patience = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    int64_t deadline_ms = clock_ms() + patience;
    char by[PAUSE_BY_MAX];
    struct pause_wish w = {.for_ms = o->for_ms, .reason = o->reason, .by = by};

    name_self(by);
    int status = pausing_pause(all, n, &w);
    if (status == 0)
        status = o->no_wait ? pausing_look(all, n)
                            : pausing_wait(all, n, deadline_ms);
    if (status != 0)
        return status;
    struct out *out = out_new(o, pause_columns);
    for (size_t i = 0; i < n; i++) {
        int one = tell(o, out, &all[i]);
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

static int resume_all(const struct options *o, struct pausing *all, size_t n)
{
    int status = pausing_resume(all, n);

    if (status != 0)
        return status;
    struct out *out = out_new(o, resume_columns);
    for (size_t i = 0; i < n; i++) {
        out_str(out, all[i].keys.queue);
        out_str(out, all[i].removed > 0 ? "resumed" : "not paused");
        out_row(out);
    }
    out_end(out);
    return 0;
}

static int run_on(const struct options *o,
                  int (*run)(const struct options *o, struct pausing *all,
                             size_t n))
{
    struct client *client;
    size_t n = (size_t)o->arg_count;

    for (size_t i = 0; i < n; i++) {
        if (!text_is_name(o->args[i], strlen(o->args[i])))
            return fail(o, EX_USAGE, "%s: not the name of a queue", o->args[i]);
    }
    if (o->reason && strlen(o->reason) > PAUSE_REASON_MAX)
        return fail(o, EX_USAGE, "--reason: more than %d bytes",
                    PAUSE_REASON_MAX);
    int status = client_open(o, &client);
    if (status != 0)
        return status;
    struct pausing *all = mem_new(n * sizeof(*all));
    for (size_t i = 0; i < n; i++)
        pausing_init(&all[i], client, o->ns, o->args[i]);
    status = run(o, all, n);
    for (size_t i = 0; i < n; i++)
        pausing_done(&all[i]);
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
