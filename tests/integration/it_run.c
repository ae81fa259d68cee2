/*
 * Claims about jobs that run well: pushed by anybody, fetched or waited for,
 * done once, with results that are kept as long as asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

enum { JOBS = 10000, EXEC_EVERY = 25 }; /* as exec: a process each */

#define WRITE_ID "printf '%s\\n' \"$BELT_JOB_ID\" >> \"$out\""
#define WRITE_PAYLOAD "printf '%s\\n' \"$(cat)\" >> \"$out\""

/* Pushes {"id":"e1",…,"payload":{"n":1}} and so on, all of them kept. */
static void push_many(void)
{
    static const char script[] =
        "for i = ARGV[1], ARGV[1] + 999 do redis.call('RPUSH', KEYS[1], "
        "string.format('{\"id\":\"e%d\",\"type\":\"%s\",\"keep\":600000,"
        "\"payload\":{\"n\": %d.0}}', i, i % ARGV[2] == 0 and 'line' or 'echo',"
        " i)) end return 1";
    for (int i = 0; i < JOBS; i += 1000)
        (void)redis_int(runs_redis, "EVAL %s 1 belt:{q} %d %d", script, i,
                        EXEC_EVERY);
}

/* How many kept jobs are done with their own payload as result. */
static long long right_results(void)
{
    static const char script[] =
        "local n = 0 for i = 0, ARGV[1] - 1 do local h = redis.call('HMGET', "
        "KEYS[1] .. i, 'state', 'result', 'attempt') if h[1] == 'done' and "
        "h[2] == string.format('{\"n\": %d.0}', i) and h[3] == '1' then "
        "n = n + 1 end end return n";
    return redis_int(runs_redis, "EVAL %s 1 belt:{q}:job:e %d", script, JOBS);
}

static long long workers_that_ran(void)
{
    static const char script[] =
        "local seen, n = {}, 0 for i = 0, ARGV[1] - 1 do local w = "
        "redis.call('HGET', KEYS[1] .. i, 'worker') if w and not seen[w] then "
        "seen[w] = true n = n + 1 end end return n";
    return redis_int(runs_redis, "EVAL %s 1 belt:{q}:job:e %d", script, JOBS);
}

static long long keys_like(const char *pattern)
{
    redisReply *r = redis_cmd(runs_redis, "KEYS %s", pattern);
    long long n = (long long)r->elements;
    freeReplyObject(r);
    return n;
}

static void ten_thousand_jobs_are_done_by_two_workers(void **state)
{
    const char *line =
        runs_handler("line", "x=$(cat)\nprintf '%s' \"$x\"\n"
                             "printf '%s\\n' \"$x\" >> \"$out\"");
    (void)state;
    struct worker *a =
        runs_worker("--handler", "echo=builtin:echo", "--handler", line, NULL);
    struct worker *b =
        runs_worker("--handler", "echo=builtin:echo", "--handler", line, NULL);
    push_many();
    runs_await_rest();
    assert_int_equal(queue_stat(runs_redis, "q", "done"), JOBS);
    assert_int_equal(right_results(), JOBS);
    assert_int_equal(workers_that_ran(), 2);
    assert_int_equal(file_lines(runs_out()), JOBS / EXEC_EVERY);
    assert_int_equal(file_distinct_lines(runs_out()), JOBS / EXEC_EVERY);
    assert_int_equal(worker_count(a, "ev=resync"), 0);
    assert_int_equal(worker_count(b, "ev=resync"), 0);
    runs_end(a);
    runs_end(b);
    assert_int_equal(keys_like("belt:{q}"), 0);
    assert_int_equal(keys_like("belt:{q}:active:*"), 0);
    assert_int_equal(keys_like("belt:{q}:leases"), 0);
    assert_int_equal(keys_like("belt:{q}:lanes"), 0);
    assert_int_equal(keys_like("belt:{q}:retry"), 0);
    assert_int_equal(keys_like("belt:{q}:dead"), 0);
    assert_int_equal(keys_like("belt:worker*"), 0);
}

/* A call that comes back for its script would be overtaken by the next. */
static void scripts_are_there_before_they_are_called(void **state)
{
    (void)state;
    redis_do(runs_redis, "SCRIPT FLUSH");
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    queue_fill(runs_redis, "q", "x", 0, 100);
    runs_await_rest();
    assert_int_equal(runs_info("errorstats", "errorstat_NOSCRIPT:count="), 0);
    runs_end(w);
}

static void one_rpush_of_one_line_is_a_job(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler", runs_handler("email.welcome", WRITE_PAYLOAD), NULL);
    runs_push("{\"type\":\"email.welcome\",\"payload\":{\"user\":42}}");
    runs_await_stat("done", 1);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 1);
    runs_expect_line("{\"user\":42}");
    runs_end(w);
}

static void five_equal_ones_waiting_are_five_jobs(void **state)
{
    const char *handler = runs_handler("x", WRITE_ID);
    (void)state;
    for (int i = 0; i < 5; i++)
        runs_push("{\"type\":\"x\"}");
    struct worker *w = runs_worker("--handler", handler, NULL);
    runs_await_stat("done", 5);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 5);
    assert_int_equal(file_distinct_lines(runs_out()), 5);
    runs_end(w);
}

/* The way of BLMOVE, which cannot stamp. */
static void jobs_that_meet_an_idle_worker_get_ids_too(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("x", WRITE_ID), NULL);
    for (int i = 1; i <= 20; i++) {
        runs_await_idle(1);
        runs_push("{\"type\":\"x\"}");
        runs_await_stat("done", i);
    }
    runs_await_rest();
    assert_true(runs_info("commandstats", "cmdstat_blmove:calls=") >= 20);
    assert_int_equal(file_lines(runs_out()), 20);
    assert_int_equal(file_distinct_lines(runs_out()), 20);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    runs_end(w);
}

/* The first comes by BLMOVE, the others behind it by fetch. */
static void five_equal_ones_at_once_meet_an_idle_worker(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("x", WRITE_ID), NULL);
    for (int i = 1; i <= 10; i++) {
        runs_await_idle(1);
        redis_do(runs_redis, "RPUSH belt:{q} %s %s %s %s %s",
                 "{\"type\":\"x\"}", "{\"type\":\"x\"}", "{\"type\":\"x\"}",
                 "{\"type\":\"x\"}", "{\"type\":\"x\"}");
        runs_await_stat("done", 5LL * i);
    }
    runs_await_rest();
    assert_int_equal(file_distinct_lines(runs_out()), 50);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    runs_end(w);
}

static bool eight_are_active(void *arg)
{
    (void)arg;
    return queue_active(runs_redis, "q") == 8;
}

static bool one_is_done(void *arg)
{
    (void)arg;
    return queue_stat(runs_redis, "q", "done") == 1;
}

static bool eight_ended(void *arg)
{
    (void)arg;
    return file_lines(runs_out()) == 8;
}

/* They begin when Redis has stopped to listen, and end one by one. */
static void what_ends_while_redis_is_busy_is_told_together(void **state)
{
    static const char settles[] =
        "local n, h = 0, redis.call('HGETALL', KEYS[1]) for i = 1, #h, 2 do "
        "if h[i]:find(':settles', 1, true) then n = n + h[i + 1] end end "
        "return n";
    static const char handler[] =
        "while [ ! -e $out.go ]; do sleep 0.01; done\n"
        "sleep 0.$(cat)\n" WRITE_ID;
    (void)state;
    struct worker *w = runs_worker("--threads", "8", "--handler",
                                   runs_handler("x", handler), NULL);
    runs_await_idle(1);
    for (int i = 1; i <= 8; i++)
        runs_push("{\"id\":\"j%d\",\"type\":\"x\",\"payload\":%d}", i, i);
    assert_true(wait_until(eight_are_active, NULL, RUN_MS));
    char *go = mem_printf("%s.go", runs_out());
    redis_do(runs_redis, "CLIENT PAUSE 60000 WRITE");
    FILE *f = fopen(go, "we");
    assert_non_null(f);
    (void)fclose(f);
    assert_true(wait_until(eight_ended, NULL, RUN_MS));
    redis_do(runs_redis, "CLIENT UNPAUSE");
    runs_await_stat("done", 8);
    /* The first, the others, and one that may have been late. */
    assert_in_range(redis_int(runs_redis, "EVAL %s 1 belt:{q}:lanes", settles),
                    2, 3);
    (void)remove(go);
    free(go);
    runs_end(w);
}

/*
 * A job ends a moment after the one behind it: then both go by count, and none
 * has to be searched for. On a busy machine it may take longer now and then.
 */
static void a_short_job_in_front_is_waited_for(void **state)
{
    enum { PAIRS = 20 };
    const char *front = runs_handler(
        "front", "n=$(cat)\nwhile [ ! -e $out.$n ]; do :; done\nsleep 0.002");
    const char *behind = runs_handler("behind", ": > $out.$(cat)");
    (void)state;
    struct worker *w = runs_worker("--threads", "2", "--handler", front,
                                   "--handler", behind, NULL);
    for (int i = 0; i < PAIRS; i++) {
        runs_push("{\"type\":\"front\",\"payload\":%d}", i);
        runs_push("{\"type\":\"behind\",\"payload\":%d}", i);
        runs_await_stat("done", 2LL * (i + 1));
    }
    runs_await_rest();
    assert_true(runs_info("commandstats", "cmdstat_lrem:calls=") < PAIRS);
    runs_end(w);
}

/*
 * Jobs of a millisecond end in sixteen threads: no more than one call of Redis
 * for each millisecond tells that, apart from the beginning and the end.
 */
static void ends_of_a_busy_pool_are_told_together(void **state)
{
    enum { NAPS = 4000, APART = 150 };
    static const char pushes[] =
        "for i=1,4000 do redis.call('RPUSH','belt:{q}',"
        "'{\"id\":\"j'..i..'\",\"type\":\"nap\"}') end";
    (void)state;
    redis_do(runs_redis, "EVAL %s 0", pushes);
    long long before = runs_info("commandstats", "cmdstat_ltrim:calls=");
    int64_t began_ms = clock_ms();
    struct worker *w = runs_worker("--threads", "16", "--handler",
                                   "nap=builtin:sleep 1ms", NULL);
    runs_await_stat("done", NAPS);
    int64_t took_ms = clock_ms() - began_ms;
    assert_true(runs_info("commandstats", "cmdstat_ltrim:calls=") - before <
                took_ms + APART);
    runs_end(w);
}

/* A long one is not: the others are told before it has ended. */
static void a_long_job_in_front_holds_up_nothing(void **state)
{
    const char *front =
        runs_handler("front", "while [ ! -e $out.go ]; do sleep 0.02; done");
    (void)state;
    struct worker *w = runs_worker("--threads", "2", "--handler", front,
                                   "--handler", "behind=builtin:noop", NULL);
    runs_push("{\"type\":\"front\"}");
    queue_fill(runs_redis, "q", "behind", 0, 1000);
    runs_await_stat("done", 1000);
    char *go = mem_printf("%s.go", runs_out());
    FILE *f = fopen(go, "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_stat("done", 1001);
    (void)remove(go);
    free(go);
    runs_end(w);
}

/* Nothing else happens that would remind the worker of it. */
static void who_waits_behind_a_long_job_waits_a_moment(void **state)
{
    enum { MOMENT_MS = 8000 }; /* the next BLMOVE ends after 10 s */
    const char *front =
        runs_handler("front", "while [ ! -e $out.go ]; do sleep 0.02; done");
    (void)state;
    struct worker *w =
        runs_worker("--threads", "2", "--lease", "60s", "--handler", front,
                    "--handler", "behind=builtin:noop", NULL);
    runs_await_idle(1);
    runs_push("{\"id\":\"a\",\"type\":\"front\"}");
    runs_await_idle(1);
    runs_push("{\"id\":\"b\",\"type\":\"behind\"}");
    assert_true(wait_until(one_is_done, NULL, MOMENT_MS));
    char *go = mem_printf("%s.go", runs_out());
    FILE *f = fopen(go, "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_stat("done", 2);
    (void)remove(go);
    free(go);
    runs_end(w);
}

static void an_id_that_was_given_is_kept(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("x", WRITE_ID), NULL);
    runs_await_idle(1);
    runs_push("{\"type\":\"x\",\"id\":\"mine\"}");
    runs_await_stat("done", 1);
    runs_expect_line("mine");
    runs_end(w);
}

static void expect_field(const char *id, const char *field, const char *value)
{
    char text[1024];
    (void)redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:job:%s %s",
                    id, field);
    assert_string_equal(text, value);
}

static int64_t field_number(const char *id, const char *field)
{
    char text[64];
    (void)redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:job:%s %s",
                    id, field);
    return strtoll(text, NULL, 10);
}

static void results_are_kept_as_long_as_asked_for(void **state)
{
    int64_t before = clock_wall_ms();
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("out", "printf '{\"sum\": 12}'"),
                    "--handler", "quiet=builtin:noop", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"out\",\"keep\":600000}");
    runs_push(
        "{\"id\":\"b\",\"type\":\"quiet\",\"keep\":600000,\"attempt\":4}");
    runs_push("{\"id\":\"c\",\"type\":\"out\"}");
    runs_await_stat("done", 3);
    expect_field("a", "state", "done");
    expect_field("a", "type", "out");
    expect_field("a", "result", "{\"sum\": 12}");
    expect_field("a", "attempt", "1");
    expect_field("a", "error", "(nil)");
    expect_field("b", "result", "");
    expect_field("b", "attempt", "5");
    assert_true(field_number("a", "started_at") >= before);
    assert_true(field_number("a", "ended_at") >=
                field_number("a", "started_at"));
    assert_in_range(redis_int(runs_redis, "PTTL belt:{q}:job:a"), 300000,
                    600000);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:job:c"), 0);
    runs_end(w);
}

static void a_long_result_is_cut(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", "x=builtin:echo", "--max-result", "100", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"keep\":600000,\"payload\":"
              "\"%0200d\"}",
              7);
    runs_await_stat("done", 1);
    assert_int_equal(redis_int(runs_redis, "HSTRLEN belt:{q}:job:a result"),
                     100);
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ten_thousand_jobs_are_done_by_two_workers),
        TEST(scripts_are_there_before_they_are_called),
        TEST(one_rpush_of_one_line_is_a_job),
        TEST(five_equal_ones_waiting_are_five_jobs),
        TEST(jobs_that_meet_an_idle_worker_get_ids_too),
        TEST(five_equal_ones_at_once_meet_an_idle_worker),
        TEST(what_ends_while_redis_is_busy_is_told_together),
        TEST(a_short_job_in_front_is_waited_for),
        TEST(ends_of_a_busy_pool_are_told_together),
        TEST(a_long_job_in_front_holds_up_nothing),
        TEST(who_waits_behind_a_long_job_waits_a_moment),
        TEST(an_id_that_was_given_is_kept),
        TEST(results_are_kept_as_long_as_asked_for),
        TEST(a_long_result_is_cut),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
