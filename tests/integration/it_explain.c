/*
 * Claims about belt explain: for each cause that keeps a job from running, a
 * sentence that says so.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define FAR_FUTURE "9999999999999"
#define JOB(id) "{\"id\":\"" id "\",\"type\":\"mail\"}"

/* The word and the sentence about q/a, or about another job. */
static void expect_of(const char *name, int status, const char *reason,
                      const char *sentence)
{
    struct cli_result people = CLI(runs_redis, NULL, "explain", name);
    struct cli_result r = CLI(runs_redis, NULL, "explain", name, "--json");
    json_error_t e;
    json_t *j = json_loads(r.out, 0, &e);

    if (r.status != status || !j)
        fail_msg("status %d: %s%s", r.status, r.out, r.err);
    const char *said = json_string_value(json_object_get(j, "reason"));
    if (!strstr(people.out, sentence) || !said || strcmp(said, reason) != 0)
        fail_msg("not %s, %s, but: %s\n%s", reason, sentence, r.out,
                 people.out);
    json_decref(j);
    cli_result_done(&r);
    cli_result_done(&people);
}

static void expect(const char *reason, const char *sentence)
{
    expect_of("q/a", 0, reason, sentence);
}

/* Runs these commands, the last is NULL; %s in them is the job a. */
static void given(const char *first, ...)
{
    va_list ap;

    redis_do(runs_redis, "FLUSHALL");
    va_start(ap, first);
    for (const char *p = first; p; p = va_arg(ap, const char *))
        redis_do(runs_redis, p, JOB("a"));
    va_end(ap);
}

#define READY "RPUSH belt:{q} b c %s d"
#define LANE "ZADD belt:{q}:leases " FAR_FUTURE " w-1.1"
#define FLEET                                                                  \
    "HSET belt:worker:w-1 stage running threads 4 busy 1 handlers x,ma*"

static void what_is_over_says_how(void **state)
{
    int64_t ms = clock_wall_ms() - 130 * 1000;
    char *ended =
        mem_printf("HSET belt:{q}:job:a type mail ended_at %" PRId64, ms);
    char *dead = mem_printf("ZADD belt:{q}:dead %" PRId64 " %%s", ms);

    (void)state;
    given(ended, "HSET belt:{q}:job:a state done", NULL);
    expect("done", "q/a: is done since 2m\n");
    given(ended, "HSET belt:{q}:job:a state cancelled", NULL);
    expect("cancelled", "was cancelled 2m ago\n");
    given(ended, "HSET belt:{q}:job:a state expired", NULL);
    expect("expired", "expired 2m ago: it was not started in time\n");
    given(ended, "HSET belt:{q}:job:a state dead error no", NULL);
    expect("dead", "is dead since 2m: no\n");
    given(dead, NULL);
    expect("dead", "is dead since 2m\n");
    free(ended);
    free(dead);
}

static void what_is_due_later_says_when(void **state)
{
    int64_t now_ms = clock_wall_ms();
    char *later =
        mem_printf("ZADD belt:{q}:scheduled %" PRId64 " %%s", now_ms + 3599000);
    char *retry = mem_printf("ZADD belt:{q}:retry %" PRId64
                             " {\"id\":\"a\",\"type\":\"t\",\"error\":{"
                             "\"class\":\"exit\",\"message\":\"no\"}}",
                             now_ms + 3599000);
    char *put_off = mem_printf("ZADD belt:{q}:retry %" PRId64
                               " {\"id\":\"a\",\"type\":\"t\",\"put_offs\":2,"
                               "\"error\":{\"class\":\"handler\"}}",
                               now_ms + 59000);

    (void)state;
    given(later, NULL);
    expect("scheduled", "is due in 59m\n");
    given(retry, NULL);
    expect("retry", "failed, is tried again in 59m: exit: no\n");
    given(put_off, NULL);
    expect("put_off", "put off, due in 59s: handler\n");
    given("ZADD belt:{q}:scheduled 1000 %s", NULL);
    expect("no_worker", "d: no worker serves queue q\n");
    given("ZADD belt:{q}:scheduled 1000 %s", LANE, NULL);
    expect("due", "d: it is about to be moved to the others\n");
    free(later);
    free(retry);
    free(put_off);
}

static void what_waits_says_for_what(void **state)
{
    int64_t now_ms = clock_wall_ms();
    char *paused =
        mem_printf("HSET belt:{q}:config paused %" PRId64 " paused_at %" PRId64
                   " paused_by ops paused_reason repairs",
                   now_ms + 3599000, now_ms - 61000);

    (void)state;
    given(READY, NULL);
    expect("no_worker", "no worker serves queue q\n");
    given(READY, "ZADD belt:{q}:leases 1000 w-1.1", NULL);
    expect("no_worker", "no worker serves queue q\n");
    given(READY, LANE, "HSET belt:{q}:config paused 1", NULL);
    expect("paused", "q/a: queue q is paused\n");
    given(READY, LANE, paused, NULL);
    expect("paused", "queue q is paused since 1m by ops because of repairs, "
                     "which ends in 59m\n");
    EXPECT(runs_redis, NULL, 0, "\n  paused_reason repairs\n", "", "explain",
           "q/a");
    EXPECT(runs_redis, NULL, 0, "\"paused_reason\":\"repairs\"", "", "explain",
           "q/a", "--json");
    given(READY, LANE, FLEET, "HSET belt:{q}:config paused 2", NULL);
    expect("waiting", "waits behind 2 jobs\n");
    given("RPUSH belt:{q} b %s", LANE, NULL);
    expect("waiting", "waits behind 1 job\n");
    given("RPUSH belt:{q} %s", LANE, NULL);
    expect("waiting", "is next\n");
    given(READY, LANE, FLEET, "HSET belt:worker:w-1 handlers x,y*", NULL);
    expect("no_handler",
           "no worker of queue q (1) has a handler for type mail\n");
    given(READY, LANE, FLEET,
          "HSET belt:worker:w-1 handlers x,y* handlers_left_out 1", NULL);
    expect("waiting", "waits behind 2 jobs\n");
    given(READY, LANE, FLEET, "HSET belt:worker:w-1 stage quiet", NULL);
    expect("quiet", "the workers of queue q are quiet or stop\n");
    given(READY, LANE, FLEET, "HSET belt:worker:w-1 busy 4", NULL);
    expect("full", "waits behind 2 jobs; the worker is full: 4 threads busy\n");
    given(READY, LANE, FLEET, "RPUSH belt:{q}:active:w-1.1 1 2 3 4", NULL);
    expect("full", "the worker is full: 4 threads busy\n");
    given(READY, LANE, FLEET, "RPUSH belt:{q}:active:w-1.1 1 2 3", NULL);
    expect("waiting", "waits behind 2 jobs\n");
    given(READY, LANE, FLEET, "HSET belt:worker:w-1 busy 4",
          "ZADD belt:{q}:leases " FAR_FUTURE " w-2.1", NULL);
    expect("waiting", "waits behind 2 jobs\n");
    given(READY, LANE, "ZADD belt:{q}:cancelled 5 a", NULL);
    expect("marked", "is marked to be cancelled");
    given("RPUSH belt:{q} {\"id\":\"a\",\"type\":\"t\",\"expires_at\":9}", LANE,
          NULL);
    expect("expiring", "who takes it will not run it\n");
    given("RPUSH belt:{q}:outbox %s", NULL);
    expect("outbox", "is on its way to another queue\n");
    free(paused);
}

static void what_is_held_says_by_whom(void **state)
{
    char *silent = mem_printf("ZADD belt:{q}:leases %" PRId64 " w-1.1",
                              clock_wall_ms() + 50000);
    char *lost = mem_printf("ZADD belt:{q}:leases %" PRId64 " w-1.1",
                            clock_wall_ms() - 2000);

    (void)state;
    given(LANE, "RPUSH belt:{q}:active:w-1.1 b %s",
          "HSET belt:{q}:lanes w-1.1 {\"host\":\"h1\"}", NULL);
    expect("held", "held by worker w-1 on host h1, which runs it next");
    redis_do(runs_redis, "HSET belt:worker:w-1 running %s",
             "t x y 7\nmail a 1000\nmail c 9");
    expect("running", "runs on worker w-1 on host h1 since ");
    redis_do(runs_redis, "ZADD belt:{q}:cancelled 5 a");
    expect("cancelling", "is being cancelled: held by worker w-1 on host h1\n");
    given(LANE, "RPUSH belt:{q}:active:w-1.1 %s",
          "HSET belt:{q}:job:a state active started_at 1000", NULL);
    expect("running", "runs on worker w-1 since ");
    given(silent, "RPUSH belt:{q}:active:w-1.1 %s", NULL);
    expect("held", "held by worker w-1, which runs it next");
    redis_do(runs_redis, "HSET belt:worker:w-1 lease 15000");
    expect("held", "held by worker w-1, which runs it next");
    redis_do(runs_redis, "HSET belt:worker:w-1 lease 120000");
    expect("silent", "its worker w-1 has not been heard of for 1m; if it is "
                     "dead, the job is recovered in ");
    given(lost, "RPUSH belt:{q}:active:w-1.1 %s", NULL);
    expect("recovering", "its worker w-1 is dead: its lease ran out ");
    expect("recovering", "no worker serves queue q, which would recover");
    redis_do(runs_redis, "ZADD belt:{q}:leases " FAR_FUTURE " w-2.1");
    expect("recovering", "another one is about to recover the job\n");
    given("HSET belt:{q}:job:a state active lane w-1.1", NULL);
    expect("recovering", "its worker w-1 is gone; no worker serves");
    given("HSET belt:{q}:job:a state active lane w-1.1", LANE, NULL);
    expect("missed", "was last told to be active, and was not found");
    free(lost);
    free(silent);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    given("SADD belt:queues q", NULL);
    expect_of("q/a", 1, "not_found", "q/a: not found: not kept, or gone\n");
    expect_of("a", 1, "not_found", "a: not found: not kept, or gone\n");
    given("SADD belt:queues q", "ZADD belt:{q}:scheduled " FAR_FUTURE " %s",
          NULL);
    expect_of("a", 0, "scheduled", "q/a: is due in ");
    EXPECT(runs_redis, NULL, 64, "", "neither QUEUE/ID nor ID", "explain",
           "q/");
    EXPECT(runs_redis, NULL, 0, "reason\tscheduled\n", "", "explain", "a", "-o",
           "tsv");
}

/* Ten thousand are read, not more; and no page of big ones is. */
static void a_long_queue_is_read_in_part(void **state)
{
    static const char fill[] =
        "for i = 1, ARGV[1] do redis.call('RPUSH', 'belt:{q}', "
        "'{\"id\":\"j' .. i .. '\",\"type\":\"t\",\"payload\":\"' .. "
        "string.rep('x', ARGV[2]) .. '\"}') end";

    (void)state;
    given(LANE, NULL);
    redis_do(runs_redis, "EVAL %s 0 12000 10", fill);
    expect_of("q/j9999", 0, "waiting", "waits behind 9998 jobs\n");
    expect_of("q/j10001", 1, "not_found",
              "or behind more than 10000 ready jobs\n");
    redis_do(runs_redis, "HSET belt:{q}:job:j11000 state ready type t");
    expect_of("q/j11000", 0, "waiting", "waits behind more than 10000 jobs\n");
    given(LANE, NULL);
    redis_do(runs_redis, "EVAL %s 0 21 1000000", fill);
    EXPECT(runs_redis, NULL, 1, "or behind more than", "", "explain", "q/j21");
    EXPECT(runs_redis, NULL, 0, "behind 13 jobs\n", "", "explain", "q/j14");
}

/* Whoever can write to Redis can write anything there. */
static void strange_words_do_no_harm(void **state)
{
    (void)state;
    given(READY, LANE, "HSET belt:{q}:config paused 1 paused_by \x1b[2J", NULL);
    struct cli_result r = CLI(runs_redis, NULL, "explain", "q/a");
    assert_int_equal(r.status, 0);
    assert_null(strchr(r.out, '\x1b'));
    cli_result_done(&r);
    given(READY, LANE,
          "HSET belt:worker:w-1 threads many busy -1 handlers ,,* "
          "running a",
          NULL);
    expect("waiting", "waits behind 2 jobs\n");
    given("RPUSH belt:{q}:active:w-1.1 %s", LANE,
          "HSET belt:{q}:lanes w-1.1 nonsense", NULL);
    expect("held", "held by worker w-1, which");
}

/* ---- a real worker ---- */

static bool tells_of_itself(void *arg)
{
    (void)arg;
    return redis_int(runs_redis, "ZCARD belt:workers") == 1;
}

static void expect_lease(const char *ms)
{
    redisReply *r = redis_cmd(runs_redis, "ZRANGE belt:workers 0 0");
    char lease[32];

    assert_int_equal(r->elements, 1);
    (void)redis_str(runs_redis, lease, sizeof(lease),
                    "HGET belt:worker:%s lease", r->element[0]->str);
    assert_string_equal(lease, ms);
    freeReplyObject(r);
}

static void a_worker_tells_what_it_runs_and_could(void **state)
{
    (void)state;
    redis_do(runs_redis, "FLUSHALL");
    runs_push("{\"id\":\"long\",\"type\":\"long.x\"}");
    (void)runs_worker("--threads", "1", "--handler", "long.*=builtin:sleep 1h",
                      NULL);
    assert_true(wait_until(tells_of_itself, NULL, RUN_MS));
    expect_lease("15000");
    expect_of("q/long", 0, "running", "runs on worker ");
    /* Its only thread is busy: it has taken its BLMOVE back. */
    runs_await_idle(0);
    runs_push("{\"id\":\"more\",\"type\":\"long.y\"}");
    runs_push("{\"id\":\"other\",\"type\":\"other\"}");
    expect_of("q/more", 0, "full", "is next; the worker is full: 1 thread ");
    expect_of("q/other", 0, "no_handler", "(1) has a handler for type other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_over_says_how),
        cmocka_unit_test(what_is_due_later_says_when),
        cmocka_unit_test(what_waits_says_for_what),
        cmocka_unit_test(what_is_held_says_by_whom),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(a_long_queue_is_read_in_part),
        cmocka_unit_test(strange_words_do_no_harm),
        cmocka_unit_test_teardown(a_worker_tells_what_it_runs_and_could,
                                  runs_over),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
