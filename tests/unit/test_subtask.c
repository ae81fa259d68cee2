/*
 * Claims about sub-tasks: what comes back, in which order, and what a failure
 * does.
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

static unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void results_come_back_with_number_and_key(void **state)
{
    struct parents *x = parents_start(state, 2, 0);
    struct subtask *t;

    parent_emit(x, "echo", "{\"a\":1}", "first");
    t = parent_next(x);
    assert_int_equal(t->number, 1);
    assert_string_equal(t->key, "first");
    assert_int_equal(t->state, SUBTASK_DONE);
    assert_string_equal(t->result.data, "{\"a\":1}");
    subtask_free(t);
    parent_emit(x, "noop", "null", NULL);
    t = parent_next(x);
    assert_int_equal(t->number, 2);
    assert_null(t->key);
    subtask_free(t);
    subtasks_end(x->s);
    parent_expect_none(x);
    assert_int_equal(subtasks_count(x->s, SUBTASK_DONE), 2);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DONE);
    assert_int_equal(subtask_pool_count(x->tier, SUBTASK_DONE), 2);
    parents_stop(x);
}

static void no_thread_before_the_first(void **state)
{
    struct parents *x = parents_start(state, 8, 0);
    unsigned before = count_threads();

    assert_int_equal(subtask_pool_busy(x->tier), 0);
    parent_emit(x, "sleep", "null", NULL);
    parents_wait_busy(x, 1);
    assert_int_equal(count_threads(), before + 8);
    subtasks_cancel(x->s, CANCEL_JOB);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

static void finished_order_is_that_of_the_ends(void **state)
{
    struct parents *x = parents_start(state, 2, 0);

    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "echo", "\"fast\"", NULL);
    parent_expect_next(x, 2, SUBTASK_DONE, "fast");
    subtasks_cancel(x->s, CANCEL_JOB);
    /* It may not have begun yet. */
    parent_expect_next(x, 1, SUBTASK_CANCELLED, "");
    parent_expect_none(x);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

static void emitted_order_is_kept_whatever_ends_first(void **state)
{
    enum { N = 300 };
    struct parents *x = parents_start(state, 3, 1000);
    char number[16];

    parent_set(x, (struct subtasks_options){.order = SUBTASK_EMITTED});
    for (int i = 1; i <= N; i++) {
        snprintf(number, sizeof(number), "%d", i);
        if (i % 50 == 1)
            parent_emit(x, "sleep", "{\"ms\":15}", NULL);
        else
            parent_emit(x, "echo", number, NULL);
    }
    subtasks_end(x->s);
    for (int i = 1; i <= N; i++) {
        snprintf(number, sizeof(number), "%d", i);
        struct subtask *t = parent_next(x);

        assert_int_equal(t->number, i);
        if (i % 50 != 1)
            assert_string_equal(t->result.data, number);
        subtask_free(t);
    }
    parent_expect_none(x);
    parent_finish(x, VERDICT_DONE);
    parents_stop(x);
}

static void first_failure_cancels_the_others_and_fails_the_parent(void **state)
{
    struct parents *x = parents_start(state, 2, 0);
    struct outcome *o = &x->d->outcome;

    parent_emit(x, "sleep", "null", NULL);
    parent_emit(x, "fail", "null", "k7");
    for (int i = 0; i < 20; i++)
        if (parent_try_emit(x, "noop", "null", NULL) != 0)
            break;
    assert_true(fd_becomes_readable(subtasks_fd(x->s)));
    while (!subtasks_failed(x->s))
        assert_true(fd_becomes_readable(subtasks_fd(x->s)));
    parent_expect_none(x);
    assert_int_equal(parent_try_emit(x, "noop", "null", NULL), ERR_CLOSED);
    buf_str(&o->result, "a result");
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(o->verdict, VERDICT_RETRY);
    assert_string_equal(o->error_class, "subtask");
    assert_string_equal(o->message.data,
                        "sub-task 2 (fail, k7): failed on request");
    assert_int_equal(o->result.len, 0);
    assert_int_equal(o->exit_status, 1);
    parents_stop(x);
}

static void parent_fails_in_the_way_of_its_subtask(void **state)
{
    static const struct {
        const char *type, *payload;
        enum verdict verdict;
        int64_t delay_ms;
        const char *text;
    } rows[] = {
        {"bad", "null", VERDICT_DEAD, -1,
         "sub-task 1 (bad): exit code 65: oops"},
        {"nobody", "null", VERDICT_PUT_OFF, -1,
         "sub-task 1 (nobody): no handler for this type here"},
        {"fail", "{\"retry_after\":5000}", VERDICT_RETRY, 5000,
         "sub-task 1 (fail): failed on request"},
        {"fail", "{\"snooze\":7000}", VERDICT_RETRY, 7000,
         "sub-task 1 (fail): a sub-task cannot be run later"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parents *x = parents_start(state, 1, 0);
        struct outcome *o = &x->d->outcome;

        parent_emit(x, rows[i].type, rows[i].payload, NULL);
        subtasks_end(x->s);
        parent_finish(x, VERDICT_DONE);
        assert_int_equal(o->verdict, rows[i].verdict);
        assert_string_equal(o->error_class, "subtask");
        assert_string_equal(o->message.data, rows[i].text);
        assert_int_equal(o->delay_ms, rows[i].delay_ms);
        parents_stop(x);
    }
}

static void collect_shows_failures_and_the_parent_decides(void **state)
{
    struct parents *x = parents_start(state, 2, 0);

    parent_set(x, (struct subtasks_options){.order = SUBTASK_EMITTED,
                                            .on_error = SUBTASK_COLLECT});
    parent_emit(x, "fail", "null", NULL);
    parent_emit(x, "echo", "2", NULL);
    parent_emit(x, "nobody", "null", NULL);
    subtasks_end(x->s);
    parent_expect_next(x, 1, SUBTASK_FAILED, "failed on request");
    parent_expect_next(x, 2, SUBTASK_DONE, "2");
    parent_expect_next(x, 3, SUBTASK_FAILED, "no handler");
    parent_expect_none(x);
    assert_false(subtasks_failed(x->s));
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DONE);
    parents_stop(x);
}

static void what_cannot_be_one_is_refused(void **state)
{
    struct parents *x = parents_start(state, 1, 0);
    char *key = mem_new(SUBTASK_KEY_MAX + 2);
    struct errbuf eb = {""};

    memset(key, 'k', SUBTASK_KEY_MAX + 1);
    assert_int_equal(parent_try_emit(x, "noop", "null", key), ERR_INVALID);
    key[SUBTASK_KEY_MAX] = '\0';
    assert_int_equal(parent_try_emit(x, "noop", "{\"a\":", NULL), ERR_INVALID);
    assert_int_equal(parent_try_emit(x, "a\nb", "null", NULL), ERR_INVALID);
    assert_int_equal(parent_try_emit(x, "", "null", NULL), ERR_INVALID);
    assert_int_equal(parent_try_emit(x, "noop", "null", key), 0);
    assert_int_equal(
        subtasks_set_options(
            x->s, &(struct subtasks_options){.no_results = true}, &eb),
        ERR_INVALID);
    subtasks_end(x->s);
    assert_int_equal(parent_try_emit(x, "noop", "null", NULL), ERR_INVALID);
    parent_finish(x, VERDICT_DONE);
    assert_int_equal(x->d->outcome.verdict, VERDICT_DONE);
    free(key);
    parents_stop(x);
}

static void a_long_id_is_cut_in_front_of_the_number(void **state)
{
    struct parents *x = parents_start(state, 1, 0);
    char *line = mem_new(ID_MAX_LEN + 16);
    struct buf log;

    memset(x->d->job->id, 'i', ID_MAX_LEN);
    strcpy(line, "job=");
    memset(line + 4, 'i', ID_MAX_LEN - 2);
    strcat(line, ".1 ");
    parent_emit(x, "bad", "null", NULL);
    parent_finish(x, VERDICT_DONE);
    log = runner_log(x->f);
    expect_contains(&log, line);
    expect_contains(&log, "ev=subtasks");
    expect_contains(&log, "failed=1");
    buf_done(&log);
    free(line);
    parents_stop(x);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, runner_setup, runner_teardown)
    const struct CMUnitTest tests[] = {
        T(results_come_back_with_number_and_key),
        T(no_thread_before_the_first),
        T(finished_order_is_that_of_the_ends),
        T(emitted_order_is_kept_whatever_ends_first),
        T(first_failure_cancels_the_others_and_fails_the_parent),
        T(parent_fails_in_the_way_of_its_subtask),
        T(collect_shows_failures_and_the_parent_decides),
        T(what_cannot_be_one_is_refused),
        T(a_long_id_is_cut_in_front_of_the_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
