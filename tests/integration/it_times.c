/*
 * Claims about what is told of how long jobs waited and ran.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

static long long stat(const char *name)
{
    return redis_int(runs_redis, "HINCRBY belt:{q}:stats %s 0", name);
}

/* All buckets of "wait" or "run" from the k-th on. */
static long long above(const char *what, int k)
{
    char name[32];
    long long sum = 0;

    for (; k < 32; k++) {
        snprintf(name, sizeof(name), "%s:%d", what, k);
        sum += stat(name);
    }
    return sum;
}

static void each_run_is_told_once(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler=t=builtin:noop", NULL);
    for (int i = 0; i < 300; i++)
        runs_push("{\"id\":\"%d\",\"type\":\"t\",\"created_at\":%lld}", i,
                  (long long)clock_wall_ms() - 5000);
    runs_await_stat("done", 300);
    runs_end(w); /* what was not told yet is told before it leaves */
    assert_int_equal(stat("started"), 300);
    assert_int_equal(above("run", 0), 300);
    assert_int_equal(above("wait", 0), 300);
    assert_int_equal(above("wait", 13), 300);   /* 4096 ms and more */
    assert_true(stat("wait_ms") >= 300 * 4990); /* two clocks */
    assert_true(stat("wait_ms") < 300 * 65000);
    assert_true(redis_int(runs_redis, "EVAL %s 0",
                          "local n = 0 for _, k in ipairs(redis.call('KEYS', "
                          "'belt:{q}:stats:*')) do n = n + (redis.call('HGET', "
                          "k, 'started') or 0) end return n") == 300);
}

static void runs_are_measured(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler=t=builtin:sleep 70ms", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\"}");
    runs_push("{\"id\":\"b\",\"type\":\"t\"}");
    runs_await_stat("done", 2);
    runs_end(w);
    assert_int_equal(above("run", 7), 2); /* 64 ms and more */
    assert_true(stat("run_ms") >= 140);
    assert_int_equal(above("wait", 0), 0); /* since when is not known */
}

static void waits_begin_when_a_job_is_due(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler=t=builtin:noop", NULL);
    long long hour = 3600 * 1000, now = clock_wall_ms();
    runs_push("{\"id\":\"a\",\"type\":\"t\",\"created_at\":%lld,\"at\":%lld}",
              now - hour, now);
    runs_push("{\"id\":\"b\",\"type\":\"t\",\"created_at\":%lld,\"in\":%lld}",
              now - hour, hour);
    runs_push("{\"id\":\"c\",\"type\":\"t\",\"created_at\":%lld}", now + hour);
    runs_push("{\"id\":\"d\",\"type\":\"t\",\"created_at\":%lld,"
              "\"attempt\":1}",
              now - hour);
    runs_push("{\"id\":\"e\",\"type\":\"t\",\"created_at\":%lld,"
              "\"snoozes\":1}",
              now - hour);
    runs_push("{\"recovered\":[5],\"id\":\"f\",\"type\":\"t\","
              "\"created_at\":%lld}",
              now - hour);
    runs_await_stat("done", 6);
    runs_end(w);
    assert_int_equal(stat("started"), 6);
    assert_int_equal(above("wait", 0), 3);
    assert_int_equal(above("wait", 17), 0); /* 65 s and more */
}

/* No handler, so no run. */
static void what_is_put_off_did_not_run(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler=t=builtin:noop", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"created_at\":5}");
    runs_await_stat("put_off", 1);
    runs_end(w);
    assert_int_equal(stat("started"), 0);
    assert_int_equal(above("wait", 0) + above("run", 0), 0);
}

/* Told by a renewal, since nothing is settled any more. */
static void the_rest_is_told_while_the_lane_idles(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler=t=builtin:noop", "--lease=3s", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"t\"}");
    runs_await_stat("started", 1);
    runs_end(w);
    assert_int_equal(stat("started"), 1);
}

static void a_lost_connection_doubles_nothing(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler=t=builtin:noop", NULL);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 50; i++)
            runs_push("{\"id\":\"%d-%d\",\"type\":\"t\"}", round, i);
        redis_do(runs_redis, "CLIENT KILL TYPE normal SKIPME yes");
    }
    runs_await_stat("done", 500);
    runs_end(w);
    assert_int_equal(stat("done"), 500);
    assert_true(stat("started") <= 500);
    assert_int_equal(above("run", 0), stat("started"));
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(each_run_is_told_once),
        CLAIM(runs_are_measured),
        CLAIM(waits_begin_when_a_job_is_due),
        CLAIM(what_is_put_off_did_not_run),
        CLAIM(the_rest_is_told_while_the_lane_idles),
        CLAIM(a_lost_connection_doubles_nothing),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
