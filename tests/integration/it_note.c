/*
 * Claims about what is told of jobs while they run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define KEPT "{\"id\":\"k\",\"type\":\"t\",\"keep\":60000}"
#define LOCKED                                                                 \
    "{\"id\":\"u\",\"type\":\"t\",\"unique\":{\"key\":\"x\",\"until\":"        \
    "\"started\"}}"

/* Runs until the file of runs_out is there. */
static struct worker *waiting_worker(void)
{
    return runs_worker(
        "--handler",
        runs_handler("t", "until [ -e $out ]; do sleep 0.01; done"), NULL);
}

static void let_go(void)
{
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_rest();
}

static const char *field(const char *name)
{
    static char value[256];
    return redis_str(runs_redis, value, sizeof(value), "HGET belt:{q}:job:k %s",
                     name);
}

static bool is_active(void *arg)
{
    (void)arg;
    return strcmp(field("state"), "active") == 0;
}

static void await_active(void)
{
    assert_true(wait_until(is_active, NULL, RUN_MS));
}

static void a_kept_job_tells_that_it_runs(void **state)
{
    (void)state;
    struct worker *w = waiting_worker();
    redis_do(runs_redis, "HSET belt:{q}:job:k state retry due_at 5 progress 7 "
                         "message m error e");
    runs_push(KEPT);
    await_active();
    assert_string_equal(field("attempt"), "1");
    assert_string_equal(field("type"), "t");
    assert_non_null(strstr(field("lane"), ".1"));
    assert_string_not_equal(field("worker"), "(nil)");
    assert_string_not_equal(field("started_at"), "(nil)");
    assert_string_equal(field("due_at"), "(nil)");
    assert_string_equal(field("progress"), "(nil)");
    assert_string_equal(field("error"), "(nil)");
    assert_true(redis_int(runs_redis, "TTL belt:{q}:job:k") > 80 * 86400);
    let_go();
    assert_string_equal(field("state"), "done");
    runs_end(w);
}

static bool is_half_done(void *arg)
{
    (void)arg;
    return strcmp(field("progress"), "50") == 0;
}

static void a_handler_tells_how_far_it_is(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("t", "echo '{\"op\":\"progress\",\"percent\":50,"
                          "\"message\":\"half of it\"}' >&3\n"
                          "until [ -e $out ]; do sleep 0.01; done"),
        NULL);
    runs_push(KEPT);
    assert_true(wait_until(is_half_done, NULL, RUN_MS));
    assert_string_equal(field("message"), "half of it");
    assert_string_equal(field("state"), "active");
    let_go();
    runs_end(w);
}

static bool lock_is_gone(void *arg)
{
    (void)arg;
    return redis_int(runs_redis, "EXISTS belt:{q}:unique:x") == 0;
}

static void a_lock_until_started_ends_while_the_job_runs(void **state)
{
    (void)state;
    struct worker *w = waiting_worker();
    redis_do(runs_redis, "SET belt:{q}:unique:x u");
    runs_push(LOCKED);
    assert_true(wait_until(lock_is_gone, NULL, RUN_MS));
    assert_int_equal(queue_active(runs_redis, "q"), 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:job:u"), 0);
    let_go();
    runs_end(w);
}

static void other_jobs_tell_nothing(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    redis_do(runs_redis, "CONFIG RESETSTAT");
    for (int i = 0; i < 100; i++)
        runs_push("{\"id\":\"%d\",\"type\":\"t\",\"unique\":\"x\"}", i);
    runs_await_rest();
    /* Only a note asks how long news are to be kept. */
    assert_int_equal(runs_info("commandstats", "cmdstat_pexpire:calls="), 0);
    runs_end(w);
}

static void many_tell_in_few_calls_and_each_ends_once(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    for (int i = 0; i < 500; i++)
        runs_push("{\"id\":\"%d\",\"type\":\"t\",\"keep\":60000}", i);
    runs_await_stat("done", 500);
    for (int i = 0; i < 500; i++) {
        char state_now[32];
        assert_string_equal(redis_str(runs_redis, state_now, sizeof(state_now),
                                      "HGET belt:{q}:job:%d state", i),
                            "done");
    }
    runs_end(w);
}

static bool has_new_lane(void *arg)
{
    const char *old = arg, *now = field("lane");
    return strcmp(now, "(nil)") != 0 && strcmp(now, old) != 0;
}

/* What was told under the old id may not have arrived. */
static void after_a_rebind_it_is_told_again(void **state)
{
    char was[256], started[64];
    (void)state;
    struct worker *w = waiting_worker();
    runs_push(KEPT);
    await_active();
    (void)snprintf(was, sizeof(was), "%s", field("lane"));
    (void)snprintf(started, sizeof(started), "%s", field("started_at"));
    redis_do(runs_redis, "DEL belt:{q}:job:k");
    redis_do(runs_redis, "CLIENT KILL TYPE normal SKIPME yes");
    assert_true(wait_until(has_new_lane, was, RUN_MS));
    assert_string_equal(field("state"), "active");
    long long late =
        strtoll(field("started_at"), NULL, 10) - strtoll(started, NULL, 10);
    assert_true(late > -100 && late < 100); /* two clocks, each read anew */
    let_go();
    assert_string_equal(field("state"), "done");
    runs_end(w);
}

static void forgotten_scripts_are_loaded(void **state)
{
    (void)state;
    struct worker *w = waiting_worker();
    runs_await_idle(1);
    redis_do(runs_redis, "SCRIPT FLUSH");
    runs_push(KEPT);
    await_active();
    let_go();
    assert_string_equal(field("state"), "done");
    runs_end(w);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_kept_job_tells_that_it_runs),
        CLAIM(a_handler_tells_how_far_it_is),
        CLAIM(a_lock_until_started_ends_while_the_job_runs),
        CLAIM(other_jobs_tell_nothing),
        CLAIM(many_tell_in_few_calls_and_each_ends_once),
        CLAIM(after_a_rebind_it_is_told_again),
        CLAIM(forgotten_scripts_are_loaded),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
