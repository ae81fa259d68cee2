/*
 * belt cancel: jobs that wait or run, by their ids.
 *
 * First the ids are marked: from then on no lane that fetches such a job runs
 * it, and the lane that has it stops it. Then jobs that wait for their time or
 * a retry are looked for, and taken out at once. In this order nothing slips
 * through while it moves; where the look misses a job, its mark waits for it.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/unique.h"
#include "common/redis/queue_admin.h"
#include "common/redis/queue_news.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/kept.h"
#include "producer/out.h"

enum {
    JOBS_MAX = 10000, /* as many as there can be marks */
    AT_ONCE = 100,
    ASK_MS = 20, /* between looks whether the marks have gone, at first */
    ASK_MAX_MS = 250,
    LOOK_MS = 200, /* between looks for the jobs themselves, at first */
    LOOK_MAX_MS = 16000,
    MISSES = 2, /* jobs move: one look may miss one */
    EX_TIMEOUT = 124
};

enum outcome {
    MARKED,    /* it is ready or runs, and will be cancelled */
    CANCELLED, /* it is */
    ENDED,     /* it had ended before, or in another way */
    OVER,      /* it has ended; how is not kept */
    NOT_FOUND
};

static const char *const outcome_names[] = {"marked", "cancelled", "ended",
                                            "over", "not found"};

struct entry {
    struct job_name name;
    enum outcome outcome;
    struct kept kept;
    bool marked; /* its mark is there still */
    int misses;
};

struct cancel {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct entry *all;       /* owned */
    size_t count, cap;
};

/* A call of a script, and what became of it. */
struct call {
    struct cancel *c; /* borrowed */
    bool answered;
    int status;
    int64_t n;
    int (*result)(int err, const struct reply *r, int64_t *ret,
                  struct errbuf *eb);
};

static int on_name(void *arg, const struct job_name *name);
static void on_answer(void *arg, int err, const struct reply *r);
static void on_nothing(void *arg, const struct reply *r);
static void on_score(void *arg, const struct reply *r);

static const struct column columns[] = {{"job", FOR_PEOPLE, false},
                                        {"queue", FOR_PROGRAMS, false},
                                        {"id", FOR_PROGRAMS, false},
                                        {"outcome", FOR_ALL, false},
                                        {0}};

static int on_name(void *arg, const struct job_name *name)
{
    struct cancel *c = arg;

    if (c->count == JOBS_MAX)
        return fail(c->o, EX_USAGE, "more than %d jobs", JOBS_MAX);
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->all = mem_resize(c->all, c->cap * sizeof(*c->all));
    }
    c->all[c->count++] = (struct entry){.name = *name};
    return 0;
}

/* ---- calls ---- */

static void on_answer(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct call *call = arg;
    const struct options *o = call->c->o;
    struct errbuf eb = {""};
    int rc = call->result(err, r, &call->n, &eb);

    call->answered = true;
    if (rc == ERR_UNKNOWN)
        call->status = fail(o, EX_TEMPFAIL,
                            "connection lost: outcome unknown; the same again "
                            "does no harm");
    else if (rc == ERR_REFUSED || rc == ERR_FULL)
        call->status = fail(o, EX_TEMPFAIL, "%s", eb.text);
    else if (rc != 0)
        call->status = fail(o, client_error_status(eb.text), "%s", eb.text);
}

static int wait_answer(struct call *call, int rc)
{
    struct client *client = call->c->client;

    if (rc != 0)
        return fail(call->c->o, EX_UNAVAILABLE, "%s: connection lost: %s",
                    client_url(client), client_down_why(client));
    while (!call->answered)
        client_turn(client, true);
    return call->status;
}

/* Marks those from i on that are of one queue; *i is then behind them. */
static int mark_some(struct cancel *c, size_t *i)
{
    struct call call = {.c = c, .result = queue_cancel_result};
    const char *ids[AT_ONCE];
    struct entry *first = &c->all[*i];
    struct keys keys;
    unsigned n = 0;

    for (; *i < c->count && n < AT_ONCE; ++*i) {
        struct entry *e = &c->all[*i];
        if (strcmp(e->name.queue, first->name.queue) != 0)
            break;
        e->marked = true;
        ids[n++] = e->name.id;
    }
    keys_init(&keys, c->o->ns, first->name.queue);
    return wait_answer(&call, queue_cancel(client_conn(c->client), &keys, ids,
                                           n, on_answer, &call));
}

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

/* Takes a mark back that will find no job. */
static int unmark(struct cancel *c, struct entry *e)
{
    struct keys keys;
    struct args a = {0};

    keys_init(&keys, c->o->ns, e->name.queue);
    args_str(&a, "ZREM");
    args_str(&a, keys.cancelled);
    args_str(&a, e->name.id);
    client_call(c->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "HINCRBY"); /* lanes are to read the marks anew */
    args_str(&a, keys.config);
    args_str(&a, "cancelled_version");
    args_int(&a, 1);
    client_call(c->client, &a, on_nothing, NULL);
    args_done(&a);
    e->marked = false;
    return client_wait(c->client);
}

/* Takes a job that was found out of its set, if it still is there. */
static int take_out(struct cancel *c, struct entry *e, const struct found *f)
{
    struct call call = {.c = c, .result = queue_remove_result};
    struct remove_job one = {.member = {f->job->raw, f->job->raw_len},
                             .id = f->job->id,
                             .keep_ms = f->job->keep_ms};
    struct unique unique;
    struct keys keys;

    if (f->job->unique.p && unique_parse(f->job->unique, &unique, NULL) == 0 &&
        unique.until != UNIQUE_TIME)
        one.unique = unique.key;
    keys_init(&keys, c->o->ns, e->name.queue);
    int status = wait_answer(
        &call,
        queue_remove(client_conn(c->client), &keys,
                     f->place == PLACE_RETRY ? QUEUE_RETRY : QUEUE_SCHEDULED,
                     true, &one, 1, on_answer, &call));
    if (status == 0 && call.n > 0) {
        e->outcome = CANCELLED;
        e->marked = false; /* the script did that */
    }
    return status;
}

/* ---- looking for them ---- */

static int judge_kept(struct cancel *c, struct entry *e)
{
    e->outcome = ENDED;
    return e->marked ? unmark(c, e) : 0;
}

/* Looks for a job that is marked, and ends it where it can be ended here. */
static int look(struct cancel *c, struct entry *e, unsigned places)
{
    enum place first = kept_is(&e->kept, "scheduled") ? PLACE_SCHEDULED
                       : kept_is(&e->kept, "retry")   ? PLACE_RETRY
                                                      : PLACE_NONE;
    struct found f;
    struct keys keys;

    keys_init(&keys, c->o->ns, e->name.queue);
    int status = find_job(c->client, &keys, e->name.id, places, first, &f);
    e->misses = f.job || f.cut ? 0 : e->misses + 1;
    if (status == 0 && f.job &&
        (f.place == PLACE_SCHEDULED || f.place == PLACE_RETRY))
        status = take_out(c, e, &f);
    else if (status == 0 && f.job && f.place == PLACE_DEAD)
        status = judge_kept(c, e);
    found_done(&f);
    return status;
}

static int ask_kept(struct cancel *c, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++) {
        struct entry *e = &c->all[i];
        struct keys keys;
        kept_done(&e->kept);
        if (!e->marked)
            continue;
        keys_init(&keys, c->o->ns, e->name.queue);
        kept_ask(c->client, &keys, e->name.id, &e->kept);
    }
    return client_wait(c->client);
}

static size_t chunk(const struct cancel *c, size_t from)
{
    return c->count - from < AT_ONCE ? c->count - from : AT_ONCE;
}

static int look_for_all(struct cancel *c)
{
    int status = 0;

    for (size_t i = 0; i < c->count && status == 0; i += AT_ONCE) {
        size_t n = chunk(c, i);
        status = ask_kept(c, i, n);
        for (size_t j = i; j < i + n && status == 0; j++) {
            struct entry *e = &c->all[j];
            if (!e->marked)
                continue;
            status =
                kept_is_over(&e->kept)
                    ? judge_kept(c, e)
                    : look(c, e, PLACE_SCHEDULED | PLACE_RETRY | PLACE_DEAD);
        }
    }
    return status;
}

/* The queues of those of which only the id was said. */
static int find_queues(struct cancel *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct entry *e = &c->all[i];
        if (e->name.queue[0] != '\0')
            continue;
        int status = find_queue(c->client, c->o, &e->name);
        if (status != 0)
            return status;
        if (e->name.queue[0] == '\0')
            e->outcome = NOT_FOUND;
    }
    return 0;
}

static int mark_all(struct cancel *c)
{
    int status = 0;

    for (size_t i = 0; i < c->count && status == 0;) {
        if (c->all[i].outcome == NOT_FOUND)
            i++;
        else
            status = mark_some(c, &i);
    }
    return status;
}

/* ---- waiting ---- */

static void on_score(void *arg, const struct reply *r)
{
    struct entry *e = arg;

    e->marked = !reply_is_nil(r);
}

/* Its mark has gone, or its news say that it is over. */
static int conclude(struct cancel *c, struct entry *e)
{
    if (kept_is(&e->kept, "cancelled"))
        e->outcome = CANCELLED;
    else if (kept_is_over(&e->kept))
        e->outcome = ENDED;
    else if (!e->marked)
        e->outcome = OVER;
    return e->marked && e->outcome != MARKED ? unmark(c, e) : 0;
}

/* Asks for some of those that are waited for, and sees which are over. */
static int ask(struct cancel *c, size_t from, size_t n)
{
    int status = 0;

    for (size_t i = from; i < from + n; i++) {
        struct entry *e = &c->all[i];
        struct keys keys;
        struct args a = {0};
        if (e->outcome != MARKED)
            continue;
        keys_init(&keys, c->o->ns, e->name.queue);
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
            status = conclude(c, &c->all[i]);
    }
    return status;
}

/* What is nowhere will not come: it ended before its lane heard of the mark. */
static int look_again(struct cancel *c, size_t from, size_t n)
{
    int status = 0;

    for (size_t i = from; i < from + n && status == 0; i++) {
        struct entry *e = &c->all[i];
        if (e->outcome != MARKED)
            continue;
        status = look(c, e, PLACES_ALL);
        if (status == 0 && e->outcome == MARKED && e->misses >= MISSES) {
            e->outcome = NOT_FOUND;
            status = unmark(c, e);
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
static int wait_for_all(struct cancel *c)
{
    int64_t now = clock_ms(), end = INT64_MAX, look_at = now + LOOK_MS;
    int64_t ask_ms = ASK_MS, look_ms = LOOK_MS;
    int status = 0;

    for (size_t i = 0; i < c->count; i++)
        c->all[i].misses = 0; /* so far not every place was looked at */
    if (c->o->wait_timeout_ms > 0)
        end = now + c->o->wait_timeout_ms;
    for (;;) {
        bool looks = now >= look_at;
        for (size_t i = 0; i < c->count && status == 0; i += AT_ONCE) {
            status = ask(c, i, chunk(c, i));
            if (status == 0 && looks)
                status = look_again(c, i, chunk(c, i));
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

static bool print(const struct cancel *c)
{
    struct out *out = out_new(c->o, columns);
    bool negative = false;

    for (size_t i = 0; i < c->count; i++) {
        const struct entry *e = &c->all[i];
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

static int cancel_all(struct cancel *c)
{
    int status = client_open(c->o, &c->client);

    if (status != 0)
        return status;
    status = find_queues(c);
    if (status == 0)
        status = mark_all(c);
    if (status == 0)
        status = look_for_all(c);
    if (status == 0 && c->o->wait)
        status = wait_for_all(c);
    if ((status == 0 || status == EX_TIMEOUT) && print(c) && status == 0)
        status = 1;
    client_close(c->client);
    return status;
}

static int run_cancel(const struct options *o)
{
    struct cancel c = {.o = o};
    int bad = job_names_read(o, on_name, &c), status = 0;

    if ((bad == 0 || bad == EX_DATAERR) && c.count > 0)
        status = cancel_all(&c);
    for (size_t i = 0; i < c.count; i++)
        kept_done(&c.all[i].kept);
    free(c.all);
    return bad != 0 && status <= 1 ? bad : status;
}

#define AT(member) offsetof(struct options, member)

static const struct flag flags[] = {
    {"wait", 0, FLAG_BOOL, NULL, AT(wait), 0, 0, "until they have ended"},
    {"timeout", 0, FLAG_DURATION, "D", AT(wait_timeout_ms), 1,
     366LL * 24 * 3600 * 1000, "of --wait: exit 124"},
    {0},
};

const struct command cmd_cancel = {
    .name = "cancel",
    .usage = "QUEUE/ID ... | ID ... | -  [--wait [--timeout D]]",
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
        "75).\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_cancel,
};
