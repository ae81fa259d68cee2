/*
 * Claims about sub-tasks: what bounds them, who waits for whom, and how they
 * end with their parent.
 */
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/parent.h"
#include "tests/unit/unit.h"
#include "worker/handler_priv.h"

static void window_bounds_what_is_unfinished(void **state)
{
    struct parents *x = parents_start(state, 1, 8);

    for (int i = 0; i < 8; i++)
        assert_int_equal(parent_try_emit(x, "sleep", "null", NULL), 0);
    assert_int_equal(parent_try_emit(x, "noop", "null", NULL), ERR_AGAIN);
    subtasks_cancel(x->s, CANCEL_JOB);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(subtask_pool_count(x->tier, SUBTASK_CANCELLED), 8);
    parents_stop(x);
}

static void room_is_told_when_half_of_the_window_is_free(void **state)
{
    struct parents *x = parents_start(state, 1, 8);

    for (int i = 0; i < 8; i++)
        assert_int_equal(parent_try_emit(x, "noop", "null", NULL), 0);
    while (parent_try_emit(x, "noop", "null", NULL) == ERR_AGAIN) {
        assert_true(fd_becomes_readable(subtasks_fd(x->s)));
        subtasks_look(x->s);
    }
    for (int i = 0; i < 3; i++) /* half was free */
        assert_int_equal(parent_try_emit(x, "noop", "null", NULL), 0);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

static void large_payloads_make_the_window_smaller(void **state)
{
    enum { BYTES = 1000 * 1000 };
    struct parents *x = parents_start(state, 1, 1000);
    char *text = mem_new(BYTES + 1);
    int n = 0;

    memset(text, '1', BYTES);
    parent_emit(x, "sleep", "null", NULL);
    while (parent_try_emit(x, "noop", text, NULL) == 0)
        n++;
    assert_int_equal(n, SUBTASK_BYTES_MAX / BYTES + 1);
    free(text);
    subtasks_cancel(x->s, CANCEL_JOB);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

static void results_that_are_not_taken_stop_the_emitter(void **state)
{
    struct parents *x = parents_start_with(
        state, (struct subtask_config){.threads = 2, .results_max = 64 * 1024});
    struct subtask_spec spec = {.type = "echo",
                                .payload = text_span("\"0123\"")};
    struct errbuf eb = {""};
    struct subtask *t;
    int rc, n = 0;

    x->d = parents_new(x, "");
    x->s = subtasks_of(x->d, &eb);
    while ((rc = subtasks_emit(x->s, &spec, x->f->cancel_fd, CHAN_FOREVER,
                               &eb)) == 0)
        n++;
    assert_int_equal(rc, ERR_AGAIN);
    assert_true(n > 100 && n < 1000);
    for (int i = 0; i < n; i++) {
        t = parent_next(x);
        subtask_free(t);
    }
    parent_emit(x, "noop", "null", NULL);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

static void parent_without_results_may_emit_any_number(void **state)
{
    enum { N = 10000 };
    struct parents *x = parents_start_with(
        state, (struct subtask_config){.threads = 2, .results_max = 1});
    struct errbuf eb = {""};

    x->d = parents_new(x, "");
    x->s = subtasks_of(x->d, &eb);
    parent_set(x, (struct subtasks_options){.no_results = true});
    for (int i = 0; i < N; i++)
        parent_emit(x, "noop", "null", NULL);
    subtasks_end(x->s);
    parent_expect_none(x);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DONE);
    assert_int_equal(subtask_pool_count(x->tier, SUBTASK_DONE), N);
    parents_stop(x);
}

static void done_parent_waits_for_what_it_never_took(void **state)
{
    struct parents *x = parents_start(state, 2, 0);

    for (int i = 0; i < 30; i++)
        parent_emit(x, i % 10 == 0 ? "sleep" : "echo", "{\"ms\":5}", NULL);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DONE);
    assert_int_equal(subtask_pool_count(x->tier, SUBTASK_DONE), 30);
    parents_stop(x);
}

static void failed_parent_cancels_what_runs(void **state)
{
    struct parents *x = parents_start(state, 2, 0);

    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "sleep", "null", NULL);
    parents_wait_busy(x, 2);
    handler_fail(x->d, VERDICT_DEAD, "exit", "exit code 65");
    parent_finish(x, VERDICT_DEAD);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DEAD);
    assert_string_equal(x->d->outcome.message.data, "exit code 65");
    assert_int_equal(subtask_pool_count(x->tier, SUBTASK_CANCELLED), 3);
    parents_stop(x);
}

static void cancelled_parent_cancels_its_subtasks(void **state)
{
    struct parents *x = parents_start(state, 1, 0);

    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "noop", "null", NULL);
    parents_wait_busy(x, 1);
    parent_cancel(x, CANCEL_JOB);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_CANCEL);
    assert_int_equal(subtask_pool_count(x->tier, SUBTASK_CANCELLED), 2);
    parents_stop(x);
}

static void a_blocked_emitter_is_cancelled(void **state)
{
    struct parents *x = parents_start(state, 1, 2);
    struct subtask_spec spec = {.type = "noop"};
    struct errbuf eb = {""};
    struct subtask *t;

    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "sleep", "null", NULL);
    assert_int_equal(
        subtasks_emit(x->s, &spec, x->f->cancel_fd, clock_ms() + 5, &eb),
        ERR_TIMEOUT);
    parent_cancel(x, CANCEL_RELEASE);
    assert_int_equal(
        subtasks_emit(x->s, &spec, x->f->cancel_fd, CHAN_FOREVER, &eb),
        ERR_CLOSED);
    expect_contains(&(struct buf){.data = eb.text, .len = strlen(eb.text)},
                    "the job is to stop");
    assert_int_equal(subtasks_next(x->s, &t, x->f->cancel_fd, CHAN_FOREVER),
                     ERR_CLOSED);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_RELEASE);
    parents_stop(x);
}

static void time_limit_of_the_parent_ends_its_subtasks(void **state)
{
    struct parents *x =
        parents_start_with(state, (struct subtask_config){.threads = 1});
    struct errbuf eb = {""};

    x->d = parents_new(x, ",\"timeout\":50");
    x->s = subtasks_of(x->d, &eb);
    parent_set(x, (struct subtasks_options){.on_error = SUBTASK_COLLECT});
    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "noop", "null", NULL);
    parent_finish(x, VERDICT_DONE);
    expect_verdict(x->d, VERDICT_RETRY, "timeout");
    parents_stop(x);
}

static void time_limit_of_a_subtask_is_its_own(void **state)
{
    struct parents *x = parents_start(state, 1, 0);
    struct subtask_spec spec = {.type = "sleep", .timeout_ms = 10};
    struct errbuf eb = {""};

    assert_int_equal(subtasks_try_emit(x->s, &spec, &eb), 0);
    parent_finish(x, VERDICT_DONE);
    expect_verdict(x->d, VERDICT_RETRY, "subtask");
    assert_string_equal(x->d->outcome.message.data,
                        "sub-task 1 (sleep): timed out after 10ms");
    parents_stop(x);
}

static void what_ignores_term_is_killed_by_the_second_wake(void **state)
{
    struct parents *x = parents_start(state, 1, 0);

    x->f->limits.kill_after_ms = 3600 * 1000;
    parent_emit(x, "stay", "null", NULL);
    while (!runner_has(x->f, "up"))
        poll(NULL, 0, 1);
    parent_cancel(x, CANCEL_RELEASE);
    parent_cancel(x, CANCEL_RELEASE);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_RELEASE);
    parents_stop(x);
}

static void tree(struct delivery *d, struct subtasks *s, int cancel_fd)
{
    enum { N = 200 };
    struct subtask_spec spec = {.type = "echo", .payload = text_span("7")};
    struct errbuf eb = {""};
    struct subtask *t;
    int back = 0;

    for (int i = 0; i < N; i++)
        if (subtasks_emit(s, &spec, cancel_fd, CHAN_FOREVER, &eb) != 0)
            handler_fail(d, VERDICT_DEAD, "test", "%s", eb.text);
    subtasks_end(s);
    while (subtasks_next(s, &t, cancel_fd, CHAN_FOREVER) == 0) {
        back += t->state == SUBTASK_DONE;
        subtask_free(t);
    }
    if (back != N)
        handler_fail(d, VERDICT_DEAD, "test", "%d came back", back);
}

static void parents_in_every_thread_and_one_for_subtasks(void **state)
{
    enum { N = 12 };
    struct parents *x = parents_start_with(
        state, (struct subtask_config){.threads = 1, .parents = 4});

    parent_body = tree;
    for (int i = 0; i < N; i++)
        assert_int_equal(chan_try_send(x->jobs, parents_new(x, "")), 0);
    for (int i = 0; i < N; i++) {
        struct delivery *d = parents_next_outcome(x);

        if (d->outcome.verdict != VERDICT_DONE)
            fail_msg("%s", d->outcome.message.data);
        delivery_free(d);
    }
    parents_stop(x);
}

static void emit_a_parent(struct delivery *d, struct subtasks *s, int cancel_fd)
{
    struct subtask_spec spec = {.type = "parent"};
    struct errbuf eb = {""};

    if (subtasks_emit(s, &spec, cancel_fd, CHAN_FOREVER, &eb) != 0)
        handler_fail(d, VERDICT_DEAD, "test", "%s", eb.text);
}

static void a_subtask_may_have_none(void **state)
{
    struct parents *x = parents_start_with(
        state, (struct subtask_config){.threads = 1, .parents = 1});
    struct delivery *d;

    parent_body = emit_a_parent;
    assert_int_equal(chan_try_send(x->jobs, parents_new(x, "")), 0);
    d = parents_next_outcome(x);
    expect_verdict(d, VERDICT_DEAD, "subtask");
    assert_string_equal(
        d->outcome.message.data,
        "sub-task 1 (parent): a sub-task may not have sub-tasks");
    delivery_free(d);
    parents_stop(x);
}

static void a_large_parent_does_not_starve_a_small_one(void **state)
{
    struct parents *x = parents_start_with(
        state,
        (struct subtask_config){.threads = 1, .parents = 1, .window = 16});
    struct errbuf eb = {""};

    /* The test's parent keeps its window full; the other one gets its turn. */
    parent_body = tree;
    x->d = parents_new(x, "");
    x->s = subtasks_of(x->d, &eb);
    parent_set(x, (struct subtasks_options){.no_results = true});
    assert_int_equal(chan_try_send(x->jobs, parents_new(x, "")), 0);
    while (chan_len(x->outcomes) == 0)
        parent_emit(x, "noop", "null", NULL);
    delivery_free(parents_next_outcome(x));
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DONE);
    parents_stop(x);
}

static void ten_thousand_come_back_once_each(void **state)
{
    enum { N = 10000 };
    struct parents *x = parents_start(state, 4, 0);
    bool *seen = mem_new(N + 1);
    int sent = 0, back = 0;

    while (back < N) {
        struct subtask *t;
        bool idle = true;

        while (sent < N && parent_try_emit(x, "noop", "null", NULL) == 0)
            sent++, idle = false;
        while (subtasks_try_next(x->s, &t) == 0) {
            assert_false(seen[t->number]);
            seen[t->number] = true;
            subtask_free(t);
            back++, idle = false;
        }
        if (idle && !fd_becomes_readable(subtasks_fd(x->s)))
            fail_msg("%d of %d came back, no news", back, sent);
        subtasks_look(x->s);
    }
    free(seen);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, runner_setup, runner_teardown)
    const struct CMUnitTest tests[] = {
        T(window_bounds_what_is_unfinished),
        T(room_is_told_when_half_of_the_window_is_free),
        T(large_payloads_make_the_window_smaller),
        T(results_that_are_not_taken_stop_the_emitter),
        T(parent_without_results_may_emit_any_number),
        T(done_parent_waits_for_what_it_never_took),
        T(failed_parent_cancels_what_runs),
        T(cancelled_parent_cancels_its_subtasks),
        T(a_blocked_emitter_is_cancelled),
        T(time_limit_of_the_parent_ends_its_subtasks),
        T(time_limit_of_a_subtask_is_its_own),
        T(what_ignores_term_is_killed_by_the_second_wake),
        T(parents_in_every_thread_and_one_for_subtasks),
        T(a_subtask_may_have_none),
        T(a_large_parent_does_not_starve_a_small_one),
        T(ten_thousand_come_back_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
