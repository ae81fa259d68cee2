/*
 * Claims about what follows a job that is done, and only then: the jobs that
 * its "then" names.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/job/job.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define OK "--handler", "ok=builtin:noop"
#define BAD "--handler", "bad=builtin:fail"

static void expect_stat(const char *name, long long n)
{
    assert_int_equal(queue_stat(runs_redis, "q", name), n);
}

static void a_chain_runs_in_its_order(void **state)
{
    (void)state;
    const char *says = runs_handler("x", "echo $BELT_JOB_ID >> \"$out\"");
    struct worker *w = runs_worker("--handler", says, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"then\":[{\"type\":\"x\","
              "\"id\":\"b\",\"then\":{\"type\":\"x\",\"id\":\"c\","
              "\"queue\":\"q\",\"then\":{\"type\":\"x\",\"id\":\"d\"}}}]}");
    runs_await_stat("done", 4);
    runs_await_rest();
    char text[16] = {0};
    FILE *f = fopen(runs_out(), "r");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof(text), f), 8);
    fclose(f);
    assert_string_equal(text, "a\nb\nc\nd\n");
    expect_stat("pushed", 3);
    expect_stat("sent", 0);
    runs_end(w);
}

static void what_needs_more_than_an_append_goes_through_outbox(void **state)
{
    (void)state;
    struct worker *w = runs_worker(OK, BAD, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"bad\",\"max_attempts\":1,"
              "\"then\":{\"type\":\"ok\"}}");
    runs_await_stat("dead", 1);
    expect_stat("pushed", 0);
    runs_push("{\"id\":\"b\",\"type\":\"ok\",\"then\":[{\"type\":\"ok\","
              "\"queue\":\"other\"},{\"type\":\"ok\",\"in\":3600000},"
              "{\"type\":\"ok\",\"unique\":\"k\"},{\"type\":\"ok\","
              "\"keep\":5},{\"type\":\"ok\"}]}");
    runs_await_stat("done", 4);
    expect_stat("pushed", 4);
    expect_stat("sent", 4);
    runs_end(w); /* after the last of them has arrived */
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{other}"), 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:scheduled"), 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:outbox"), 0);
}

static void a_follower_that_is_none_is_buried(void **state)
{
    (void)state;
    struct worker *w = runs_worker(OK, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"ok\",\"then\":[{\"id\":\"x\"},"
              "{\"type\":\"ok\"},7]}");
    runs_push("{\"id\":\"b\",\"type\":\"ok\",\"then\":\"c\"}");
    runs_await_stat("done", 3);
    runs_await_rest();
    expect_stat("invalid", 3);
    expect_stat("pushed", 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 3);
    struct job *job = runs_first("dead");
    assert_string_equal(job->type, "belt.invalid");
    assert_non_null(
        strstr(job->raw, "\"message\":\"then 1 of job a: type: missing\""));
    job_free(job);
    runs_end(w);
}

/* More than one call may add. */
static void thousands_of_followers_come_in_several_calls(void **state)
{
    enum { PARENTS = 30, EACH = 100 };
    struct buf b = {0};
    (void)state;
    buf_str(&b, "{\"type\":\"ok\",\"then\":[");
    for (int i = 0; i < EACH; i++)
        buf_str(&b, i == 0 ? "{\"type\":\"ok\"}" : ",{\"type\":\"ok\"}");
    buf_str(&b, "]}");
    for (int i = 0; i < PARENTS; i++)
        redis_do(runs_redis, "RPUSH belt:{q} %s", b.data);
    buf_done(&b);
    struct worker *w = runs_worker(OK, NULL);
    runs_await_stat("done", PARENTS * (EACH + 1));
    runs_await_rest();
    expect_stat("pushed", PARENTS * EACH);
    expect_stat("invalid", 0);
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_chain_runs_in_its_order),
        TEST(what_needs_more_than_an_append_goes_through_outbox),
        TEST(a_follower_that_is_none_is_buried),
        TEST(thousands_of_followers_come_in_several_calls),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
