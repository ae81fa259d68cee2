/*
 * Claims about answers that a worker does not like: it says so, goes on or
 * ends in order, and does not spin.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

static bool two_are_blocked(void *arg)
{
    (void)arg;
    return runs_info("clients", "blocked_clients:") >= 2;
}

struct said {
    struct worker *w;
    const char *text;
};

static bool has_said(void *arg)
{
    struct said *s = arg;
    return worker_said(s->w, s->text);
}

static struct worker *two_queues(void)
{
    struct worker *w = worker_start(
        runs_redis, NULL,
        (const char *[]){"-q", "q,other", "--handler", "x=builtin:noop", NULL});
    assert_true(worker_is_up(w, 2));
    return w;
}

static bool has_polled(void *arg)
{
    return runs_info("errorstats", "errorstat_OOM:count=") >=
           *(const long long *)arg;
}

static void at_maxmemory_idle_lanes_poll(void **state)
{
    (void)state;
    struct worker *w = two_queues();
    assert_true(wait_until(two_are_blocked, NULL, RUN_MS));
    redis_do(runs_redis, "CONFIG SET maxmemory 1");
    redis_do(runs_redis, "CONFIG RESETSTAT");
    redis_do(runs_redis, "CLIENT KILL TYPE normal SKIPME yes");
    /* Each lane tries a BLMOVE about once a second: six take some seconds. */
    long long tries = 6;
    assert_true(wait_until(has_polled, &tries, RUN_MS));
    assert_in_range(runs_info("errorstats", "errorstat_OOM:count="), 6, 30);
    assert_in_range(worker_count(w, "ev=oom"), 1, 4);
    redis_do(runs_redis, "CONFIG SET maxmemory 0");
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    worker_free(w);
}

static void a_second_signal_waits_for_answers_that_come(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct worker *w = two_queues();
        worker_signal(w, SIGTERM);
        worker_signal(w, SIGINT);
        assert_int_equal(worker_wait(w, RUN_MS), 0);
        assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 0);
        worker_free(w);
    }
}

static void a_newer_format_ends_it_in_order(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{other}:config format 2");
    struct worker *w = worker_start(
        runs_redis, NULL,
        (const char *[]){"-q", "q,other", "--handler", "x=builtin:noop", NULL});
    assert_int_equal(worker_wait(w, RUN_MS), 78);
    assert_true(worker_said(w, "format 2"));
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 0);
    worker_free(w);
}

static void numbers_out_of_bounds_end_in_dead(void **state)
{
    static const char *const members[] = {
        "\"keep\":9223372036854775807", "\"attempt\":9223372036854775807",
        "\"put_offs\":9223372036854775807", "\"crashes\":1e3",
        "\"timeout\":9223372036854775807"};
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:fail", NULL);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        runs_push("{\"type\":\"x\",%s}", members[i]);
    runs_await("ZCARD belt:{q}:dead", 5);
    runs_await_stat("invalid", 5);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    runs_end(w);
}

static void names_that_no_lane_has_are_removed(void **state)
{
    char name[200];
    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    redis_do(runs_redis, "ZADD belt:{q}:leases 1 %s", name);
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    runs_end(w);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 0);
}

static void config_that_is_no_number_stops_nothing(void **state)
{
    (void)state;
    redis_do(
        runs_redis,
        "HSET belt:{q}:config lanes_version abc version abc "
        "cancelled_version - dead_max abc dead_max_age x dead_max_bytes y");
    redis_do(runs_redis, "SET belt:{q}:fence abc");
    struct worker *w = runs_worker("--handler", "x=builtin:noop", "--handler",
                                   "bad=exec:/bin/sh -c 'exit 65'", NULL);
    for (int i = 0; i < 5; i++) {
        runs_push("{\"type\":\"x\"}");
        runs_push("{\"type\":\"bad\"}");
    }
    runs_await_stat("done", 5);
    runs_await_stat("dead", 5);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    runs_end(w);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), 5);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 5);
}

static void a_format_that_is_no_number_is_named(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:config format abc");
    struct worker *w = worker_start(
        runs_redis, NULL,
        (const char *[]){"-q", "q", "--handler", "x=builtin:noop", NULL});
    struct said s = {w, "config format is no number: abc"};
    assert_true(wait_until(has_said, &s, RUN_MS));
    redis_do(runs_redis, "HDEL belt:{q}:config format");
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    worker_free(w);
}

static void too_few_descriptors_are_said_at_once(void **state)
{
    char exe[256] = "", link[64];
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)worker_pid(w));
    assert_true(readlink(link, exe, sizeof(exe) - 1) > 0);
    runs_end(w);
    char *command = mem_printf("ulimit -n 40; exec %s -u %s -q q "
                               "--handler x=builtin:noop --threads 16",
                               exe, redis_url(runs_redis));
    w = worker_exec(runs_redis, (const char *[]){"sh", "-c", command, NULL},
                    NULL);
    assert_int_equal(worker_wait(w, RUN_MS), 71);
    assert_true(worker_said(w, "40 file descriptors are allowed"));
    worker_free(w);
    free(command);
}

/* Whatever is opened next would otherwise be printed into. */
static void closed_standard_descriptors_become_dev_null(void **state)
{
    char exe[256] = "", link[64], target[64];
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)worker_pid(w));
    assert_true(readlink(link, exe, sizeof(exe) - 1) > 0);
    runs_end(w);
    char *command = mem_printf("exec %s -u %s -q q --handler x=exec:/bin/false "
                               "<&- >&- 2>&-",
                               exe, redis_url(runs_redis));
    w = worker_exec(runs_redis, (const char *[]){"sh", "-c", command, NULL},
                    NULL);
    for (int i = 0; i < 50; i++)
        runs_push("{\"type\":\"x\"}");
    runs_await_stat("retried", 50);
    for (int fd = 0; fd <= 2; fd++) {
        (void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)worker_pid(w),
                       fd);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        assert_true(n > 0);
        target[n] = '\0';
        assert_string_equal(target, "/dev/null");
    }
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    worker_free(w);
    free(command);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)
    const struct CMUnitTest tests[] = {
        TEST(at_maxmemory_idle_lanes_poll),
        TEST(a_second_signal_waits_for_answers_that_come),
        TEST(a_newer_format_ends_it_in_order),
        TEST(numbers_out_of_bounds_end_in_dead),
        TEST(names_that_no_lane_has_are_removed),
        TEST(config_that_is_no_number_stops_nothing),
        TEST(a_format_that_is_no_number_is_named),
        TEST(closed_standard_descriptors_become_dev_null),
        TEST(too_few_descriptors_are_said_at_once),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
