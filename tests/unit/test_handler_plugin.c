/*
 * Claims about plugins: what is refused, what each verdict becomes, and that a
 * run which does not stop is taken away from its thread for good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/pool.h"

static char *text; /* behind the path; NULL: "some text" */

/* One run of an act of tests/support/test_plugin.c. */
static struct delivery *prepare(struct runner_fixture *f, const char *act,
                                const char *more)
{
    struct errbuf eb = {""};
    char payload[64], spec[512];

    (void)snprintf(spec, sizeof(spec), "x=plugin:%s  %s", TEST_PLUGIN,
                   text != NULL ? text : "some text");
    runner_handler(f, spec);
    if (handlers_start(f->hs, &eb) != 0)
        fail_msg("%s", eb.text);
    (void)snprintf(payload, sizeof(payload), "\"%s\"", act);
    return runner_delivery(f, "x", payload, more);
}

static struct delivery *run(struct runner_fixture *f, const char *act)
{
    struct delivery *d = prepare(f, act, NULL);

    handler_run(d, f->cancel_fd);
    handlers_stop(f->hs);
    return d;
}

static void expect_refused(const char *spec, const char *why)
{
    struct handlers *hs = handlers_new(NULL);
    struct errbuf eb = {""};

    assert_int_equal(handlers_add(hs, spec, &eb), ERR_INVALID);
    if (strstr(eb.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", eb.text, why);
    handlers_free(hs);
}

static void what_is_no_plugin_is_refused(void **state)
{
    struct runner_fixture *f = *state;
    char *spec = mem_printf("x=plugin:%s", runner_file(f, "text.so", "text"));

    expect_refused("x=plugin:/nowhere/x.so", "/nowhere/x.so: cannot open");
    expect_refused("x=plugin:x.so", "with a slash in it");
    expect_refused("x=plugin:", "with a slash in it");
    expect_refused(spec, "text.so");
    expect_refused("x=plugin:" TEST_PLUGIN_ABI,
                   "made for plugin ABI 99, this worker has 1");
    expect_refused("x=plugin:" TEST_PLUGIN_SMALL, "16 bytes");
    expect_refused("x=plugin:" TEST_PLUGIN_NONE, "no symbol belt_plugin_v1");
    free(spec);
}

static void init_that_fails_says_why(void **state)
{
    struct runner_fixture *f = *state;
    struct errbuf eb = {""};

    runner_handler(f, "x=plugin:" TEST_PLUGIN " fail no luck");
    assert_int_equal(handlers_start(f->hs, &eb), ERR_INVALID);
    assert_non_null(strstr(eb.text, "handler x: "));
    assert_non_null(strstr(eb.text, ": init: no luck"));
    runner_handler(f, "x=plugin:" TEST_PLUGIN " fail");
    assert_int_equal(handlers_start(f->hs, &eb), ERR_INVALID);
    assert_non_null(strstr(eb.text, "says not why"));
}

/* Two handlers of one object have a state each; it ends with the table. */
static void each_handler_has_its_state(void **state)
{
    struct runner_fixture *f = *state;
    struct errbuf eb = {""};
    char *fini = mem_printf("y=plugin:" TEST_PLUGIN " fini %s/fini", f->dir);

    runner_handler(f, "x=plugin:" TEST_PLUGIN " one");
    assert_int_equal(handlers_add(f->hs, fini, &eb), 0);
    assert_int_equal(handlers_start(f->hs, &eb), 0);
    struct delivery *d = runner_delivery(f, "x", "\"done\"", NULL);
    handler_run(d, f->cancel_fd);
    expect_contains(&d->outcome.result, "\"args\":\"one\"");
    delivery_free(d);
    d = runner_delivery(f, "y", "\"done\"", NULL);
    handler_run(d, f->cancel_fd);
    expect_contains(&d->outcome.result, "\"args\":\"fini ");
    delivery_free(d);
    assert_false(runner_has(f, "fini"));
    handlers_stop(f->hs);
    assert_true(runner_has(f, "fini"));
    free(fini);
}

static void done_has_a_result(void **state)
{
    struct delivery *d = run(*state, "done");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "{\"id\":\"job-1\",\"type\":\"x\",\"queue\":\"mail\","
                     "\"attempt\":1,\"max_attempts\":20,\"recovered\":0,"
                     "\"args\":\"some text\"}");
    assert_false(d->outcome.result_truncated);
    assert_int_equal(d->outcome.exit_status, -1);
    assert_int_equal(d->outcome.cpu_us, -1);
    delivery_free(d);
}

static void cpu_time_of_a_kept_job_is_known(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d = prepare(f, "done", ",\"keep\":1000");

    handler_run(d, f->cancel_fd);
    assert_in_range(d->outcome.cpu_us, 0, 1000 * 1000);
    handlers_stop(f->hs);
    delivery_free(d);
}

static void result_is_cut(void **state)
{
    struct runner_fixture *f = *state;

    f->limits.result_max = 1000;
    struct delivery *d = run(f, "big");
    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->outcome.result.len, 1000);
    assert_true(d->outcome.result_truncated);
    delivery_free(d);
}

static void failures_have_class_and_message(void **state)
{
    struct delivery *d = run(*state, "retry");

    expect_verdict(d, VERDICT_RETRY, "disk");
    assert_string_equal(d->outcome.message.data, "disk 7 is full");
    assert_int_equal(d->outcome.delay_ms, 2 * 3600 * 1000);
    assert_false(d->outcome.crashed);
    delivery_free(d);
    d = run(*state, "mute");
    expect_verdict(d, VERDICT_RETRY, "plugin");
    expect_contains(&d->outcome.message, "says not why");
    assert_int_equal(d->outcome.delay_ms, -1);
    delivery_free(d);
    d = run(*state, "dead");
    expect_verdict(d, VERDICT_DEAD, "input");
    assert_string_equal(d->outcome.message.data, "no sense in it");
    delivery_free(d);
    d = run(*state, "odd");
    expect_verdict(d, VERDICT_RETRY, "plugin");
    expect_contains(&d->outcome.message, "returned 42");
    delivery_free(d);
}

static void the_other_verdicts(void **state)
{
    struct delivery *d = run(*state, "discard");

    expect_verdict(d, VERDICT_DISCARD, "plugin");
    delivery_free(d);
    d = run(*state, "snooze");
    expect_verdict(d, VERDICT_SNOOZE, "");
    assert_int_equal(d->outcome.delay_ms, 3600 * 1000);
    delivery_free(d);
    d = run(*state, "naps");
    expect_verdict(d, VERDICT_DONE, "");
    delivery_free(d);
}

static void pushes_go_with_the_outcome(void **state)
{
    struct delivery *d = run(*state, "push");

    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->pushes->n, 1);
    delivery_free(d);
    d = run(*state, "wrong push");
    expect_verdict(d, VERDICT_RETRY, "push");
    expect_contains(&d->outcome.message, "push 1: ");
    delivery_free(d);
}

static void wrong_arguments_change_nothing(void **state)
{
    struct delivery *d = run(*state, "wrong");

    expect_verdict(d, VERDICT_DONE, "");
    delivery_free(d);
}

static void its_lines_are_logged_but_not_without_end(void **state)
{
    struct delivery *d = run(*state, "chatty");
    struct buf log = runner_log(*state);
    unsigned n = 0;

    for (const char *p = log.data; (p = strstr(p, "ev=log ")) != NULL; p++)
        n++;
    assert_int_equal(n, 1000);
    expect_contains(&log, "ev=log_not_logged");
    expect_contains(&log, "lines=10");
    buf_done(&log);
    delivery_free(d);
}

static void time_limit_is_seen(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    struct buf log;

    f->limits.timeout_ms = 30;
    d = run(f, "waits");
    expect_verdict(d, VERDICT_RETRY, "timeout");
    assert_string_equal(d->outcome.message.data, "timed out after 30ms");
    log = runner_log(f);
    expect_contains(&log, "message=timeout");
    buf_done(&log);
    delivery_free(d);
    d = run(f, "finishes"); /* too late, but done */
    expect_verdict(d, VERDICT_DONE, "");
    delivery_free(d);
}

/* ---- with a pool ---- */

enum { CAP = 16 };

struct pooled {
    struct runner_fixture *f;
    struct chan *jobs, *outcomes;
    int wake_fd;
    struct pool *pool;
    struct delivery *d; /* it runs */
};

static struct note *next_note(struct pooled *p)
{
    void *item;

    while (chan_try_recv(p->outcomes, &item) != 0) {
        if (!fd_becomes_readable(p->wake_fd))
            fail_msg("a note stays unseen, or a thread is stuck");
        pool_woken(p->pool);
    }
    return item;
}

/* Runs an act in a pool, up to its first progress. */
static void begin(struct pooled *p, struct runner_fixture *f, unsigned threads,
                  const char *act)
{
    struct errbuf eb = {""};

    *p = (struct pooled){.f = f,
                         .jobs = chan_new(CAP),
                         .outcomes = chan_new(CAP),
                         .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    p->d = prepare(f, act, ",\"keep\":1000");
    p->pool = pool_start(&(struct pool_config){.threads = threads,
                                               .jobs = p->jobs,
                                               .outcomes = p->outcomes,
                                               .wake_fd = p->wake_fd},
                         &eb);
    assert_non_null(p->pool);
    assert_int_equal(chan_try_send(p->jobs, p->d), 0);
    assert_int_equal(next_note(p)->kind, NOTE_PROGRESS);
}

static void expect_end(struct pooled *p)
{
    const struct note *n = next_note(p);

    while (n->kind == NOTE_LOG)
        n = next_note(p);
    assert_ptr_equal(n->d, p->d);
    assert_int_equal(n->kind, NOTE_ENDED);
}

/* The loop comes again too if the run is in a call of ours just then. */
static void give_up(struct pooled *p, int64_t now_ms)
{
    int64_t next, deadline_ms = clock_ms() + 20 * 1000;

    while (pool_give_up_late(p->pool, now_ms, &next) == 0) {
        assert_true(next <= now_ms);
        assert_true(clock_ms() < deadline_ms);
    }
    assert_true(next == INT64_MAX);
    expect_end(p);
}

/* Frees all that lost threads cannot see. */
static void end(struct pooled *p)
{
    delivery_free(p->d);
    chan_close(p->jobs);
    pool_join(p->pool);
    assert_int_equal(chan_len(p->outcomes), 0);
    chan_free(p->jobs);
    chan_free(p->outcomes);
    (void)close(p->wake_fd);
    handlers_stop(p->f->hs);
}

static void cancel_wakes_a_run(void **state)
{
    static const enum cancel whys[] = {CANCEL_JOB, CANCEL_RELEASE,
                                       CANCEL_FENCED};
    int64_t next;
    struct pooled p;

    for (unsigned i = 0; i < 3; i++) {
        begin(&p, *state, 1, "waits");
        assert_int_equal(pool_give_up_late(p.pool, clock_ms(), &next), 0);
        pool_cancel(p.pool, p.d, whys[i]);
        expect_end(&p);
        if (whys[i] == CANCEL_JOB)
            expect_verdict(p.d, VERDICT_CANCEL, "cancelled");
        else
            expect_verdict(p.d, VERDICT_RELEASE, "stopped");
        assert_int_equal(pool_give_up_late(p.pool, INT64_MAX, &next), 0);
        assert_true(next == INT64_MAX);
        end(&p);
    }
}

static void when_a_run_is_late(void **state)
{
    struct runner_fixture *f = *state;
    int64_t before = clock_ms(), next;
    struct pooled p;

    f->limits.timeout_ms = 1000 * 1000;
    f->limits.kill_after_ms = 10 * 1000;
    f->limits.cancel_kill_after_ms = 100;
    begin(&p, f, 1, "hangs");
    assert_int_equal(pool_give_up_late(p.pool, before, &next), 0);
    assert_in_range(next, before + 1010 * 1000, clock_ms() + 1010 * 1000);
    before = clock_ms();
    pool_cancel(p.pool, p.d, CANCEL_RELEASE);
    assert_int_equal(pool_give_up_late(p.pool, before, &next), 0);
    assert_in_range(next, before + 10 * 1000, clock_ms() + 10 * 1000);
    assert_int_equal(pool_lost(p.pool), 0);
    /* Whoever stops it twice does not wait. */
    pool_cancel(p.pool, p.d, CANCEL_RELEASE);
    give_up(&p, before);
    expect_verdict(p.d, VERDICT_RELEASE, "stopped");
    assert_int_equal(pool_lost(p.pool), 1);
    assert_int_equal(pool_busy(p.pool), 0);
    end(&p);
}

static void a_cancelled_job_waits_less(void **state)
{
    struct runner_fixture *f = *state;
    struct pooled p;

    f->limits.cancel_kill_after_ms = 100;
    begin(&p, f, 1, "hangs");
    pool_cancel(p.pool, p.d, CANCEL_JOB);
    give_up(&p, clock_ms() + 200);
    expect_verdict(p.d, VERDICT_CANCEL, "cancelled");
    end(&p);
}

/* Nothing that its thread does from then on has an effect. */
static void what_was_given_up_is_harmless(void **state)
{
    struct runner_fixture *f = *state;
    struct pool_run runs[2];
    struct pooled p;
    struct buf log;

    f->limits.timeout_ms = 50;
    begin(&p, f, 2, "late");
    give_up(&p, clock_ms() + 3600 * 1000);
    expect_verdict(p.d, VERDICT_RETRY, "timeout");
    assert_string_equal(p.d->outcome.message.data,
                        "timed out after 50ms, and did not stop: its thread "
                        "was given up");
    assert_int_equal(p.d->outcome.delay_ms, -1);
    assert_true(p.d->outcome.run_us >= 0);
    assert_int_equal(pool_running(p.pool, runs, 2), 0);
    log = runner_log(f);
    expect_contains(&log, "ev=given_up job=job-1 type=x queue=mail seconds=0");
    assert_null(strstr(log.data, "too late"));
    buf_done(&log);
    /* The other thread goes on. */
    delivery_free(p.d);
    p.d = runner_delivery(f, "x", "\"done\"", NULL);
    assert_int_equal(chan_try_send(p.jobs, p.d), 0);
    expect_end(&p);
    expect_verdict(p.d, VERDICT_DONE, "");
    end(&p);
}

/* fini would take from it what it may still use. */
static void a_lost_run_keeps_its_state(void **state)
{
    struct runner_fixture *f = *state;
    struct pooled p;

    text = mem_printf("fini %s/fini", f->dir);
    begin(&p, f, 1, "hangs");
    give_up(&p, clock_ms() + 3600 * 1000);
    end(&p);
    assert_false(runner_has(f, "fini"));
    free(text);
    text = NULL;
}

#define IN_DIR(f)                                                              \
    cmocka_unit_test_setup_teardown(f, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(what_is_no_plugin_is_refused),
        IN_DIR(init_that_fails_says_why),
        IN_DIR(each_handler_has_its_state),
        IN_DIR(done_has_a_result),
        IN_DIR(cpu_time_of_a_kept_job_is_known),
        IN_DIR(result_is_cut),
        IN_DIR(failures_have_class_and_message),
        IN_DIR(the_other_verdicts),
        IN_DIR(pushes_go_with_the_outcome),
        IN_DIR(wrong_arguments_change_nothing),
        IN_DIR(its_lines_are_logged_but_not_without_end),
        IN_DIR(time_limit_is_seen),
        IN_DIR(cancel_wakes_a_run),
        IN_DIR(when_a_run_is_late),
        IN_DIR(a_cancelled_job_waits_less),
        IN_DIR(what_was_given_up_is_harmless),
        IN_DIR(a_lost_run_keeps_its_state),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    /* Lost threads go on: nothing may be taken down around them. */
    (void)fflush(NULL);
    _exit(rc);
}
