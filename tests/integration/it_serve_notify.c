/*
 * Claims about what belt serve tells its service manager.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/manager.h"
#include "tests/unit/unit.h"

enum { LIMIT_US = 200 * 1000, END_MS = 60 * 1000 };

static struct redis *redis;

static int setup(void **state)
{
    (void)state;
    redis = redis_start(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_stop(redis);
    return 0;
}

static void it_is_ready_when_it_listens_and_lives_without_redis(void **state)
{
    const char *argv[] = {BELT_SERVE_BIN, "serve",       "-u", redis_url(redis),
                          "--listen",     "127.0.0.1:0", NULL};
    struct manager *m = manager_new(redis);
    (void)state;
    struct worker *serve = manager_exec(m, argv, LIMIT_US);
    manager_await(m, "READY=1", 1);
    manager_await(m, "STATUS=listening at ", 1);
    assert_true(worker_said(serve, "ev=listen"));
    redis_kill9(redis);
    manager_await(m, "WATCHDOG=1", manager_count(m, "WATCHDOG=1") + 3);
    manager_await(m, "STATUS=listening at ", 2);
    assert_non_null(strstr(manager_heard(m), "; Redis is away: "));
    manager_expect_only(m, worker_pid(serve));
    worker_signal(serve, SIGTERM);
    manager_await(m, "STOPPING=1", 1);
    assert_int_equal(worker_wait(serve, END_MS), 0);
    assert_int_equal(manager_count(m, "EXTEND_TIMEOUT_USEC=40000000"), 1);
    assert_int_equal(manager_count(m, "READY=1"), 1);
    worker_free(serve);
    manager_free(m);
}

/* What does not listen is not ready. */
static void it_is_not_ready_when_it_cannot_listen(void **state)
{
    const char *argv[] = {BELT_SERVE_BIN,         "-u",
                          redis_url(redis),       "--listen",
                          "unix:/nowhere/at/all", NULL};
    struct manager *m = manager_new(redis);
    (void)state;
    struct worker *serve = manager_exec(m, argv, LIMIT_US);
    assert_int_not_equal(worker_wait(serve, END_MS), 0);
    assert_string_equal(manager_heard(m), "");
    worker_free(serve);
    manager_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_not_ready_when_it_cannot_listen),
        cmocka_unit_test(it_is_ready_when_it_listens_and_lives_without_redis),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
