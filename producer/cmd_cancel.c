/*
 * belt cancel: jobs that wait or run, by their ids, or those that wait by
 * filter.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/cancel.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/out.h"
#include "producer/remove.h"

enum {
    JOBS_MAX = 10000, /* as many as there can be marks */
    ASK_MS = 20,      /* between looks whether the marks have gone, at first */
    ASK_MAX_MS = 250,
    LOOK_MS = 200, /* between looks for the jobs themselves, at first */
    LOOK_MAX_MS = 16000,
    MISSES = 2, /* jobs move: one look may miss one */
    EX_TIMEOUT = 124
};

static const char *const outcome_names[] = {"marked", "cancelled", "ended",
                                            "over", "not found"};

/* The command: what it says, and the jobs that it names. */
struct work {
    const struct options *o; /* borrowed */
    struct cancel jobs;
};

static int on_name(void *arg, const struct job_name *name);
static void on_score(void *arg, const struct reply *r);

static const struct column columns[] = {{"job", FOR_PEOPLE, false},
                                        {"queue", FOR_PROGRAMS, false},
                                        {"id", FOR_PROGRAMS, false},
                                        {"outcome", FOR_ALL, false},
                                        {0}};

static int on_name(void *arg, const struct job_name *name)
{
    struct work *w = arg;
    struct cancel *c = &w->jobs;

    if (c->count == JOBS_MAX)
        return fail(w->o, EX_USAGE, "more than %d jobs", JOBS_MAX);
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->all = mem_resize(c->all, c->cap * sizeof(*c->all));
    }
    c->all[c->count++] = (struct cancel_entry){.name = *name};
    return 0;
}

/* ---- waiting ---- */

static void on_score(void *arg, const struct reply *r)
{
    struct cancel_entry *e = arg;

    e->marked = !reply_is_nil(r);
}

/* Asks for some of those that are waited for, and sees which are over. */
static int ask(struct cancel *c, size_t from, size_t n)
{
    int status = 0;

    for (size_t i = from; i < from + n; i++) {
        struct cancel_entry *e = &c->all[i];
        struct keys keys;
        struct args a = {0};
        if (e->outcome != MARKED)
            continue;
        keys_init(&keys, c->ns, e->name.queue);
        args_str(&a, "ZSCORE");
        args_str(&a, keys.cancelled);
        args_str(&a, e->name.id);
        client_call(c->client, &a, on_score, e);
        args_done(&a);
        kept_done(&e->kept); /* what is asked for next is no older */
        kept_ask(c->client, &keys, e->name.id, &e->kept);
    }
    status = client_wait(c->client);
    for (size_t i = from; i < from + n && status == 0; i++) {
        if (c->all[i].outcome == MARKED)
            status = cancel_conclude(c, &c->all[i]);
    }
    return status;
}

/* What is nowhere will not come: it ended before its lane heard of the mark. */
static int look_again(struct cancel *c, size_t from, size_t n)
{
    int status = 0;

    for (size_t i = from; i < from + n && status == 0; i++) {
        struct cancel_entry *e = &c->all[i];
        if (e->outcome != MARKED)
            continue;
        status = cancel_look(c, e, PLACES_ALL);
        if (status == 0 && e->outcome == MARKED && e->misses >= MISSES) {
            e->outcome = NOT_FOUND;
            status = cancel_unmark(c, e);
        }
    }
    return status;
}

static size_t count_marked(const struct cancel *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->count; i++)
        n += c->all[i].outcome == MARKED;
    return n;
}

static void pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Returns EX_TIMEOUT when the time has passed. */
static int wait_for_all(struct cancel *c, int64_t timeout_ms)
{
    int64_t now = clock_ms(), end = INT64_MAX, look_at = now + LOOK_MS;
    int64_t ask_ms = ASK_MS, look_ms = LOOK_MS;
    int status = 0;

    for (size_t i = 0; i < c->count; i++)
        c->all[i].misses = 0; /* so far not every place was looked at */
    if (timeout_ms > 0)
        end = now + timeout_ms;
    for (;;) {
        bool looks = now >= look_at;
        for (size_t i = 0; i < c->count && status == 0;
             i += cancel_chunk(c, i)) {
            status = ask(c, i, cancel_chunk(c, i));
            if (status == 0 && looks)
                status = look_again(c, i, cancel_chunk(c, i));
        }
        if (status != 0 || count_marked(c) == 0)
            return status;
        now = clock_ms();
        if (now >= end)
            return EX_TIMEOUT;
        if (looks) {
            look_at = now + look_ms;
            look_ms = look_ms < LOOK_MAX_MS ? 2 * look_ms : LOOK_MAX_MS;
        }
        pause_ms(end - now < ask_ms ? end - now : ask_ms);
        ask_ms = ask_ms < ASK_MAX_MS ? ask_ms * 2 : ASK_MAX_MS;
        now = clock_ms();
    }
}

/* ---- the command ---- */

static bool print(const struct options *o, const struct cancel *c)
{
    struct out *out = out_new(o, columns);
    bool negative = false;

    for (size_t i = 0; i < c->count; i++) {
        const struct cancel_entry *e = &c->all[i];
        char text[JOB_NAME_TEXT_MAX];
        out_str(out, e->name.queue[0] != '\0' ? job_name_format(&e->name, text)
                                              : e->name.id);
        out_str(out, e->name.queue[0] != '\0' ? e->name.queue : NULL);
        out_str(out, e->name.id);
        out_str(out, outcome_names[e->outcome]);
        if (!out_row(out))
            break;
        negative |= e->outcome == ENDED || e->outcome == NOT_FOUND;
    }
    out_end(out);
    return negative;
}

static int cancel_all(const struct options *o, struct cancel *c)
{
    int status = client_open(o, &c->client);

    if (status != 0)
        return status;
    status = cancel_run(c);
    if (status == 0 && o->wait)
        status = wait_for_all(c, o->wait_timeout_ms);
    if ((status == 0 || status == EX_TIMEOUT) && print(o, c) && status == 0)
        status = 1;
    client_close(c->client);
    return status;
}

static int cancel_ids(const struct options *o)
{
    struct work w = {.o = o, .jobs.ns = o->ns};
    int bad = job_names_read(o, on_name, &w), status = 0;

    if ((bad == 0 || bad == EX_DATAERR) && w.jobs.count > 0)
        status = cancel_all(o, &w.jobs);
    for (size_t i = 0; i < w.jobs.count; i++)
        kept_done(&w.jobs.all[i].kept);
    free(w.jobs.all);
    return bad != 0 && status <= 1 ? bad : status;
}

static int cancel_filtered(const struct options *o)
{
    static const struct select_plan plan = {.verb = "cancel",
                                            .past = "cancelled",
                                            .waits = true,
                                            .act = remove_cancelled};

    for (int i = 0; i < o->arg_count; i++) {
        if (strcmp(o->args[i], "-") == 0 || strchr(o->args[i], '/'))
            return fail(o, EX_USAGE,
                        "%s: --state, filters and how they are gone through "
                        "are for queues",
                        o->args[i]);
    }
    if (o->wait)
        return fail(o, EX_USAGE, "--wait: for jobs that are named");
    return select_run(o, &plan, NULL);
}

static int run_cancel(const struct options *o)
{
    bool filtered = o->type || o->error || o->since || o->until || o->state ||
                    o->all || o->dry_run || o->rate || o->limit > 0;

    return filtered ? cancel_filtered(o) : cancel_ids(o);
}

#define AT(member) offsetof(struct options, member)

static const struct flag flags[] = {
    {"wait", 0, FLAG_BOOL, NULL, AT(wait), 0, 0, "until they have ended"},
    {"timeout", 0, FLAG_DURATION, "D", AT(wait_timeout_ms), 1,
     366LL * 24 * 3600 * 1000, "of --wait: exit 124"},
    {"state", 0, FLAG_TEXT, "STATE", AT(state), 0, 0,
     "of which set: retry or scheduled (both)"},
    FILTER_FLAGS,
    SELECT_HOW_FLAGS,
    {0},
};

const struct command cmd_cancel = {
    .name = "cancel",
    .usage = "(QUEUE/ID ... | ID ... | -) [--wait [--timeout D]]\n"
             "belt cancel QUEUE ... (--all | FILTER)",
    .summary = "Cancel jobs that wait or run",
    .details =
        "What becomes of each is printed:\n"
        "  cancelled  it waited for its time or a retry, and is gone\n"
        "  marked     it is ready or runs: the worker that has it, or gets it, "
        "ends it; a\n             running process gets TERM at once and KILL "
        "soon (--cancel-kill-after)\n"
        "  ended      it had ended already, or ended in another way (status "
        "1)\n"
        "  over       with --wait: it has ended, and how is not kept\n"
        "  not found  (status 1)\n\n"
        "A mark counts for 7 days, for whatever job has that id, and goes "
        "with the job. An\nID without its queue is looked for in all queues, "
        "but not among ready jobs. With\n- the names come from stdin. Workers "
        "hear of it at once. At most 10000 marks can\nstand in a queue (status "
        "75).\n\nWith a filter, or --all, those go that wait for their time or "
        "a retry.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_cancel,
};
