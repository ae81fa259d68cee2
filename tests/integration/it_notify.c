/*
 * Claims about what a real worker tells its service manager: when it is ready,
 * what it does, and that it lives, which it must not say when it does not.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/manager.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

enum {
    LIMIT_US = 200 * 1000, /* a sign of life each 100 ms, then */
    SILENCE_MS = 600       /* three limits */
};

static const char plugin[] = "x=plugin:" TEST_PLUGIN " text";

static struct manager *manager;
static struct worker *worker;

static int setup(void **state)
{
    (void)runs_clear(state);
    manager = manager_new(runs_redis);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    worker_free(worker);
    worker = NULL;
    manager_free(manager);
    return 0;
}

/* A worker of queue q with these flags, ended by NULL. */
static void start(const char *url, const char *const *flags)
{
    const char *argv[24] = {BELT_WORKER_BIN, "-u", url, "-q", "q", "--handler",
                            "n=builtin:noop"};
    unsigned n = 7;
    while (*flags != NULL && n < 23)
        argv[n++] = *flags++;
    worker = manager_exec(manager, argv, LIMIT_US);
}

static void end_it(void)
{
    worker_signal(worker, SIGTERM);
    assert_int_equal(worker_wait(worker, RUN_MS), 0);
}

static void it_is_ready_when_its_lanes_are_bound(void **state)
{
    (void)state;
    (void)kill(redis_pid(runs_redis), SIGSTOP);
    start(redis_url(runs_redis), (const char *const[]){NULL});
    manager_await(manager, "STATUS=0 of 4 busy; q; waiting for Redis", 1);
    assert_int_equal(manager_count(manager, "READY=1"), 0);
    (void)kill(redis_pid(runs_redis), SIGCONT);
    manager_await(manager, "READY=1", 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 1);
    manager_await(manager, "STATUS=0 of 4 busy; q", 2);
    manager_await(manager, "WATCHDOG=1", 2);
    manager_expect_only(manager, worker_pid(worker));
    end_it();
    assert_int_equal(manager_count(manager, "READY=1"), 1);
    assert_int_equal(manager_count(manager, "STOPPING=1"), 1);
}

static void it_says_what_it_does(void **state)
{
    (void)state;
    start(redis_url(runs_redis),
          (const char *const[]){"--threads", "2", "--handler",
                                "s=builtin:sleep 60s", "--drain-timeout", "1s",
                                NULL});
    manager_await(manager, "READY=1", 1);
    runs_push("{\"type\":\"s\"}");
    manager_await(manager, "STATUS=1 of 2 busy; q", 1);
    redis_do(runs_redis, "HSET belt:{q}:config paused 1");
    redis_do(runs_redis, "PUBLISH belt:{q}:control pause");
    manager_await(manager, "STATUS=1 of 2 busy; q (paused)", 1);
    worker_signal(worker, SIGUSR1);
    manager_await(manager, "STATUS=quiet, 1 of 2 busy; q (paused)", 1);
    worker_signal(worker, SIGTERM);
    manager_await(manager, "STOPPING=1", 1);
    manager_await(manager, "STATUS=draining, 1 jobs run", 1);
    /* For as long as it takes. */
    manager_await(manager, "EXTEND_TIMEOUT_USEC=15000000", 3);
    manager_await(manager, "EXTEND_TIMEOUT_USEC=60000000", 1);
    assert_int_equal(worker_wait(worker, RUN_MS), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void it_says_that_it_reads_its_configuration(void **state)
{
    (void)state;
    char *path = mem_printf("%s/notify.conf", redis_dir(runs_redis));
    write_file(path, "threads = 2\n");
    start(redis_url(runs_redis), (const char *const[]){"-c", path, NULL});
    manager_await(manager, "READY=1", 1);
    int64_t before = clock_us();
    worker_signal(worker, SIGHUP);
    manager_await(manager, "READY=1", 2);
    assert_int_equal(manager_count(manager, "RELOADING=1"), 1);
    const char *at = strstr(manager_heard(manager), "\nMONOTONIC_USEC=");
    assert_non_null(at);
    assert_in_range(strtoll(at + 16, NULL, 10), before, clock_us());

    write_file(path, "threads = many\n");
    worker_signal(worker, SIGHUP);
    manager_await(manager, "READY=1", 3);
    assert_int_equal(manager_count(manager, "RELOADING=1"), 2);
    manager_await(manager,
                  "STATUS=0 of 2 busy; q; the new configuration is wrong", 1);
    end_it();
    (void)unlink(path);
    free(path);
}

/* All threads go on; only the one that matters does not. */
static void a_loop_that_stands_still_gives_no_sign_of_life(void **state)
{
    (void)state;
    start(redis_url(runs_redis),
          (const char *const[]){"--handler", plugin, "--lease", "20s", NULL});
    manager_await(manager, "WATCHDOG=1", 1);
    runs_push("{\"type\":\"x\",\"payload\":\"stop-loop\"}");
    struct worker *w = worker;
    while (!worker_said(w, "the loop stands"))
        assert_false(worker_has_ended(w));
    assert_true(manager_is_silent(manager, "WATCHDOG=1", SILENCE_MS));
    unsigned before = manager_count(manager, "WATCHDOG=1");
    /* And when it turns again, it does. */
    manager_await(manager, "WATCHDOG=1", before + 2);
    runs_await_stat("done", 1);
    end_it();
}

/*
 * One worker whose Redis is away: neither a start that waits for ever, nor a
 * hang. And one with all threads busy while jobs wait, for longer than a lease.
 */
static void a_redis_that_is_away_is_no_hang_nor_are_long_jobs(void **state)
{
    static const char *const flags[] = {
        "--threads",           "1",       "--handler",
        "s=builtin:sleep 60s", "--lease", "3s",
        "--drain-timeout",     "0s",      NULL};
    struct manager *busy_manager = manager;
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        runs_push("{\"type\":\"s\"}");
    start(redis_url(runs_redis), flags);
    struct worker *busy = worker;
    manager_await(manager, "STATUS=1 of 1 busy; q", 1);
    unsigned before = manager_count(manager, "WATCHDOG=1");

    manager = manager_new(runs_redis);
    int64_t began_ms = clock_ms();
    start("unix:///nowhere/redis.sock", flags);
    manager_await(manager, "READY=1", 1);
    assert_true(clock_ms() - began_ms >= 2900);
    unsigned alive = manager_count(manager, "WATCHDOG=1");
    manager_await(manager, "WATCHDOG=1", alive + 3);
    assert_int_equal(manager_count(manager, "STATUS=0 of 1 busy; q; waiting"),
                     1);
    end_it();
    manager_free(manager);
    worker_free(worker);

    manager = busy_manager;
    worker = busy;
    manager_await(manager, "WATCHDOG=1", before + 33);
    assert_true(clock_ms() - began_ms >= 3000);
    assert_false(worker_said(worker, "ev=stuck"));
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 4);
    end_it();
}

/* The same process goes on under the same manager. */
static void a_worker_that_replaces_itself_is_heard_on(void **state)
{
    (void)state;
    start(redis_url(runs_redis),
          (const char *const[]){"--handler", plugin, "--timeout", "20ms",
                                "--kill-after", "10ms", NULL});
    manager_await(manager, "READY=1", 1);
    runs_push("{\"type\":\"x\",\"payload\":\"hangs\",\"backoff\":[3600000]}");
    manager_await(manager, "STATUS=starting anew", 1);
    manager_await(manager, "READY=1", 2);
    unsigned before = manager_count(manager, "WATCHDOG=1");
    manager_await(manager, "WATCHDOG=1", before + 2);
    assert_int_equal(manager_count(manager, "STOPPING=1"), 0);
    manager_expect_only(manager, worker_pid(worker));
    end_it();
    assert_int_equal(manager_count(manager, "STOPPING=1"), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_is_ready_when_its_lanes_are_bound),
        T(it_says_what_it_does),
        T(it_says_that_it_reads_its_configuration),
        T(a_loop_that_stands_still_gives_no_sign_of_life),
        T(a_redis_that_is_away_is_no_hang_nor_are_long_jobs),
        T(a_worker_that_replaces_itself_is_heard_on),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
