/*
 * Claims about jobs that fail: they are tried again, put off or dead, and
 * never in the way of others.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/job.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define RAN "echo \"$BELT_JOB_ID $BELT_ATTEMPT\" >> \"$out\"\n"
static const int64_t day_ms = 24LL * 3600 * 1000;

/* The members of a zset of q, as one text; owned. */
static char *members(const char *set)
{
    redisReply *r = redis_cmd(runs_redis, "ZRANGE belt:{q}:%s 0 -1", set);
    char *text = mem_strdup("");
    for (size_t i = 0; i < r->elements; i++) {
        char *more = mem_printf("%s%s\n", text, r->element[i]->str);
        free(text);
        text = more;
    }
    freeReplyObject(r);
    return text;
}

static void expect_in(const char *set, const char *part)
{
    char *text = members(set);
    if (strstr(text, part) == NULL)
        fail_msg("%s holds\n%snot %s", set, text, part);
    free(text);
}

static void five_equal_failures_wait_as_five(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        runs_push("{\"type\":\"x\",\"backoff\":[600000]}");
    struct worker *w = runs_worker("--handler", "x=builtin:fail", NULL);
    runs_await("ZCARD belt:{q}:retry", 5);
    runs_await_stat("retried", 5);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 0);
    assert_int_equal(queue_active(runs_redis, "q"), 0);
    char seen[5][ID_MAX_LEN + 1];
    for (int i = 0; i < 5; i++) {
        struct job *job = runs_first("retry");
        assert_int_equal(strlen(job->id), 26);
        assert_int_equal(job->attempt, 1);
        (void)snprintf(seen[i], sizeof(seen[i]), "%s", job->id);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(seen[j], job->id);
        job_free(job);
        redis_do(runs_redis, "ZPOPMIN belt:{q}:retry");
    }
    runs_end(w);
}

/* A stranger may give the same id to all; they are still five jobs. */
static void five_failures_with_the_same_id_wait_as_five(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        runs_push("{\"id\":\"a\",\"type\":\"x\",\"backoff\":[600000]}");
    struct worker *w = runs_worker("--handler", "x=builtin:fail", NULL);
    runs_await_stat("retried", 5);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:retry"), 5);
    runs_end(w);
}

static void promote_brings_a_failed_job_back(void **state)
{
    const char *second = runs_handler("x", RAN "test \"$BELT_ATTEMPT\" = 2");
    (void)state;
    struct worker *w = runs_worker("--handler", second, NULL);
    runs_push("{\"type\":\"x\",\"backoff\":[100],\"payload\":1.0}");
    runs_await_stat("done", 1);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 2);
    assert_int_equal(queue_stat(runs_redis, "q", "retried"), 1);
    assert_int_equal(queue_stat(runs_redis, "q", "promoted"), 1);
    assert_int_equal(queue_stat(runs_redis, "q", "dead"), 0);
    runs_end(w);
}

static void what_fails_too_often_is_dead(void **state)
{
    const char *fails = runs_handler("x", RAN "echo why >&2\nexit 3");
    (void)state;
    struct worker *w = runs_worker("--handler", fails, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"backoff\":[50],"
              "\"max_attempts\":3,\"payload\":12345678901234567890,"
              "\"keep\":600000}");
    runs_await_stat("dead", 1);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 3);
    assert_int_equal(file_distinct_lines(runs_out()), 3); /* attempts 1 to 3 */
    assert_int_equal(queue_stat(runs_redis, "q", "retried"), 2);
    struct job *job = runs_first("dead");
    assert_string_equal(job->id, "a");
    assert_int_equal(job->attempt, 3);
    job_free(job);
    expect_in("dead", "\"payload\":12345678901234567890");
    expect_in("dead", "\"class\":\"exit\"");
    expect_in("dead", "why");
    char kept[64];
    (void)redis_str(runs_redis, kept, sizeof(kept),
                    "HGET belt:{q}:job:a state");
    assert_string_equal(kept, "dead");
    runs_end(w);
}

static void three_crashes_make_a_poison_pill(void **state)
{
    const char *crash = runs_handler("x", RAN "kill -9 $$");
    (void)state;
    struct worker *w = runs_worker("--handler", crash, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"backoff\":[50]}");
    runs_await_stat("dead", 1);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 3);
    struct job *job = runs_first("dead");
    assert_int_equal(job->crashes, 3);
    assert_int_equal(job->attempt, 3);
    job_free(job);
    expect_in("dead", "\"class\":\"signal\"");
    runs_end(w);
}

static void a_broken_element_is_dead_with_the_reason(void **state)
{
    static const char *const broken[] = {
        "no json at all",
        "{\"type\":\"x\"",
        "[1,2]",
        "{\"payload\":1}",
        "{\"type\":7}",
        "{}",
        "",
        "{\"type\":\"x\",\"max_attempts\":\"many\"}"};
    enum { BROKEN = sizeof(broken) / sizeof(broken[0]) };
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    for (size_t i = 0; i < BROKEN; i++) {
        redis_do(runs_redis, "RPUSH belt:{q} %s", broken[i]);
        runs_push("{\"type\":\"x\"}");
    }
    runs_await_stat("done", BROKEN);
    runs_await_stat("invalid", BROKEN);
    runs_await_rest();
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), BROKEN);
    struct job *job = runs_first("dead");
    assert_string_equal(job->type, "belt.invalid");
    job_free(job);
    expect_in("dead", "\"raw\":\"bm8ganNvbiBhdCBhbGw=\""); /* the first */
    expect_in("dead", "\"error\":{");
    assert_int_equal(worker_count(w, "ev=invalid"), BROKEN);
    runs_end(w);
}

static void a_broken_element_that_meets_an_idle_worker_is_dead_too(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    runs_await_idle(1);
    redis_do(runs_redis, "RPUSH belt:{q} %s", "garbage");
    runs_await("ZCARD belt:{q}:dead", 1);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    runs_end(w);
}

/* Neither too often nor for nothing, and said once. */
static void a_type_without_handler_is_put_off(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "other=builtin:noop", NULL);
    runs_await_idle(1);
    redis_do(runs_redis, "CONFIG RESETSTAT");
    runs_push("{\"id\":\"a\",\"type\":\"x\"}");
    runs_push("{\"id\":\"b\",\"type\":\"x\"}");
    runs_await_stat("put_off", 4); /* each again after a second or more */
    assert_in_range(runs_info("commandstats", "cmdstat_evalsha:calls="), 1, 60);
    assert_int_equal(worker_count(w, "ev=put_off"), 1);
    struct job *job = runs_first("retry");
    assert_int_equal(job->attempt, 0);
    assert_in_range(job->put_offs, 1, 3);
    job_free(job);
    expect_in("retry", "\"class\":\"no_handler\"");
    runs_end(w);
}

static void a_worker_that_has_the_handler_runs_what_was_put_off(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "other=builtin:noop", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\"}");
    runs_await_stat("put_off", 1);
    runs_end(w);
    w = runs_worker("--handler", runs_handler("x", RAN), NULL);
    runs_await_stat("done", 1);
    runs_await_rest();
    runs_expect_line("a 1");
    runs_end(w);
}

/* What a day of putting off did not help. */
static void what_is_put_off_for_a_day_fails(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "other=builtin:noop", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"put_offs\":9,"
              "\"put_off_since\":%" PRId64 "}",
              clock_wall_ms() - day_ms - 60000);
    runs_push("{\"id\":\"b\",\"type\":\"x\",\"max_attempts\":1,\"put_offs\":9,"
              "\"put_off_since\":%" PRId64 "}",
              clock_wall_ms() - day_ms + 600000);
    runs_await_stat("dead", 1);
    runs_await_stat("put_off", 1);
    expect_in("dead", "\"id\":\"a\"");
    expect_in("dead", "no handler");
    expect_in("dead", "\"attempt\":0"); /* it never ran */
    expect_in("retry", "\"id\":\"b\"");
    runs_end(w);
}

/* Pushes a job that was recovered n times, the newest age_ms ago. */
static void push_recovered(const char *id, unsigned n, int64_t age_ms)
{
    char times[256] = "";
    int64_t t = clock_wall_ms() - age_ms;
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(times + strlen(times), 32, "%s%" PRId64,
                       i > 0 ? "," : "", t - i);
    runs_push("{\"recovered\":[%s],\"id\":\"%s\",\"type\":\"x\"}", times, id);
}

static void three_recoveries_make_a_job_dead_unrun(void **state)
{
    const char *handler = runs_handler("x", RAN);
    (void)state;
    push_recovered("thrice", 3, 1000);
    push_recovered("twice", 2, 1000);
    push_recovered("long-ago", 9, 3 * day_ms + 60000);
    struct worker *w = runs_worker("--handler", handler, NULL);
    runs_await_stat("done", 2);
    runs_await_stat("dead", 1);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 2);
    runs_expect_line("long-ago 1");
    runs_expect_line("twice 1");
    struct job *job = runs_first("dead");
    assert_string_equal(job->id, "thrice");
    assert_int_equal(job->attempt, 0);
    job_free(job);
    expect_in("dead", "\"class\":\"poison\"");
    expect_in("dead", "recovered 3 times");
    runs_end(w);
}

static void the_number_of_recoveries_can_be_chosen(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:noop",
                                   "--max-recoveries", "0", NULL);
    push_recovered("a", 12, 1000);
    runs_await_stat("done", 1);
    runs_end(w);
    w = runs_worker("--handler", "x=builtin:noop", "--max-recoveries", "1",
                    NULL);
    push_recovered("b", 1, 1000);
    runs_await_stat("dead", 1);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), 1);
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(five_equal_failures_wait_as_five),
        TEST(five_failures_with_the_same_id_wait_as_five),
        TEST(promote_brings_a_failed_job_back),
        TEST(what_fails_too_often_is_dead),
        TEST(three_crashes_make_a_poison_pill),
        TEST(a_broken_element_is_dead_with_the_reason),
        TEST(a_broken_element_that_meets_an_idle_worker_is_dead_too),
        TEST(a_type_without_handler_is_put_off),
        TEST(a_worker_that_has_the_handler_runs_what_was_put_off),
        TEST(what_is_put_off_for_a_day_fails),
        TEST(three_recoveries_make_a_job_dead_unrun),
        TEST(the_number_of_recoveries_can_be_chosen),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
