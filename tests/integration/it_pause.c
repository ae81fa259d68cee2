/*
 * Claims about belt pause and belt resume with real workers: no job starts
 * after the command has returned, those that run end, and none is lost.
 *
 * Jobs are kept, so that Redis has when each was started, by the clock that
 * the tests look at, too.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

/* n jobs more: j1, j2 and so on. */
static unsigned filled;

static void fill(unsigned n)
{
    redis_do(runs_redis, "EVAL %s 0 %d %d",
             "for i = ARGV[1], ARGV[1] + ARGV[2] - 1 do "
             "redis.call('RPUSH', 'belt:{q}', '{\"id\":\"j' .. i .. "
             "'\",\"type\":\"x\",\"keep\":600000}') end return 1",
             (int)filled + 1, (int)n);
    filled += n;
}

/* When the job that was started last was. */
static long long last_start(void)
{
    return redis_int(runs_redis, "EVAL %s 0 %d",
                     "local last = 0 for i = 1, ARGV[1] do "
                     "local at = redis.call('HGET', 'belt:{q}:job:j' .. i, "
                     "'started_at') last = math.max(last, at or 0) end "
                     "return last",
                     (int)filled);
}

static int clear(void **state)
{
    filled = 0;
    return runs_clear(state);
}

static struct worker *start(const char *more)
{
    return runs_worker("--handler", "x=builtin:sleep 1ms", "--threads=4",
                       "--lease=3s", more, NULL);
}

#define PAUSED "QUEUE  STATE\nq      paused\n"

static void pause_q(void)
{
    EXPECT(runs_redis, NULL, 0, PAUSED, "", "pause", "q");
}

static void resume_q(void)
{
    EXPECT(runs_redis, NULL, 0, "QUEUE  STATE\nq      resumed\n", "", "resume",
           "q");
}

static bool is_past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

/* From now on nothing starts; that takes a moment to see. */
static void expect_nothing_starts(int64_t returned_ms)
{
    int64_t end_ms = clock_ms() + 60;
    long long left = redis_int(runs_redis, "LLEN belt:{q}");
    assert_true(wait_until(is_past, &end_ms, RUN_MS));
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), left);
    if (last_start() > returned_ms)
        fail_msg("a job started %lld ms after the pause",
                 last_start() - (long long)returned_ms);
}

static long long config(const char *field)
{
    char text[64];
    redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:config %s", field);
    return strtoll(text, NULL, 10);
}

static void no_job_starts_after_the_command_returned(void **state)
{
    enum { JOBS = 5000 };
    struct worker *w[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        w[i] = runs_worker("--handler", "x=builtin:sleep 3ms", "--threads=4",
                           NULL);
    runs_await_idle(3);
    fill(JOBS);
    for (int i = 1; i <= 3; i++) {
        runs_await_stat("done", i * 300);
        pause_q();
        int64_t returned_ms = clock_wall_ms();
        assert_true(redis_int(runs_redis, "LLEN belt:{q}") > 0);
        expect_nothing_starts(returned_ms);
        resume_q();
    }
    runs_await_stat("done", JOBS);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), JOBS);
    assert_int_equal(queue_stat(runs_redis, "q", "reaped"), 0);
    for (int i = 0; i < 3; i++)
        runs_end(w[i]);
}

static void idle_workers_wait_for_nothing(void **state)
{
    struct worker *a = start(NULL), *b = start(NULL);
    (void)state;
    runs_await_idle(2);
    int64_t began_ms = clock_ms();
    pause_q();
    assert_true(clock_ms() - began_ms < 1000); /* not by renewals */
    runs_await_idle(0);
    fill(10);
    expect_nothing_starts(clock_wall_ms());
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 10);
    resume_q();
    runs_await_stat("done", 10);
    runs_end(a);
    runs_end(b);
}

/* It has not heard, and holds a lease. */
static void a_worker_that_comes_later_complies(void **state)
{
    (void)state;
    fill(10);
    pause_q();
    int64_t returned_ms = clock_wall_ms();
    struct worker *w = start(NULL), *once = start("--delivery=at-most-once");
    runs_await("HLEN belt:{q}:lanes", 4); /* both with a version */
    expect_nothing_starts(returned_ms);
    pause_q();
    resume_q();
    runs_await_stat("done", 10);
    runs_end(w);
    runs_end(once);
}

/* Also where no push would find room. */
static void at_most_once_gives_back_too(void **state)
{
    enum { JOBS = 600 };
    struct worker *w = start("--delivery=at-most-once");
    (void)state;
    runs_await_idle(1);
    fill(JOBS);
    redis_do(runs_redis, "HSET belt:{q}:config max_length 1");
    runs_await_stat("done", 50);
    pause_q();
    expect_nothing_starts(clock_wall_ms());
    char next[64], after[64];
    redis_str(runs_redis, next, sizeof(next), "LINDEX belt:{q} 0");
    redis_str(runs_redis, after, sizeof(after), "LINDEX belt:{q} 1");
    int i = 0, j = 0;
    assert_int_equal(sscanf(next, "{\"id\":\"j%d", &i), 1);
    assert_int_equal(sscanf(after, "{\"id\":\"j%d", &j), 1);
    assert_int_equal(j, i + 1); /* in front, in the old order */
    resume_q();
    runs_await_stat("done", JOBS);
    runs_end(w);
}

/* By itself, when it is over. */
static void a_pause_may_have_an_end(void **state)
{
    struct worker *w = start(NULL);
    (void)state;
    runs_await_idle(1);
    EXPECT(runs_redis, NULL, 0, PAUSED, "", "pause", "q", "--for", "400ms",
           "--reason", "a try");
    fill(1);
    long long until_ms = config("paused");
    assert_in_range(until_ms, clock_wall_ms() - 300, clock_wall_ms() + 400);
    runs_await_stat("done", 1);
    assert_in_range(last_start(), until_ms, until_ms + 300);
    runs_end(w);
}

static bool lane_is_gone(void *arg)
{
    (void)arg;
    return redis_int(runs_redis, "ZCARD belt:{q}:leases") == 1;
}

/* Its lease ends. It wakes, and what it held does not start. */
static void
the_suspended_and_the_dead_are_waited_for_a_lease_at_most(void **state)
{
    enum { JOBS = 3000 };
    struct worker *stopped = start(NULL), *killed = start(NULL); /* runs_over */
    (void)state;
    runs_await_idle(2);
    fill(JOBS);
    runs_await_stat("done", 100);
    worker_signal(stopped, SIGSTOP);
    worker_signal(killed, SIGKILL);
    int64_t began_ms = clock_ms();
    EXPECT(runs_redis, NULL, 75, "q      pausing",
           "not yet heard by 2: ", "pause", "q", "--timeout", "100ms");
    pause_q();
    int64_t returned_ms = clock_wall_ms(), took_ms = clock_ms() - began_ms;
    assert_in_range(took_ms, 1000, 3500);
    worker_signal(stopped, SIGCONT);
    assert_true(wait_until(lane_is_gone, NULL, RUN_MS)); /* reaped by it */
    pause_q();
    expect_nothing_starts(returned_ms);
    resume_q();
    runs_await_stat("done", JOBS);
    runs_end(stopped);
}

/* Each of them dies at another moment of pausing. */
static void
whoever_dies_meanwhile_is_waited_for_until_it_is_reaped(void **state)
{
    enum { JOBS = 4000, VICTIMS = 30 };
    struct worker *victims[VICTIMS], *left = start(NULL);
    static const char *const flags[] = {
        "-q",         "q",           "--handler", "x=builtin:sleep 1ms",
        "--lease=3s", "--threads=1", NULL};
    struct cli c;
    struct cli_result res;
    (void)state;
    for (int i = 0; i < VICTIMS; i++)
        victims[i] = worker_start(runs_redis, NULL, flags);
    runs_await("ZCARD belt:{q}:leases", VICTIMS + 1);
    fill(JOBS);
    runs_await_stat("done", 200);
    int64_t began_ms = clock_ms();
    cli_start(&c, runs_redis, -1, (const char *[]){"pause", "q", NULL});
    runs_await("HLEN belt:{q}:config", 7); /* with the four of a pause */
    for (int i = 0; i < VICTIMS; i++) {
        worker_signal(victims[i], SIGKILL);
        redis_do(runs_redis, "PING"); /* as long as a step takes */
    }
    cli_finish(&c, &res);
    int64_t returned_ms = clock_wall_ms();
    if (res.status != 0)
        fail_msg("%d: %s", res.status, res.err);
    assert_in_range(clock_ms() - began_ms, 0, 3500);
    cli_result_done(&res);
    expect_nothing_starts(returned_ms);
    resume_q();
    /* What a dead one's BLMOVE took is found some renewals later. */
    runs_await_stat("done", JOBS);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), JOBS);
    for (int i = 0; i < VICTIMS; i++)
        worker_free(victims[i]);
    runs_end(left);
}

/* A lane that never complies: belt asks twenty times a second, no more. */
static void waiting_costs_little_however_long(void **state)
{
    (void)state;
    redis_do(runs_redis, "ZADD belt:{q}:leases 9007199254740991 L");
    redis_do(runs_redis, "HSET belt:{q}:lanes L {}");
    redis_do(runs_redis, "CONFIG RESETSTAT");
    EXPECT(runs_redis, NULL, 75, "q      pausing", NULL, "pause", "q",
           "--timeout", "4s");
    assert_in_range(runs_info("stats", "total_commands_processed:"), 1, 1000);
}

static void connections_may_be_lost_meanwhile(void **state)
{
    enum { JOBS = 2000 };
    struct worker *a = start(NULL), *b = start(NULL);
    static const char *const types[] = {"pubsub", "normal", "pubsub"};
    struct cli c;
    struct cli_result res;
    (void)state;
    runs_await_idle(2);
    fill(JOBS);
    for (int i = 0; i < 3; i++) {
        runs_await_stat("done", 100 * (i + 1));
        redis_do(runs_redis, "CLIENT KILL TYPE %s SKIPME yes", types[i]);
        cli_start(&c, runs_redis, -1, (const char *[]){"pause", "q", NULL});
        cli_finish(&c, &res);
        if (res.status != 0)
            fail_msg("%d: %s", res.status, res.err);
        cli_result_done(&res);
        expect_nothing_starts(clock_wall_ms());
        resume_q();
    }
    runs_await_stat("done", JOBS);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), JOBS);
    runs_end(a);
    runs_end(b);
}

/* One that renews at once tells the same as a thousand. */
static void a_flood_of_messages_costs_little(void **state)
{
    enum { MESSAGES = 20000 };
    struct worker *w = start(NULL);
    (void)state;
    runs_await_idle(1);
    redis_do(runs_redis, "CONFIG RESETSTAT");
    int64_t began_ms = clock_ms();
    redis_do(runs_redis, "EVAL %s 0 %d",
             "for i = 1, ARGV[1] do redis.call('PUBLISH', "
             "'belt:{q}:control', 'pause') redis.call('PUBLISH', "
             "'belt:{q}:control', 'due 1x') redis.call('PUBLISH', "
             "'belt:{q}:control', string.rep('x', 100)) end return 1",
             (int)MESSAGES);
    pause_q(); /* behind them all */
    int64_t most = (clock_ms() - began_ms) / 5 + 20;
    assert_in_range(runs_info("commandstats", "cmdstat_evalsha:calls="), 1,
                    most);
    runs_end(w);
}

static void without_a_right_to_listen_renewals_tell(void **state)
{
    char *url = mem_printf("unix://deaf:pw@%s",
                           redis_url(runs_redis) + strlen("unix://"));
    struct worker *w;
    (void)state;
    redis_do(runs_redis, "ACL SETUSER deaf on >pw ~* resetchannels +@all");
    w = worker_exec(runs_redis,
                    (const char *[]){BELT_WORKER_BIN, "-u", url, "-q", "q",
                                     "--handler", "x=builtin:noop", NULL},
                    NULL);
    runs_await_idle(1);
    fill(1);
    runs_await_stat("done", 1);
    pause_q();
    runs_await_idle(0);
    assert_int_equal(worker_count(w, "ev=control "), 1);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    worker_free(w);
    redis_do(runs_redis, "ACL DELUSER deaf");
    free(url);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_job_starts_after_the_command_returned),
        TEST(idle_workers_wait_for_nothing),
        TEST(a_worker_that_comes_later_complies),
        TEST(at_most_once_gives_back_too),
        TEST(a_pause_may_have_an_end),
        TEST(the_suspended_and_the_dead_are_waited_for_a_lease_at_most),
        TEST(whoever_dies_meanwhile_is_waited_for_until_it_is_reaped),
        TEST(waiting_costs_little_however_long),
        TEST(connections_may_be_lost_meanwhile),
        TEST(a_flood_of_messages_costs_little),
        TEST(without_a_right_to_listen_renewals_tell),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
