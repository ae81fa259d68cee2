/*
 * Faults: what the programs share that hurt workers and Redis.
 *
 * Two kinds of books are compared: those of Redis (its lists and the counters
 * that settle keeps), and those of the handlers, files to which each run
 * appends one line.
 *
 * Thread: the test's.
 */
#include "tests/integration/faults.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/wait.h"
#include "tests/unit/unit.h"

/* ---- handlers and their notes ---- */

const char *note_handler(struct redis *r, const char *body)
{
    static char spec[NOTE_PATH_MAX];
    char text[2 * NOTE_PATH_MAX];
    (void)snprintf(text, sizeof(text),
                   "#!/bin/sh\n"
                   "d=%s\n"
                   "read -r p\n"
                   "echo \"$p\" >>$d/jobs\n"
                   "[ \"$BELT_ATTEMPT\" = 1 ] || echo \"$p\" >>$d/counted\n"
                   "[ \"$BELT_RECOVERED\" = 0 ] || echo \"$p\" >>$d/recovered\n"
                   "%s\n",
                   redis_dir(r), body);
    (void)snprintf(spec, sizeof(spec), "note=exec:%s",
                   script_file(r, "note", text));
    return spec;
}

static const char *note_path(struct redis *r, const char *file, char *out)
{
    (void)snprintf(out, NOTE_PATH_MAX, "%s/%s", redis_dir(r), file);
    return out;
}

unsigned noted(struct redis *r, const char *file)
{
    char path[NOTE_PATH_MAX];
    return file_lines(note_path(r, file, path));
}

unsigned noted_distinct(struct redis *r, const char *file)
{
    char path[NOTE_PATH_MAX];
    return file_distinct_lines(note_path(r, file, path));
}

/* ---- waiting ---- */

struct wanted {
    struct redis *r;
    struct worker *w;
    const char *text;
    long long n, seen;
};

static bool is_noted(void *arg)
{
    struct wanted *x = arg;
    x->seen = noted(x->r, x->text);
    return x->seen >= x->n;
}

static bool is_said(void *arg)
{
    struct wanted *x = arg;
    x->seen = worker_count(x->w, x->text);
    return x->seen >= x->n;
}

static bool is_active(void *arg)
{
    struct wanted *x = arg;
    x->seen = queue_active(x->r, "q");
    return x->seen >= x->n;
}

static bool is_counted(void *arg)
{
    struct wanted *x = arg;
    x->seen = queue_stat(x->r, "q", x->text);
    return x->seen >= x->n;
}

static void expect(wait_cond cond, struct wanted *x, const char *what)
{
    if (!wait_until(cond, x, PATIENCE_MS))
        fail_msg("%s %s: %lld, not %lld", what, x->text, x->seen, x->n);
}

void wait_noted(struct redis *r, const char *file, unsigned n)
{
    struct wanted x = {.r = r, .text = file, .n = n};
    expect(is_noted, &x, "lines of");
}

void wait_said(struct worker *w, const char *text, unsigned times)
{
    struct wanted x = {.w = w, .text = text, .n = times};
    expect(is_said, &x, "log lines with");
}

void wait_active(struct redis *r, long long at_least)
{
    struct wanted x = {.r = r, .text = "jobs", .n = at_least};
    expect(is_active, &x, "active");
}

void wait_stat(struct redis *r, const char *name, long long at_least)
{
    struct wanted x = {.r = r, .text = name, .n = at_least};
    expect(is_counted, &x, "counter");
}

/* ---- books ---- */

void expect_settled(struct redis *r, long long n)
{
    assert_true(queue_at_rest(r, "q", PATIENCE_MS));
    redisReply *lists = redis_cmd(r, "KEYS belt:{q}:active:*");
    for (size_t i = 0; i < lists->elements; i++)
        print_error("left over: %s\n", lists->element[i]->str);
    assert_int_equal(lists->elements, 0);
    freeReplyObject(lists);
    assert_int_equal(queue_stat(r, "q", "done"), n);
    assert_int_equal(queue_stat(r, "q", "retried"), 0);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:dead"), 0);
}

void expect_each_ran(struct redis *r, unsigned n)
{
    assert_int_equal(noted_distinct(r, "jobs"), n);
    assert_int_equal(noted(r, "counted"), 0);
}

void expect_each_ran_once(struct redis *r, unsigned n)
{
    expect_each_ran(r, n);
    assert_int_equal(noted(r, "jobs"), n);
}

void expect_nobody_reaped(struct redis *r)
{
    assert_int_equal(queue_stat(r, "q", "reaped"), 0);
    assert_int_equal(noted(r, "recovered"), 0);
}

/* ---- servers and workers ---- */

int redis_setup(void **state)
{
    *state = redis_start(NULL);
    return 0;
}

int redis_teardown(void **state)
{
    redis_stop(*state);
    return 0;
}

struct worker *worker_up(struct redis *r, const char *host,
                         const char *const *flags)
{
    const char *all[32] = {"-q", "q"};
    for (unsigned i = 0; flags[i] != NULL && i < 29; i++)
        all[i + 2] = flags[i];
    struct worker *w = worker_start(r, host, all);
    wait_said(w, "ev=register", 1);
    return w;
}

void worker_kill9(struct worker *w)
{
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, PATIENCE_MS), -SIGKILL);
}

/* ---- fleets ---- */

void fleet_start(struct fleet *f, struct redis *r, const char *lease,
                 const char *body)
{
    const char *flags[] = {"--lease", lease,       "--threads",
                           "2",       "--handler", note_handler(r, body),
                           NULL};
    *f = (struct fleet){.r = r};
    for (unsigned i = 0; i < FLEET; i++)
        f->w[i] = worker_up(r, NULL, flags);
}

void fleet_feed(struct fleet *f, unsigned n)
{
    for (unsigned i = 0; f->twin != NULL && i < n; i++)
        redis_do(f->r, "RPUSH belt:{q} %s", f->twin);
    if (f->twin == NULL)
        queue_fill(f->r, "q", "note", f->pushed, n);
    f->pushed += n;
}

void fleet_end(struct fleet *f)
{
    for (unsigned i = 0; i < FLEET; i++) {
        worker_signal(f->w[i], SIGTERM);
        assert_int_equal(worker_wait(f->w[i], PATIENCE_MS), 0);
        worker_free(f->w[i]);
    }
}

unsigned fleet_said(struct fleet *f, const char *text)
{
    unsigned n = 0;
    for (unsigned i = 0; i < FLEET; i++)
        n += worker_count(f->w[i], text);
    return n;
}
