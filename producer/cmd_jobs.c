/*
 * belt jobs: a look at the jobs of a queue, in the order of their turn.
 *
 * Lists are read a few elements at a time, since each may be as big as the
 * limit allows. What lies in Redis may come from anybody, so an element that
 * is no envelope is shown as one, with the reason.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/job_rows.h"

#define AT(member) offsetof(struct options, member)

enum { JOBS_MAX = 1000, JOBS_AT_ONCE = 20, LANES_AT_ONCE = 100 };

struct look {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct keys keys;
    struct job_rows *rows; /* owned */
    bool scored;           /* elements come with their scores */
    int64_t left;          /* rows that may still be printed */
    const char *lane;      /* of the list under way; borrowed; NULL: none */
    size_t got;            /* elements in the last answer */
};

struct lanes {
    char names[LANES_AT_ONCE][192];
    size_t count, seen;
};

static void on_jobs(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);

static void print_element(struct look *l, const struct reply *r, int64_t at_ms)
{
    struct errbuf eb = {""};
    struct bytes e;

    if (!reply_str(r, &e.p, &e.len) || l->left == 0)
        return;
    l->left--;
    struct job *job = job_of(e, &eb);
    const struct job_row row = {.lane = l->lane,
                                .element = e,
                                .job = job,
                                .at_ms = at_ms,
                                .why = eb.text};
    (void)job_rows_print(l->rows, &row);
    job_free(job);
}

static void on_jobs(void *arg, const struct reply *r)
{
    struct look *l = arg;
    size_t step = l->scored ? 2 : 1;

    l->got = reply_len(r) / step;
    for (size_t i = 0; i + step <= reply_len(r); i += step) {
        int64_t at_ms = -1;
        if (l->scored && !reply_int(reply_at(r, i + 1), &at_ms))
            at_ms = -1; /* a score may be a fraction: not one of ours */
        print_element(l, reply_at(r, i), at_ms);
    }
}

/* Prints what a list or set holds, page by page, until enough is shown. */
static int look_at(struct look *l, const char *command, const char *key)
{
    int status = 0;

    l->got = JOBS_AT_ONCE;
    for (int64_t from = 0; status == 0 && l->left > 0 && l->got == JOBS_AT_ONCE;
         from += JOBS_AT_ONCE) {
        struct args a = {0};
        args_str(&a, command);
        args_str(&a, key);
        args_int(&a, from);
        args_int(&a, from + JOBS_AT_ONCE - 1);
        if (l->scored)
            args_str(&a, "WITHSCORES");
        client_call(l->client, &a, on_jobs, l);
        args_done(&a);
        status = client_wait(l->client);
    }
    return status;
}

static void on_lanes(void *arg, const struct reply *r)
{
    struct lanes *lanes = arg;

    lanes->count = 0;
    lanes->seen = reply_len(r);
    for (size_t i = 0; i < reply_len(r) && i < LANES_AT_ONCE; i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n) && strlen(p) == n &&
            n < sizeof(lanes->names[0]))
            memcpy(lanes->names[lanes->count++], p, n + 1);
    }
}

static int look_at_lanes(struct look *l, const struct lanes *lanes)
{
    int status = 0;

    for (size_t i = 0; i < lanes->count && status == 0; i++) {
        char key[KEY_MAX];
        l->lane = lanes->names[i];
        if (keys_active(&l->keys, l->lane, key))
            status = look_at(l, "LRANGE", key);
    }
    l->lane = NULL;
    return status;
}

static int look_at_active(struct look *l)
{
    struct lanes lanes = {.seen = LANES_AT_ONCE};
    int status = 0;

    for (int64_t from = 0;
         status == 0 && l->left > 0 && lanes.seen == LANES_AT_ONCE;
         from += LANES_AT_ONCE) {
        struct args a = {0};
        args_str(&a, "ZRANGE");
        args_str(&a, l->keys.leases);
        args_int(&a, from);
        args_int(&a, from + LANES_AT_ONCE - 1);
        client_call(l->client, &a, on_lanes, &lanes);
        args_done(&a);
        status = client_wait(l->client);
        if (status == 0)
            status = look_at_lanes(l, &lanes);
    }
    return status;
}

static int look_at_state(struct look *l)
{
    const char *state = l->o->state ? l->o->state : "ready";

    if (strcmp(state, "ready") == 0)
        return look_at(l, "LRANGE", l->keys.ready);
    if (strcmp(state, "active") == 0)
        return look_at_active(l);
    l->scored = true;
    if (strcmp(state, "scheduled") == 0)
        return look_at(l, "ZRANGE", l->keys.scheduled);
    if (strcmp(state, "retry") == 0)
        return look_at(l, "ZRANGE", l->keys.retry);
    return look_at(l, "ZREVRANGE", l->keys.dead);
}

static int check(const struct options *o)
{
    static const char *const states[] = {"ready", "active", "scheduled",
                                         "retry", "dead"};
    const char *queue = o->args[0];

    if (!text_is_name(queue, strlen(queue)))
        return fail(o, EX_USAGE, "%s: not the name of a queue", queue);
    for (size_t i = 0; i < 5; i++) {
        if (!o->state || strcmp(o->state, states[i]) == 0)
            return 0;
    }
    return fail(o, EX_USAGE,
                "--state: %s: not ready, active, scheduled, retry or dead",
                o->state);
}

static int run_jobs(const struct options *o)
{
    struct look l = {.o = o, .left = o->count};
    int status = check(o);

    if (status == 0)
        status = client_open(o, &l.client);
    if (status != 0)
        return status;
    keys_init(&l.keys, o->ns, o->args[0]);
    l.rows = job_rows_new(o, false);
    status = look_at_state(&l);
    job_rows_end(l.rows);
    client_close(l.client);
    return status;
}

static const struct flag flags[] = {
    {"state", 0, FLAG_TEXT, "STATE", AT(state), 0, 0,
     "ready, active, scheduled, retry or dead (ready)"},
    {"count", 'n', FLAG_INT, "N", AT(count), 1, JOBS_MAX,
     "at most so many (20)"},
    {0},
};

const struct command cmd_jobs = {
    .name = "jobs",
    .usage = "QUEUE [--state STATE] [-n N]",
    .summary = "Show the first jobs of a queue",
    .details = "WHEN is when a job is due, or since when it is dead; dead jobs "
               "come newest\nfirst. The formats for programs have the whole "
               "envelope as \"job\".\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_jobs,
};
