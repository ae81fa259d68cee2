/*
 * Claims about cancelling: wherever a job is, it ends once, as cancelled or as
 * it would have, and leaves no mark.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define CANCEL(...) EXPECT(runs_redis, NULL, 0, __VA_ARGS__)

/* Tells in $out that it runs, and goes on until it is told to stop. */
static const char *obedient(void)
{
    return runs_handler("t", "trap 'echo stopped >>$out; exit 0' TERM\n"
                             "echo $BELT_JOB_ID >>$out\n"
                             "sleep 600 & wait");
}

static const char *deaf(void)
{
    return runs_handler("t", "trap '' TERM\necho $BELT_JOB_ID >>$out\n"
                             "while :; do sleep 0.01; done");
}

static const char *noting(const char *type)
{
    return runs_handler(type, "echo $BELT_JOB_ID >>$out");
}

static bool has_lines(void *arg)
{
    return file_lines(runs_out()) >= *(unsigned *)arg;
}

static void await_lines(unsigned n)
{
    assert_true(wait_until(has_lines, &n, RUN_MS));
}

static void expect_stats(long long cancelled, long long done)
{
    assert_int_equal(queue_stat(runs_redis, "q", "cancelled"), cancelled);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), done);
    assert_int_equal(queue_stat(runs_redis, "q", "dead"), 0);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:cancelled"), 0);
}

static void expect_state(const char *id, const char *wanted)
{
    char text[64];
    redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:job:%s state", id);
    assert_string_equal(text, wanted);
}

static void what_waits_for_its_time_goes_at_once(void **state)
{
    (void)state;
    redis_do(runs_redis, "ZADD belt:{q}:scheduled 9999999999999 %s",
             "{\"id\":\"s\",\"type\":\"t\",\"unique\":\"k\",\"keep\":60000}");
    redis_do(runs_redis, "ZADD belt:{q}:retry 9999999999999 %s",
             "{\"recovered\":[5],\"id\":\"r\",\"type\":\"t\"} ");
    redis_do(runs_redis, "SET belt:{q}:unique:k s");
    CANCEL("cancelled", "", "cancel", "q/s", "q/r");
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:scheduled "
                                           "belt:{q}:retry belt:{q}:unique:k"),
                     0);
    expect_state("s", "cancelled");
    expect_stats(2, 0);
    EXPECT(runs_redis, NULL, 1, "ended", "", "cancel", "q/s");
    expect_stats(2, 0);
}

/*
 * Or its mark runs out before it is due. Three are looked for one by one, more
 * together; of a scan that gave up at 100000 the three would be found by luck.
 */
static void what_waits_goes_however_many_wait(void **state)
{
    enum { WAITING = 300000 };
    (void)state;
    redis_do(runs_redis, "EVAL %s 1 belt:{q}:scheduled %d",
             "for i = 1, tonumber(ARGV[1]) do redis.call('ZADD', KEYS[1], "
             "9999999000000 + i, '{\"id\":\"s' .. i .. "
             "'\",\"type\":\"t\"}') end",
             WAITING);
    CANCEL("cancelled", "", "cancel", "q/s1", "q/s150000", "q/s300000");
    CANCEL("cancelled", "", "cancel", "q/s2", "q/s70000", "q/s150001",
           "q/s220000", "q/s299999");
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:scheduled"),
                     WAITING - 8);
    expect_stats(8, 0);
}

static void a_ready_job_does_not_run_however_many_are_before_it(void **state)
{
    (void)state;
    queue_fill(runs_redis, "q", "n", 0, 10000);
    runs_push("{\"id\":\"c\",\"type\":\"t\",\"keep\":60000}");
    runs_push("{\"id\":\"d\",\"type\":\"t\"}");
    CANCEL("marked", "", "cancel", "q/c");
    struct worker *w = runs_worker("--handler", "n=builtin:noop", "--handler",
                                   noting("t"), NULL);
    runs_await_rest();
    expect_stats(1, 10001);
    expect_state("c", "cancelled");
    assert_int_equal(file_lines(runs_out()), 1);
    runs_expect_line("d");
    /* The id is free again. */
    runs_push("{\"id\":\"c\",\"type\":\"t\"}");
    runs_await_stat("done", 10002);
    runs_expect_line("c");
    runs_end(w);
}

static void a_running_job_is_told_to_stop(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", obedient(), NULL);
    runs_await_idle(1); /* so that it comes by BLMOVE */
    runs_push("{\"id\":\"a\",\"type\":\"t\",\"keep\":60000}");
    await_lines(1);
    CANCEL("cancelled", "", "cancel", "--wait", "--timeout", "30s", "a");
    runs_expect_line("stopped");
    expect_state("a", "cancelled");
    expect_stats(1, 0);
    runs_end(w);
}

/* KILL does not wait for --kill-after. */
static void one_that_does_not_listen_is_killed(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", deaf(), "--kill-after", "1h",
                                   "--cancel-kill-after", "50ms", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\",\"keep\":60000}");
    await_lines(1);
    CANCEL("cancelled", "", "cancel", "--wait", "--timeout", "30s", "q/a");
    expect_stats(1, 0);
    runs_end(w);
}

static void what_waits_behind_a_long_job_need_not_wait(void **state)
{
    (void)state;
    queue_fill(runs_redis, "q", "n", 0, 5000); /* many short ones: it holds */
    runs_push("{\"id\":\"long\",\"type\":\"t\"}"); /* many, then */
    for (int i = 0; i < 5; i++)
        runs_push("{\"id\":\"b%d\",\"type\":\"b\"}", i);
    struct worker *w =
        runs_worker("--threads", "1", "--handler", obedient(), "--handler",
                    "n=builtin:noop", "--handler", noting("b"), NULL);
    await_lines(1);
    CANCEL("over", "", "cancel", "--wait", "--timeout", "30s", "q/b1", "q/b3");
    assert_int_equal(file_lines(runs_out()), 1);
    assert_int_equal(queue_stat(runs_redis, "q", "cancelled"), 2);
    CANCEL("over", "", "cancel", "--wait", "--timeout", "30s", "q/long");
    runs_await_rest();
    expect_stats(3, 5003);
    runs_end(w);
}

static void any_worker_anywhere_hears_of_it(void **state)
{
    static const char *const hosts[] = {"one", "two"};
    struct worker *w[2];
    (void)state;
    const char *flags[] = {"-q",        "q",        "--threads", "1",
                           "--handler", obedient(), NULL};
    for (int i = 0; i < 2; i++) {
        w[i] = worker_start(runs_redis, hosts[i], flags);
        assert_true(worker_is_up(w[i], 1));
    }
    runs_await_idle(2);
    runs_push("{\"id\":\"a\",\"type\":\"t\"}");
    runs_push("{\"id\":\"b\",\"type\":\"t\"}");
    await_lines(2);
    CANCEL("over", "", "cancel", "--wait", "--timeout", "30s", "q/a", "q/b");
    expect_stats(2, 0);
    /* Each of them has had the marks; the ids are free again for both. */
    runs_push("{\"id\":\"b\",\"type\":\"t\"}");
    runs_push("{\"id\":\"a\",\"type\":\"t\"}");
    await_lines(6);
    CANCEL("over", "", "cancel", "--wait", "--timeout", "30s", "q/a", "q/b");
    expect_stats(4, 0);
    for (int i = 0; i < 2; i++)
        worker_free(w[i]);
}

static void what_would_wait_on_is_ended_instead(void **state)
{
    (void)state;
    runs_push("{\"id\":\"a\",\"type\":\"nobody\",\"keep\":60000}");
    CANCEL("marked", "", "cancel", "q/a");
    struct worker *w = runs_worker("--handler", noting("t"), NULL);
    runs_await_rest();
    expect_state("a", "cancelled");
    expect_stats(1, 0);
    runs_end(w);
}

/* Which pops without asking whether there are marks. */
static void at_most_once_it_is_no_different(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        runs_push("{\"id\":\"a%d\",\"type\":\"t\",\"keep\":60000}", i);
    CANCEL("marked", "", "cancel", "q/a0", "q/a2");
    struct worker *w = runs_worker("--delivery", "at-most-once", "--handler",
                                   noting("t"), NULL);
    runs_await_stat("cancelled", 2);
    runs_await_stat("done", 2);
    expect_stats(2, 2);
    expect_state("a0", "cancelled");
    expect_state("a1", "done");
    assert_int_equal(file_lines(runs_out()), 2);
    runs_end(w);
}

static void one_that_sleeps_wakes(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:sleep 1h", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\",\"keep\":60000}");
    runs_await("ZCARD belt:{q}:leases", 1);
    CANCEL("cancelled", "", "cancel", "--wait", "--timeout", "30s", "q/a");
    expect_stats(1, 0);
    runs_end(w);
}

static bool is_draining(void *arg)
{
    return worker_said(arg, "ev=drain");
}

static void a_worker_that_ends_need_not_wait_for_it(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", obedient(), "--drain-timeout", "1h", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\"}");
    await_lines(1);
    worker_signal(w, SIGTERM);
    assert_true(wait_until(is_draining, w, RUN_MS));
    CANCEL("marked", "", "cancel", "q/a");
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    expect_stats(1, 0);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 0);
}

static bool is_stopping(void *arg)
{
    return worker_said(arg, "ev=cancel");
}

static void the_mark_outlives_a_worker(void **state)
{
    (void)state;
    struct worker *dies =
        runs_worker("--handler", deaf(), "--cancel-kill-after", "1h", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\",\"keep\":60000}");
    await_lines(1);
    CANCEL("marked", "", "cancel", "q/a");
    assert_true(wait_until(is_stopping, dies, RUN_MS));
    struct worker *w = runs_worker("--handler", deaf(), NULL);
    worker_signal(dies, SIGKILL);
    runs_await_stat("cancelled", 1);
    expect_state("a", "cancelled");
    assert_int_equal(file_lines(runs_out()), 1); /* it did not begin again */
    expect_stats(1, 0);
    runs_end(w);
}

static void what_has_ended_cannot_be_cancelled(void **state)
{
    (void)state;
    redis_do(runs_redis, "SADD belt:queues q");
    redis_do(runs_redis, "HSET belt:{q}:job:a state done");
    redis_do(runs_redis, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"d\",\"type\":\"t\"}");
    EXPECT(runs_redis, NULL, 1, "ended", "", "cancel", "q/a");
    EXPECT(runs_redis, NULL, 1, "ended", "", "cancel", "d");
    EXPECT(runs_redis, NULL, 1, "not found", "", "cancel", "nowhere");
    EXPECT(runs_redis, NULL, 1, "not found", "", "cancel", "--wait",
           "q/nowhere");
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:cancelled"), 0);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 1);
}

static void what_waits_goes_by_filter(void **state)
{
    (void)state;
    redis_do(runs_redis, "ZADD belt:{q}:scheduled 9999999999999 %s",
             "{\"id\":\"a\",\"type\":\"t\",\"unique\":\"k\",\"keep\":60000}");
    redis_do(runs_redis, "ZADD belt:{q}:scheduled 9999999999999 %s",
             "{\"id\":\"b\",\"type\":\"u\"}");
    redis_do(runs_redis, "ZADD belt:{q}:retry 9999999999999 %s",
             "{\"id\":\"c\",\"type\":\"t\",\"error\":{\"class\":\"exit\","
             "\"message\":\"no route\"}}");
    redis_do(runs_redis, "ZADD belt:{q}:retry 9999999999999 nonsense");
    redis_do(runs_redis, "ZADD belt:{q}:dead 1 %s",
             "{\"id\":\"d\",\"type\":\"t\"}");
    redis_do(runs_redis, "SET belt:{q}:unique:k a");
    CANCEL("c ", "2 would be cancelled", "cancel", "q", "-t", "t", "--dry-run");
    CANCEL("1 cancelled\n", "", "cancel", "q", "--error", "*route");
    CANCEL("1 cancelled\n", "", "cancel", "q", "--type", "t", "--state",
           "scheduled");
    expect_state("a", "cancelled");
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:unique:k"), 0);
    EXPECT(runs_redis, NULL, 1, "1 cancelled, 1 left\n", "no envelope",
           "cancel", "q", "--all");
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 1);
    expect_stats(3, 0);
    EXPECT(runs_redis, NULL, 64, "", "not retry or scheduled", "cancel", "q",
           "--all", "--state", "dead");
    EXPECT(runs_redis, NULL, 64, "", "are for queues", "cancel", "q/a",
           "--all");
    EXPECT(runs_redis, NULL, 64, "", "--wait", "cancel", "q", "--all",
           "--wait");
}

static void names_come_from_stdin_and_rows_are_for_programs(void **state)
{
    (void)state;
    EXPECT(runs_redis, "q/a\nr/b\n", 0,
           "{\"queue\":\"r\",\"id\":\"b\",\"outcome\":\"marked\"}", "",
           "cancel", "-", "-o", "ndjson");
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:cancelled"), 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{r}:cancelled"), 1);
    EXPECT(runs_redis, "q/a\nnonsense\n", 65, "q/a", "line 2", "cancel", "-");
    EXPECT(runs_redis, NULL, 124, "marked", "", "cancel", "--wait", "--timeout",
           "1ms", "q/a");
    EXPECT(runs_redis, NULL, 64, "", "", "cancel");
}

static void a_set_that_is_none_stops_nothing(void **state)
{
    (void)state;
    redis_do(runs_redis, "SET belt:{q}:cancelled x");
    redis_do(runs_redis, "HSET belt:{q}:config cancelled_version 5");
    struct worker *w = runs_worker("--handler", noting("t"), NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\"}");
    runs_await_stat("done", 1);
    assert_true(worker_said(w, "no job is cancelled"));
    EXPECT(runs_redis, NULL, 70, "", "WRONGTYPE", "cancel", "q/b");
    runs_end(w);
}

static void a_queue_has_so_many_marks_and_no_more(void **state)
{
    (void)state;
    redis_do(runs_redis, "EVAL %s 0",
             "local t = redis.call('TIME')[1] * 1000 "
             "for i = 1, 10000 do redis.call('ZADD', 'belt:{q}:cancelled', t, "
             "'x' .. i) end");
    EXPECT(runs_redis, NULL, 75, "", "as many marks as there can be", "cancel",
           "q/a");
    CANCEL("marked", "", "cancel", "q/x77");
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(what_waits_for_its_time_goes_at_once),
        CLAIM(what_waits_goes_however_many_wait),
        CLAIM(a_ready_job_does_not_run_however_many_are_before_it),
        CLAIM(a_running_job_is_told_to_stop),
        CLAIM(one_that_does_not_listen_is_killed),
        CLAIM(what_waits_behind_a_long_job_need_not_wait),
        CLAIM(any_worker_anywhere_hears_of_it),
        CLAIM(what_would_wait_on_is_ended_instead),
        CLAIM(at_most_once_it_is_no_different),
        CLAIM(one_that_sleeps_wakes),
        CLAIM(a_worker_that_ends_need_not_wait_for_it),
        CLAIM(the_mark_outlives_a_worker),
        CLAIM(what_has_ended_cannot_be_cancelled),
        CLAIM(what_waits_goes_by_filter),
        CLAIM(names_come_from_stdin_and_rows_are_for_programs),
        CLAIM(a_set_that_is_none_stops_nothing),
        CLAIM(a_queue_has_so_many_marks_and_no_more),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
