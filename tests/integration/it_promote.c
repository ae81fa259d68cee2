/*
 * Claims about jobs that are to run later, with a real worker: it knows when
 * the next one is due, however late that was pushed.
 *
 * Without the word of the pusher a worker would hear of a job at its next
 * renewal, which is up to 1.7 s away.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

enum { LATE_MS = 350 }; /* on a machine that others use */

static long long number(const char *id, const char *field)
{
    return redis_int(runs_redis, "EVAL %s 1 belt:{q}:job:%s %s",
                     "return tonumber(redis.call('HGET', KEYS[1], ARGV[1]))",
                     id, field);
}

static void push_in(const char *id, const char *in)
{
    EXPECT(runs_redis, NULL, 0, "q/", "", "push", "x", "-q", "q", "--id", id,
           "--in", in, "--keep", "1h");
}

static struct worker *start(void)
{
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    runs_await_idle(1);
    return w;
}

/* Each is due before those that the worker knows of. */
static void a_nearer_job_wakes_it(void **state)
{
    struct worker *w = start();
    (void)state;
    push_in("far", "1h");
    for (int i = 1; i <= 4; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "j%d", i);
        push_in(id, "50ms");
        long long due_ms = number(id, "due_at");
        runs_await_stat("done", i);
        assert_in_range(number(id, "started_at"), due_ms, due_ms + LATE_MS);
    }
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:scheduled"), 1);
    runs_end(w);
}

/* In many calls; the same for those of equal instants. */
static void all_that_are_due_at_once_go(void **state)
{
    enum { JOBS = 5000 };
    struct worker *w = start();
    (void)state;
    redis_do(runs_redis, "EVAL %s 2 belt:{q}:scheduled belt:{q}:control %d",
             "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], i / 1000, "
             "'{\"id\":\"j' .. i .. '\",\"type\":\"x\"}') end "
             "redis.call('PUBLISH', KEYS[2], 'due 0') return 1",
             (int)JOBS);
    runs_await_stat("done", JOBS);
    assert_int_equal(queue_stat(runs_redis, "q", "promoted"), JOBS);
    runs_end(w);
}

/* What strangers publish is no reason to do anything but look. */
static void nonsense_on_the_channel_is_passed_over(void **state)
{
    static const char *const words[] = {"",
                                        "due",
                                        "due ",
                                        "due -1",
                                        "due 1x",
                                        "due 99999999999999999999",
                                        "due 999999999999999",
                                        "DUE 1",
                                        "pauses",
                                        "cancel x",
                                        "\r\n",
                                        "due 1 2"};
    struct worker *w = start();
    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_int_equal(
            redis_int(runs_redis, "PUBLISH belt:{q}:control %s", words[i]), 1);
    push_in("j1", "50ms");
    runs_await_stat("done", 1);
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_nearer_job_wakes_it),
        TEST(all_that_are_due_at_once_go),
        TEST(nonsense_on_the_channel_is_passed_over),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
