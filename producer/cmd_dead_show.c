/*
 * belt dead show: all that is known of a dead job.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/safe.h"
#include "common/job/job.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/failure.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/invalid.h"
#include "producer/out.h"
#include "producer/select.h"

enum { FAILURES_SHOWN = 10, RAW_SHOWN = 64 * 1024 };

struct show {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct out *out;         /* owned: for programs; else NULL */
    unsigned shown;
    bool missing;
};

/* A failure, as error and each of failures has it. */
struct failure {
    struct json_span class, message, worker, err_text;
    int64_t at_ms, attempt;
};

struct shown {
    struct json_span error;
    int64_t at_ms; /* of error, which is the first of failures too */
    int count;
};

static int on_name(void *arg, const struct job_name *name);
static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_failure_member(void *arg, struct json_span key,
                             struct json_span value, struct errbuf *eb);
static int on_failure(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);

/* ---- lines ---- */

static void print(const char *name, const char *text, size_t n)
{
    struct buf b = {0};

    safe_append(&b, text, n);
    printf("%-11s %s\n", name, b.len > 0 ? b.data : "");
    buf_done(&b);
}

static void print_time(const char *name, int64_t ms)
{
    char text[25], age[32];

    if (ms <= 0)
        return;
    clock_format(ms, text);
    printf("%-11s %s (%s ago)\n", name, text,
           age_format(clock_wall_ms() - ms, age));
}

static void print_string(const char *name, struct json_span value)
{
    size_t n;
    char *text = value.p ? json_string_dup(value, &n) : NULL;

    if (text && n > 0)
        print(name, text, n);
    free(text);
}

/* Each line of it, set in. */
static void print_lines(const char *text, size_t n)
{
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t len = end ? (size_t)(end - text) : n;
        struct buf b = {0};
        safe_append(&b, text, len);
        printf("    | %s\n", b.len > 0 ? b.data : "");
        buf_done(&b);
        text += end ? len + 1 : len;
        n -= end ? len + 1 : len;
    }
}

/* ---- failures ---- */

static int on_failure_member(void *arg, struct json_span key,
                             struct json_span value, struct errbuf *eb)
{
    struct failure *f = arg;

    (void)eb;
    if (json_string_is(key, "class"))
        f->class = value;
    else if (json_string_is(key, "message"))
        f->message = value;
    else if (json_string_is(key, "worker"))
        f->worker = value;
    else if (json_string_is(key, "stderr"))
        f->err_text = value;
    else if (json_string_is(key, "at"))
        (void)json_int_value(value, &f->at_ms);
    else if (json_string_is(key, "attempt"))
        (void)json_int_value(value, &f->attempt);
    return 0;
}

static struct failure read_failure(struct json_span value)
{
    struct failure f = {0};

    if (json_kind(value) == JSON_IS_OBJECT)
        (void)json_scan_object(value.p, value.len, on_failure_member, &f, NULL);
    return f;
}

static void print_failure(struct json_span value)
{
    struct failure f = read_failure(value);
    struct buf why = {0};
    size_t n;

    failure_append_text(value.p, value.len, &why);
    print("  error", why.data ? why.data : "", why.len);
    buf_done(&why);
    print_time("  at", f.at_ms);
    if (f.attempt > 0)
        printf("%-11s %lld\n", "  attempt", (long long)f.attempt);
    print_string("  worker", f.worker);
    char *text = f.err_text.p ? json_string_dup(f.err_text, &n) : NULL;
    if (text)
        print_lines(text, n);
    free(text);
}

static int on_failure(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct shown *s = arg;

    (void)key;
    (void)eb;
    if (s->at_ms > 0 && read_failure(value).at_ms == s->at_ms)
        return 0;
    if (s->count++ < FAILURES_SHOWN) {
        printf("before that\n");
        print_failure(value);
    }
    return 0;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct shown *s = arg;

    (void)eb;
    if (json_string_is(key, "error"))
        s->error = value;
    return 0;
}

/* The last failure, which has more of stderr, then those that were noted. */
static void print_failures(const struct job *job)
{
    struct shown s = {0};

    (void)json_scan_object(job->raw, job->raw_len, on_member, &s, NULL);
    if (s.error.p && json_kind(s.error) != JSON_IS_NULL) {
        printf("last failure\n");
        print_failure(s.error);
        s.at_ms = read_failure(s.error).at_ms;
    }
    if (job->failures.p && json_kind(job->failures) == JSON_IS_ARRAY)
        (void)json_scan_array(job->failures.p, job->failures.len, on_failure,
                              &s, NULL);
}

/* ---- a job ---- */

static void print_raw(const struct job *job)
{
    struct buf raw = {0};
    struct errbuf eb = {""};

    if (invalid_raw(job, &raw, &eb) != 0)
        print("raw", eb.text, strlen(eb.text));
    size_t n = raw.len < RAW_SHOWN ? raw.len : RAW_SHOWN;
    if (n > 0)
        print_lines(raw.data, n);
    if (n < raw.len)
        printf("    … %zu bytes more\n", raw.len - n);
    buf_done(&raw);
}

static void print_attempts(const struct job *job)
{
    printf("%-11s %lld of %lld", "attempts", (long long)job->attempt,
           (long long)job->max_attempts);
    if (job->crashes > 0)
        printf(", %lld by a signal", (long long)job->crashes);
    if (job->recovered_count > 0)
        printf(", recovered %u times", job->recovered_count);
    if (job->snoozes > 0)
        printf(", snoozed %lld times", (long long)job->snoozes);
    putchar('\n');
}

static void print_job(struct show *s, const char *queue,
                      const struct found *found)
{
    const struct job *job = found->job;
    struct job_name name = {0};
    char text[JOB_NAME_TEXT_MAX];
    struct buf payload = {0};

    memcpy(name.queue, queue, strlen(queue) + 1);
    memcpy(name.id, job->id, sizeof(name.id));
    if (s->shown++ > 0)
        putchar('\n');
    printf("%-11s %s\n", "job", job_name_format(&name, text));
    print("type", job->type, strlen(job->type));
    print_time("created", job->created_at_ms);
    print_time("died", found->at_ms);
    print_attempts(job);
    if (invalid_is(job)) {
        print_failures(job);
        printf("what it was\n");
        print_raw(job);
        return;
    }
    safe_append_json(&payload, job->payload.p, job->payload.len);
    printf("%-11s %s\n", "payload", payload.data);
    buf_done(&payload);
    print_failures(job);
}

static const struct column columns[] = {{"queue", FOR_ALL, false},
                                        {"at", FOR_ALL, true},
                                        {"job", FOR_ALL, false},
                                        {0}};

static void show(struct show *s, const char *queue, const struct found *found)
{
    if (!s->out) {
        print_job(s, queue, found);
        return;
    }
    out_str(s->out, queue);
    out_int(s->out, found->at_ms);
    out_json(s->out, found->job->raw, found->job->raw_len);
    out_row(s->out);
}

static void tell_missing(struct show *s, const struct job_name *name)
{
    char text[JOB_NAME_TEXT_MAX];

    complain(s->o, "%s: not dead", job_name_format(name, text));
    s->missing = true;
}

static int on_selected(struct select *select, const struct selected *jobs,
                       unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct found found = {.job = jobs[i].job, .at_ms = jobs[i].at_ms};
        show(select->arg, select->keys.queue, &found);
    }
    return 0;
}

/* There are too many for a scan: looks through all of them. */
static int walk(struct show *s, const struct job_name *name)
{
    static const struct select_plan plan = {.verb = "show",
                                            .past = "shown",
                                            .looks = true,
                                            .quiet = true,
                                            .act = on_selected};
    char text[JOB_NAME_TEXT_MAX];
    const char *args[] = {job_name_format(name, text), NULL};
    struct options o = *s->o;

    o.state = "dead";
    o.args = args;
    o.arg_count = 1;
    int status = select_run(&o, &plan, s);
    if (status == 1)
        s->missing = true; /* which was told */
    return status == 1 ? 0 : status;
}

static int on_name(void *arg, const struct job_name *name)
{
    struct show *s = arg;
    struct job_name full = *name;
    struct found found = {0};
    struct keys keys;
    int status = 0;

    if (full.queue[0] == '\0')
        status = find_queue(s->client, s->o->ns, &full);
    if (status == 0 && full.queue[0] != '\0') {
        keys_init(&keys, s->o->ns, full.queue);
        status =
            find_job(s->client, &keys, full.id, PLACE_DEAD, PLACE_DEAD, &found);
    }
    if (status == 0 && found.job)
        show(s, full.queue, &found);
    else if (status == 0 && found.cut)
        status = walk(s, &full);
    else if (status == 0)
        tell_missing(s, &full);
    found_done(&found);
    return status;
}

static int run_show(const struct options *o)
{
    struct show s = {.o = o};
    int status = client_open(o, &s.client);

    if (status != 0)
        return status;
    if (o->format != OUT_TABLE)
        s.out = out_new(o, columns);
    status = job_names_read(o, on_name, &s);
    if (s.out)
        out_end(s.out);
    client_close(s.client);
    return status == 0 && s.missing ? 1 : status;
}

const struct command cmd_dead_show = {
    .name = "dead show",
    .usage = "QUEUE/ID ... | -",
    .summary = "Show all that is known of dead jobs",
    .details = "Type, payload, how often it was tried, and its failures, the "
               "last one first, each\nwith time, worker, error and what it "
               "wrote to stderr. Of type belt.invalid: the\nbytes that were no "
               "envelope. The formats for programs have the whole envelope.\n",
    .min_args = 1,
    .max_args = -1,
    .run = run_show,
};
