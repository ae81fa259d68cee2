/*
 * Claims about jobs that are to run after another one: when they run, and what
 * becomes of them if that one is not done.
 */
#include <stdio.h>
#include <string.h>

#include "common/job/job.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define KEPT(id, more)                                                         \
    "{\"id\":\"" id "\",\"type\":\"t\",\"keep\":600000" more "}"
#define FIRST "\"other/first\""

/* Writes its id; the first one waits until it is let go. */
static struct worker *worker(void)
{
    return runs_worker(
        "-q", "other", "--handler",
        runs_handler("t", "case $BELT_JOB_ID in\n"
                          "first) until [ -e $out.go ]; do sleep 0.01; done;;\n"
                          "bad) exit 65;;\n"
                          "esac\n"
                          "echo $BELT_JOB_ID >> $out"),
        NULL);
}

static void let_go(void)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s.go", runs_out());
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fclose(f);
}

static void expect_dead(const char *message)
{
    struct job *job = runs_first("dead");
    assert_non_null(strstr(job->raw, "\"class\":\"after\""));
    if (strstr(job->raw, message) == NULL)
        fail_msg("no %s in %s", message, job->raw);
    assert_int_equal(job->attempt, 0);
    job_free(job);
    redis_do(runs_redis, "DEL belt:{q}:dead");
}

static void it_runs_when_the_other_is_done(void **state)
{
    char text[64] = {0};
    (void)state;
    struct worker *w = worker();
    redis_do(runs_redis, "HSET belt:{other}:job:first state ready");
    runs_push(KEPT("second", ",\"after\":" FIRST));
    runs_await_stat("snoozed", 2); /* it has come, and has come again */
    assert_int_equal(file_lines(runs_out()), 0);
    redis_do(runs_redis, "RPUSH belt:{other} %s", KEPT("first", ""));
    runs_await("EXISTS belt:{other}:job:first", 1);
    let_go();
    runs_await_stat("done", 1);
    runs_await_rest();
    FILE *f = fopen(runs_out(), "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    (void)fclose(f);
    assert_string_equal(text, "first\nsecond\n");
    assert_int_equal(worker_count(w, "ev=snooze"),
                     0); /* of nobody's interest */
    runs_end(w);
}

static void it_is_dead_if_the_other_is_not_done(void **state)
{
    static const struct {
        const char *state, *message;
    } rows[] = {
        {"dead", "after q/gone, which is dead"},
        {"cancelled", "after q/gone, which is cancelled"},
        {"expired", "after q/gone, which is expired"},
    };
    (void)state;
    struct worker *w = worker();
    for (int i = 0; i < 3; i++) {
        redis_do(runs_redis, "HSET belt:{q}:job:gone state %s", rows[i].state);
        runs_push(KEPT("x", ",\"after\":\"gone\""));
        runs_await_stat("dead", i + 1);
        expect_dead(rows[i].message);
    }
    redis_do(runs_redis, "DEL belt:{q}:job:gone");
    runs_push(KEPT("x", ",\"after\":\"gone\""));
    runs_await_stat("dead", 4);
    expect_dead("after q/gone, which is not kept, or not any longer");
    runs_push(KEPT("x", ",\"after\":7"));
    runs_await_stat("dead", 5);
    expect_dead("not kept");
    assert_int_equal(file_lines(runs_out()), 0);
    runs_end(w);
}

/* An error of Redis says nothing of the other one. */
static void it_waits_while_redis_does_not_tell(void **state)
{
    (void)state;
    struct worker *w = worker();
    redis_do(runs_redis, "SET belt:{q}:job:first planted");
    runs_push(KEPT("x", ",\"after\":\"first\""));
    runs_await_stat("snoozed", 1);
    assert_true(worker_said(w, "ev=after"));
    redis_do(runs_redis, "DEL belt:{q}:job:first");
    redis_do(runs_redis, "HSET belt:{q}:job:first state done");
    runs_await_stat("done", 1);
    runs_expect_line("x");
    runs_end(w);
}

/* Dead, then requeued once the other one has been done after all. */
static void it_runs_when_it_is_requeued_and_the_other_is_done(void **state)
{
    (void)state;
    struct worker *w = worker();
    runs_push(KEPT("bad", ""));
    runs_push(KEPT("x", ",\"after\":\"q/bad\""));
    runs_await_stat("dead", 2);
    redis_do(runs_redis, "HSET belt:{q}:job:bad state done");
    runs_push(KEPT("x", ",\"after\":\"q/bad\""));
    runs_await_stat("done", 1);
    runs_expect_line("x");
    runs_end(w);
}

/* Without an id, and with a fence: it is stamped and asks as well. */
static void what_has_to_be_stamped_waits_too(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--fence", "--handler",
                    runs_handler("t", "echo $BELT_FENCE >> $out"), NULL);
    redis_do(runs_redis, "HSET belt:{q}:job:first state active");
    for (int i = 0; i < 5; i++)
        runs_push("{\"type\":\"t\",\"after\":\"first\"}");
    runs_await_stat("snoozed", 5);
    redis_do(runs_redis, "HSET belt:{q}:job:first state done");
    runs_await_stat("done", 5);
    assert_int_equal(file_distinct_lines(runs_out()), 5);
    runs_end(w);
}

static void at_most_once_cannot_wait(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--delivery=at-most-once", "--handler",
                                   "t=builtin:noop", NULL);
    redis_do(runs_redis, "HSET belt:{q}:job:first state done");
    runs_push(KEPT("x", ",\"after\":\"first\""));
    runs_await_stat("dead", 1);
    expect_dead("delivers at most once");
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_runs_when_the_other_is_done),
        TEST(it_is_dead_if_the_other_is_not_done),
        TEST(it_waits_while_redis_does_not_tell),
        TEST(it_runs_when_it_is_requeued_and_the_other_is_done),
        TEST(what_has_to_be_stamped_waits_too),
        TEST(at_most_once_cannot_wait),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
