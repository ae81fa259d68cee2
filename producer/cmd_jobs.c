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

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/base/text.h"
#include "common/job/job.h"
#include "common/redis/keys.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/out.h"

#define AT(member) offsetof(struct options, member)

enum {
    JOBS_MAX = 1000,
    JOBS_AT_ONCE = 20,
    LANES_AT_ONCE = 100,
    ERROR_WIDTH = 60,
    RAW_SHOWN = 4096 /* of an element that is no envelope */
};

struct look {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct keys keys;
    struct out *out; /* owned */
    bool scored;     /* elements come with their scores */
    int64_t left;    /* rows that may still be printed */
    int64_t now_ms;
    const char *lane; /* of the list under way; borrowed; NULL: none */
    size_t got;       /* elements in the last answer */
};

struct lanes {
    char names[LANES_AT_ONCE][192];
    size_t count, seen;
};

static void on_jobs(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);
static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb);

/* The last failure, as the members class and message of error say it. */
struct failure {
    struct json_span error, class, message;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct failure *f = arg;

    (void)eb;
    if (json_string_is(key, "error"))
        f->error = value;
    return 0;
}

static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb)
{
    struct failure *f = arg;

    (void)eb;
    if (json_string_is(key, "class"))
        f->class = value;
    else if (json_string_is(key, "message"))
        f->message = value;
    return 0;
}

static void append_string(struct buf *b, struct json_span value)
{
    size_t n;
    char *text = value.p ? json_string_dup(value, &n) : NULL;

    if (!text)
        return;
    if (b->len > 0)
        buf_str(b, ": ");
    buf_append(b, text, n);
    free(text);
}

/* "class: message", or the error as it is if it has another form. */
static void find_error(const struct job *job, struct buf *ret)
{
    struct failure f = {0};

    (void)json_scan_object(job->raw, job->raw_len, on_member, &f, NULL);
    if (!f.error.p || json_kind(f.error) == JSON_IS_NULL)
        return;
    if (json_kind(f.error) == JSON_IS_OBJECT)
        (void)json_scan_object(f.error.p, f.error.len, on_error_member, &f,
                               NULL);
    append_string(ret, f.class);
    append_string(ret, f.message);
    if (ret->len == 0)
        buf_append(ret, f.error.p, f.error.len);
}

static void print_error(struct out *out, const struct options *o,
                        const char *text, size_t n)
{
    size_t cut = o->format == OUT_TABLE ? safe_cut(text, n, ERROR_WIDTH) : n;
    struct buf b = {0};

    if (n == 0) {
        out_none(out);
        return;
    }
    buf_append(&b, text, cut);
    if (cut < n)
        buf_str(&b, "…");
    out_text(out, b.data, b.len);
    buf_done(&b);
}

static const struct column columns[] = {
    {"id", FOR_ALL, false},
    {"type", FOR_ALL, false},
    {"attempt", FOR_ALL, true},
    {"age", FOR_PEOPLE, true},
    {"created_at", FOR_PROGRAMS, true},
    {"when", FOR_PEOPLE, true},
    {"at", FOR_PROGRAMS, true},
    {"bytes", FOR_ALL, true},
    {"lane", FOR_PROGRAMS, false},
    {"error", FOR_ALL, false},
    {"job", FOR_PROGRAMS, false},
    {"raw", FOR_PROGRAMS, false},
    {0},
};

static void out_age(struct out *out, int64_t ms, const char *suffix)
{
    char age[32], text[48];

    snprintf(text, sizeof(text), "%s%s", age_format(ms, age), suffix);
    out_str(out, text);
}

/* Due time or time of death, -1 if the state has none. */
static void print_times(const struct look *l, int64_t created_ms, int64_t at_ms)
{
    if (created_ms > 0) {
        out_age(l->out, l->now_ms - created_ms, "");
        out_int(l->out, created_ms);
    } else {
        out_none(l->out);
        out_none(l->out);
    }
    if (at_ms < 0) {
        out_none(l->out);
        out_none(l->out);
        return;
    }
    if (at_ms > l->now_ms)
        out_age(l->out, at_ms - l->now_ms + 999, " to go");
    else
        out_age(l->out, l->now_ms - at_ms, " ago");
    out_int(l->out, at_ms);
}

static void print_job(const struct look *l, const struct job *job,
                      int64_t at_ms)
{
    struct out *out = l->out;
    struct buf error = {0};

    out_str(out, job->id[0] != '\0' ? job->id : NULL);
    out_str(out, job->type);
    out_int(out, job->attempt);
    print_times(l, job->created_at_ms, at_ms);
    out_int(out, (int64_t)job->raw_len);
    out_str(out, l->lane);
    find_error(job, &error);
    print_error(out, l->o, error.data, error.len);
    buf_done(&error);
    out_json(out, job->raw, job->raw_len);
    out_none(out);
    out_row(out);
}

static void print_invalid(const struct look *l, const char *p, size_t n,
                          const char *why, int64_t at_ms)
{
    struct out *out = l->out;

    out_none(out);
    out_str(out, l->o->format == OUT_TABLE ? "(invalid)" : NULL);
    out_none(out);
    print_times(l, 0, at_ms);
    out_int(out, (int64_t)n);
    out_str(out, l->lane);
    print_error(out, l->o, why, strlen(why));
    out_none(out);
    out_text(out, p, n < RAW_SHOWN ? n : RAW_SHOWN);
    out_row(out);
}

static void print_element(struct look *l, const struct reply *r, int64_t at_ms)
{
    struct job *job;
    struct errbuf eb;
    const char *p;
    size_t n;

    if (!reply_str(r, &p, &n) || l->left == 0)
        return;
    l->left--;
    int rc = job_parse(p, n, SIZE_MAX, &job, &eb);
    if (rc == 0 && job->type[0] == '\0') {
        job_free(job);
        rc = errbuf_set(&eb, ERR_INVALID, "type: missing");
    }
    if (rc != 0) {
        print_invalid(l, p, n, eb.text, at_ms);
        return;
    }
    print_job(l, job, at_ms);
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
    const char *state = l->o->state;

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
        if (strcmp(o->state, states[i]) == 0)
            return 0;
    }
    return fail(o, EX_USAGE,
                "--state: %s: not ready, active, scheduled, retry or dead",
                o->state);
}

static int run_jobs(const struct options *o)
{
    struct look l = {.o = o, .left = o->count, .now_ms = clock_wall_ms()};
    int status = check(o);

    if (status == 0)
        status = client_open(o, &l.client);
    if (status != 0)
        return status;
    keys_init(&l.keys, o->ns, o->args[0]);
    l.out = out_new(o, columns);
    status = look_at_state(&l);
    out_end(l.out);
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
