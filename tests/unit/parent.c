/*
 * Parents of sub-tasks for tests.
 *
 * The test's thread is the parent: it has a delivery, the second tier and an
 * eventfd for cancel, as a pool thread has. Where parents run in a real pool
 * they are of a handler that calls a function of the test's.
 *
 * Thread: the test's.
 */
#include "tests/unit/parent.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"
#include "worker/handler_priv.h"

void (*parent_body)(struct delivery *d, struct subtasks *s, int cancel);

static void run_parent(struct delivery *d, int cancel_fd)
{
    struct errbuf eb = {""};
    struct subtasks *s = subtasks_of(d, &eb);

    d->outcome.verdict = VERDICT_DONE;
    if (s == NULL)
        handler_fail(d, VERDICT_DEAD, "refused", "%s", eb.text);
    else
        parent_body(d, s, cancel_fd);
}

static void use_parent(struct parents *x, const char *type)
{
    struct handler *h;

    /* A handler of the table, which runs another function. */
    memcpy(&h, &(const struct handler *){handlers_find(x->hs, type)},
           sizeof(h));
    h->run = run_parent;
}

/* ---- the fixture ---- */

struct parents *parents_start_with(void **state, struct subtask_config cfg)
{
    struct parents *x = mem_new(sizeof(*x));
    struct errbuf eb = {""};
    static const char *const specs[] = {
        "noop=builtin:noop",
        "echo=builtin:echo",
        "sleep=builtin:sleep 1h",
        "fail=builtin:fail",
        "parent=builtin:noop",
        "bad=exec:sh -c 'echo oops >&2; exit 65'",
        "stay=exec:sh -c 'trap \"\" TERM; echo > $0/up; sleep 1000' @",
    };

    x->f = *state;
    x->hs = handlers_new(&x->f->limits);
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        const char *at = strchr(specs[i], '@');
        char *spec = at == NULL ? mem_strdup(specs[i])
                                : mem_printf("%.*s%s", (int)(at - specs[i]),
                                             specs[i], x->f->dir);

        if (handlers_add(x->hs, spec, &eb) != 0)
            fail_msg("%s", eb.text);
        free(spec);
    }
    use_parent(x, "parent");
    cfg.handlers = x->hs;
    if (cfg.parents == 0)
        cfg.parents = 1;
    if (cfg.results_max == 0)
        cfg.results_max = 64 * 1024 * 1024;
    x->tier = subtask_pool_new(&cfg);
    x->jobs = chan_new(PARENTS_MAX);
    x->outcomes = chan_new(NOTE_KINDS * PARENTS_MAX);
    x->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    x->pool = pool_start(&(struct pool_config){.threads = cfg.parents,
                                               .jobs = x->jobs,
                                               .outcomes = x->outcomes,
                                               .wake_fd = x->wake_fd,
                                               .subtasks = x->tier},
                         &eb);
    assert_non_null(x->pool);
    return x;
}

struct delivery *parents_new(struct parents *x, const char *more)
{
    char *raw = mem_printf("{\"id\":\"job-1\",\"type\":\"parent\"%s}", more);
    struct errbuf eb = {""};
    struct delivery *d;
    struct job *job;

    if (job_parse(raw, strlen(raw), 4096, &job, &eb) != 0)
        fail_msg("%s", eb.text);
    free(raw);
    d = delivery_new(job);
    strcpy(d->queue, "q");
    d->handler = handlers_find(x->hs, "parent");
    d->pool = x->pool;
    return d;
}

/* The test's thread becomes a parent. */
struct parents *parents_start(void **state, unsigned threads, unsigned window)
{
    struct parents *x = parents_start_with(
        state, (struct subtask_config){.threads = threads, .window = window});
    struct errbuf eb = {""};

    x->d = parents_new(x, "");
    x->s = subtasks_of(x->d, &eb);
    assert_non_null(x->s);
    return x;
}

void parents_stop(struct parents *x)
{
    chan_close(x->jobs);
    pool_join(x->pool);
    delivery_free(x->d);
    subtask_pool_free(x->tier);
    chan_free(x->jobs);
    chan_free(x->outcomes);
    close(x->wake_fd);
    handlers_free(x->hs);
    free(x);
}

/* ---- what parents do ---- */

void parent_set(struct parents *x, struct subtasks_options o)
{
    struct errbuf eb = {""};

    assert_int_equal(subtasks_set_options(x->s, &o, &eb), 0);
}

struct json_span text_span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

int parent_try_emit(struct parents *x, const char *type, const char *payload,
                    const char *key)
{
    struct subtask_spec spec = {
        .type = type, .payload = text_span(payload), .key = key};
    struct errbuf eb = {""};

    return subtasks_try_emit(x->s, &spec, &eb);
}

void parent_emit(struct parents *x, const char *type, const char *payload,
                 const char *key)
{
    struct subtask_spec spec = {
        .type = type, .payload = text_span(payload), .key = key};
    struct errbuf eb = {""};

    if (subtasks_emit(x->s, &spec, x->f->cancel_fd, CHAN_FOREVER, &eb) != 0)
        fail_msg("%s", eb.text);
}

struct subtask *parent_next(struct parents *x)
{
    struct subtask *t;

    if (subtasks_next(x->s, &t, x->f->cancel_fd, clock_ms() + PATIENCE_MS) != 0)
        fail_msg("no result comes");
    return t;
}

void parent_expect_next(struct parents *x, int64_t number,
                        enum subtask_state state, const char *text)
{
    struct subtask *t = parent_next(x);

    assert_int_equal(t->number, number);
    assert_int_equal(t->state, state);
    expect_contains(state == SUBTASK_DONE ? &t->result : &t->message, text);
    subtask_free(t);
}

void parent_expect_none(struct parents *x)
{
    struct subtask *t;

    assert_int_equal(
        subtasks_next(x->s, &t, x->f->cancel_fd, clock_ms() + PATIENCE_MS),
        ERR_CLOSED);
}

void parent_finish(struct parents *x, enum verdict said)
{
    x->d->outcome.verdict = said;
    subtasks_finish(x->d, x->f->cancel_fd);
    x->s = NULL;
    assert_null(x->d->subtasks);
}

void parent_cancel(struct parents *x, enum cancel why)
{
    uint64_t one = 1;

    atomic_store(&x->d->cancel, why);
    assert_int_equal(write(x->f->cancel_fd, &one, sizeof(one)), sizeof(one));
}

void parents_wait_busy(struct parents *x, unsigned n)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    while (subtask_pool_busy(x->tier) != n) {
        assert_true(clock_ms() < deadline_ms);
        poll(NULL, 0, 1);
    }
}

struct delivery *parents_next_outcome(struct parents *x)
{
    void *item;

    if (chan_recv(x->outcomes, &item, clock_ms() + PATIENCE_MS) != 0)
        fail_msg("a parent does not end");
    return ((struct note *)item)->d;
}
