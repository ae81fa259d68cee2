/*
 * Claims about how jobs end, and wait again, with all that their options ask
 * of that one step: snoozed, expired, kept, locked, and with the history of
 * their failures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/job/job.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define OK "--handler", "ok=builtin:noop"
#define BAD "--handler", "bad=builtin:fail"
#define DAY_MS (24 * 3600 * 1000LL)

/* What Redis answers to a command must be this. */
static void expect(const char *command, const char *wanted)
{
    char text[4096];
    (void)redis_str(runs_redis, text, sizeof(text), command);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s: %s, not %s", command, text, wanted);
}

static void expect_field(const char *id, const char *field, const char *wanted)
{
    char command[160];
    (void)snprintf(command, sizeof(command), "HGET belt:{q}:job:%s %s", id,
                   field);
    expect(command, wanted);
}

static void expect_stat(const char *name, long long n)
{
    assert_int_equal(queue_stat(runs_redis, "q", name), n);
}

/* An instant of a field or score: about that long from now. */
static void expect_instant(const char *command, long long ahead_ms)
{
    char text[64];
    (void)redis_str(runs_redis, text, sizeof(text), command);
    long long ms = strtoll(text, NULL, 10) - clock_wall_ms() - ahead_ms;
    if (ms < -RUN_MS || ms > RUN_MS)
        fail_msg("%s: %s, %lld ms off", command, text, ms);
}

/* The first of a zset is due in about that time. */
static void expect_due(const char *set, long long ahead_ms)
{
    redisReply *r =
        redis_cmd(runs_redis, "ZRANGE belt:{q}:%s 0 0 WITHSCORES", set);
    assert_int_equal(r->elements, 2);
    long long ms = strtoll(r->element[1]->str, NULL, 10) - clock_wall_ms();
    assert_in_range(ms, ahead_ms - RUN_MS, ahead_ms + RUN_MS);
    freeReplyObject(r);
}

/* ---- snooze, and the handler's own delay ---- */

static void a_snoozed_job_waits_in_scheduled_uncounted(void **state)
{
    (void)state;
    struct worker *w = runs_worker(BAD, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"bad\",\"keep\":60000,\"attempt\":2,"
              "\"snoozes\":4,\"put_offs\":3,\"put_off_since\":7,"
              "\"payload\":{\"snooze\":7200000}}");
    runs_await_stat("snoozed", 1);
    struct job *job = runs_first("scheduled");
    assert_int_equal(job->snoozes, 5);
    assert_int_equal(job->attempt, 2);
    assert_int_equal(job->put_offs, 0);
    assert_null(job->failures.p);
    job_free(job);
    expect_due("scheduled", 7200000);
    expect_field("a", "state", "scheduled");
    expect_field("a", "error", "(nil)");
    expect_instant("HGET belt:{q}:job:a due_at", 7200000);
    assert_true(redis_int(runs_redis, "PTTL belt:{q}:job:a") > 89 * DAY_MS);
    expect_stat("retried", 0);
    runs_end(w);
}

static void snoozes_use_up_no_attempts(void **state)
{
    (void)state;
    struct worker *w = runs_worker(BAD, NULL);
    runs_push("{\"type\":\"bad\",\"max_attempts\":1,"
              "\"payload\":{\"snooze\":10}}");
    runs_await_stat("snoozed", 3);
    expect_stat("dead", 0);
    runs_end(w);
}

static void a_handler_says_when_it_is_tried_again(void **state)
{
    (void)state;
    struct worker *w = runs_worker(BAD, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"bad\",\"keep\":60000,\"backoff\":[1],"
              "\"payload\":{\"retry_after\":7200000}}");
    runs_await_stat("retried", 1);
    expect_due("retry", 7200000);
    expect_field("a", "state", "retry");
    expect_field("a", "attempt", "1");
    expect_field("a", "error", "failed on request");
    expect_instant("HGET belt:{q}:job:a due_at", 7200000);
    runs_push("{\"id\":\"b\",\"type\":\"bad\",\"max_attempts\":1,"
              "\"payload\":{\"retry_after\":7200000}}");
    runs_await_stat("dead", 1); /* counted all the same */
    runs_end(w);
}

static void programs_ask_for_the_same_on_descriptor_3(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler",
                    runs_handler("x", "echo \"{\\\"op\\\":\\\"$BELT_JOB_ID\\\","
                                      "\\\"after\\\":\\\"2h\\\"}\" >&3\n"
                                      "[ $BELT_JOB_ID = snooze ]"),
                    NULL);
    runs_push("{\"id\":\"retry\",\"type\":\"x\",\"backoff\":[1]}");
    runs_push("{\"id\":\"snooze\",\"type\":\"x\"}");
    runs_await_stat("retried", 1);
    runs_await_stat("snoozed", 1);
    expect_due("retry", 7200000);
    expect_due("scheduled", 7200000);
    runs_end(w);
}

/* ---- expires_at ---- */

static void what_has_expired_is_not_run(void **state)
{
    (void)state;
    const char *ran = runs_handler("x", "echo ran >> \"$out\"");
    redis_do(runs_redis, "ZADD belt:{q}:scheduled 1 %s",
             "{\"id\":\"s\",\"type\":\"x\",\"expires_at\":5}");
    redis_do(runs_redis, "ZADD belt:{q}:retry 1 %s",
             "{\"id\":\"r\",\"type\":\"x\",\"expires_at\":5,\"attempt\":1}");
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"expires_at\":5,\"keep\":60000,"
              "\"unique\":\"k\",\"then\":{\"type\":\"x\"}}");
    runs_push("{\"id\":\"b\",\"type\":\"unknown\",\"expires_at\":5}");
    runs_push("{\"id\":\"c\",\"type\":\"x\",\"expires_at\":%lld}",
              (long long)clock_wall_ms() + DAY_MS);
    redis_do(runs_redis, "SET belt:{q}:unique:k a");
    struct worker *w = runs_worker("--handler", ran, NULL);
    runs_await_stat("expired", 4);
    runs_await_stat("done", 1);
    runs_await_rest();
    assert_int_equal(file_lines(runs_out()), 1);
    expect_stat("dead", 0);
    expect_stat("put_off", 0);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 4);
    struct job *job = runs_first("dead");
    assert_non_null(strstr(job->raw, "\"error\":{\"class\":\"expired\""));
    job_free(job);
    expect_field("a", "state", "expired");
    expect_field("a", "attempt", "0");
    expect_field("a", "started_at", "(nil)");
    expect_field("a", "exit", "(nil)");
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:unique:k"), 0);
    runs_end(w);
}

/* It was fetched in time, and waited for the one thread. */
static void what_expires_while_it_waits_for_a_thread_is_not_run(void **state)
{
    (void)state;
    const char *ran = runs_handler("x", "echo ran >> \"$out\"");
    struct worker *w = runs_worker("--threads", "1", "--handler", ran,
                                   "--handler", "s=builtin:sleep", NULL);
    runs_await_idle(1);
    redis_do(runs_redis, "RPUSH belt:{q} %s",
             "{\"type\":\"s\",\"payload\":400}");
    runs_push("{\"type\":\"x\",\"expires_at\":%lld}",
              (long long)clock_wall_ms() + 200);
    runs_await("LLEN belt:{q}:active:none", 0);
    runs_await_stat("expired", 1);
    runs_await_stat("done", 1);
    assert_int_equal(file_lines(runs_out()), 0);
    runs_end(w);
}

/* ---- failures ---- */

/* How often it is in the text. */
static unsigned count_of(const char *text, size_t len, const char *part)
{
    unsigned n = 0;
    const char *end = text + len;
    while ((text = memmem(text, (size_t)(end - text), part, strlen(part)))) {
        n++;
        text += strlen(part);
    }
    return n;
}

static void the_last_ten_failures_stay_with_the_job(void **state)
{
    (void)state;
    const char *fails = runs_handler(
        "x", "i=0; while [ $i -lt 100 ]; do printf '\\303\\251\\303\\251\\342"
             "\\202\\254' >&2; i=$((i+1)); done; echo no $BELT_ATTEMPT >&2; "
             "exit 3");
    struct worker *w = runs_worker("--handler", fails, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"backoff\":[1],"
              "\"max_attempts\":12,"
              "\"failures\":[7,{\"class\":\"old\",\"attempt\":0},null]}");
    runs_await_stat("retried", 1);
    runs_await_stat("dead", 1);
    struct job *job = runs_first("dead");
    const char *f = job->failures.p;
    size_t len = job->failures.len;
    assert_int_equal(count_of(f, len, "{\"class\":\"exit\""), 10);
    assert_int_equal(count_of(f, len, "old"), 0);
    assert_non_null(strstr(f, "\"attempt\":12,"));
    assert_int_equal(count_of(f, len, "\"attempt\":2,"), 0);
    assert_true(strstr(f, "\"attempt\":12,") < strstr(f, "\"attempt\":3,"));
    assert_int_equal(text_utf8_error(job->raw, job->raw_len), job->raw_len);
    assert_int_equal(count_of(job->raw, job->raw_len, "\xef\xbf\xbd"), 0);
    assert_true(len < 10 * 1024);
    /* The last one in full. */
    assert_int_equal(count_of(job->raw, job->raw_len, "\"error\":{"), 1);
    assert_true(strstr(job->raw, "\"error\":{") > f);
    job_free(job);
    runs_end(w);
}

static void of_what_was_there_only_objects_are_carried(void **state)
{
    (void)state;
    struct worker *w = runs_worker(BAD, NULL);
    struct buf big = {0};
    buf_str(&big, "{\"id\":\"a\",\"type\":\"bad\",\"backoff\":[600000],"
                  "\"failures\":[7,{\"class\":\"old\"},\"x\",{\"big\":\"");
    for (int i = 0; i < 5000; i++)
        buf_char(&big, 'x');
    buf_str(&big, "\"}]}");
    redis_do(runs_redis, "RPUSH belt:{q} %s", big.data);
    buf_done(&big);
    runs_await_stat("retried", 1);
    struct job *job = runs_first("retry");
    const char *f = job->failures.p;
    size_t len = job->failures.len;
    assert_memory_equal(f, "[{\"class\":\"builtin\"", 18);
    assert_memory_equal(f + len - 17, ",{\"class\":\"old\"}]", 17);
    assert_int_equal(count_of(f, len, "{"), 2);
    job_free(job);
    redis_do(runs_redis, "DEL belt:{q}:retry");
    runs_push("{\"id\":\"b\",\"type\":\"bad\",\"backoff\":[600000],"
              "\"failures\":\"none\"}");
    runs_await_stat("retried", 2);
    job = runs_first("retry");
    assert_memory_equal(job->failures.p, "[{\"class\":\"builtin\"", 18);
    job_free(job);
    runs_end(w);
}

/* As long as texts can be, every byte escaped: it must still be read. */
static void a_job_that_fails_at_length_stays_an_envelope(void **state)
{
    (void)state;
    const char *fails = runs_handler(
        "x", "head -c 9000 /dev/zero | tr '\\000' '\\001' >&2; exit 3");
    struct worker *w =
        runs_worker("--handler", fails, "--max-bytes", "1k", NULL);
    struct buf b = {0};
    buf_str(&b, "{\"id\":\"a\",\"type\":\"x\",\"backoff\":[1],"
                "\"max_attempts\":12,\"payload\":\"");
    while (b.len < 1000)
        buf_char(&b, 'p');
    buf_str(&b, "\"}");
    runs_push("%s", b.data);
    buf_done(&b);
    runs_await_stat("dead", 1);
    expect_stat("retried", 11);
    expect_stat("invalid", 0);
    runs_end(w);
}

static void to_be_put_off_is_no_failure(void **state)
{
    (void)state;
    struct worker *w = runs_worker(OK, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"keep\":60000}");
    runs_await_stat("put_off", 1);
    struct job *job = runs_first("retry");
    assert_null(job->failures.p);
    assert_int_equal(job->put_offs, 1);
    job_free(job);
    expect_field("a", "state", "retry");
    expect_field("a", "attempt", "0");
    runs_end(w);
}

/* ---- news ---- */

static void kept_jobs_tell_how_they_ended(void **state)
{
    static const struct {
        const char *id, *type, *state, *exit, *field, *wanted;
    } ends[] = {
        {"a", "ok", "done", "0", "result", "\"r\""},
        {"b", "three", "dead", "3", "error", "exit code 3: why"},
        {"c", "leave", "cancelled", "99", "error", "exit code 99"},
        {"d", "killed", "dead", "137", "error", "killed by signal 9 (SIGKILL)"},
        {"e", "noop", "done", "0", "result", ""},
        {"f", "bad", "dead", "1", "error", "failed on request"},
    };
    (void)state;
    struct worker *w =
        runs_worker("--handler", "ok=exec:cat", "--handler",
                    runs_handler("three", "echo why >&2; exit 3"), "--handler",
                    "leave=exec:sh -c 'exit 99'", "--handler",
                    "killed=exec:sh -c 'kill -9 $$'", "--handler",
                    "noop=builtin:noop", BAD, NULL);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        redis_do(runs_redis,
                 "HSET belt:{q}:job:%s due_at 1 progress 2 message m error e",
                 ends[i].id);
        runs_push("{\"id\":\"%s\",\"type\":\"%s\",\"keep\":600000,"
                  "\"max_attempts\":1,\"created_at\":5,\"payload\":\"r\"}",
                  ends[i].id, ends[i].type);
    }
    runs_await_rest();
    runs_await_stat("dead", 3);
    runs_await_stat("done", 2);
    runs_await_stat("discarded", 1);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        expect_field(ends[i].id, "state", ends[i].state);
        expect_field(ends[i].id, "exit", ends[i].exit);
        expect_field(ends[i].id, ends[i].field, ends[i].wanted);
        expect_field(ends[i].id, "type", ends[i].type);
        expect_field(ends[i].id, "created_at", "5");
        expect_field(ends[i].id, "due_at", "(nil)");
        expect_field(ends[i].id, "progress", "(nil)");
        expect_field(ends[i].id, "message", "(nil)");
        long long ttl =
            redis_int(runs_redis, "PTTL belt:{q}:job:%s", ends[i].id);
        assert_in_range(ttl, 1, 600000);
    }
    runs_end(w);
}

static void the_end_of_a_kept_job_is_published(void **state)
{
    (void)state;
    redisContext *c =
        redisConnectUnix(redis_url(runs_redis) + strlen("unix://"));
    redisReply *r = redisCommand(c, "SUBSCRIBE belt:{q}:job:a");
    freeReplyObject(r);
    struct worker *w = runs_worker("--handler", "x=builtin:fail", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"keep\":60000,\"backoff\":[1],"
              "\"max_attempts\":2}");
    r = NULL;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_string_equal(r->element[2]->str, "dead"); /* retry is no end */
    freeReplyObject(r);
    redisFree(c);
    runs_end(w);
}

/* Not for others: whoever waits for it hears of its end. */
static void what_is_too_big_here_has_ended_too(void **state)
{
    (void)state;
    struct buf big = {0};
    buf_str(&big, "{\"id\":\"a\",\"type\":\"ok\",\"keep\":60000,"
                  "\"unique\":\"k\",\"payload\":\"");
    for (int i = 0; i < 200 * 1024; i++)
        buf_char(&big, 'p');
    buf_str(&big, "\"}");
    redis_do(runs_redis, "SET belt:{q}:unique:k a");
    redis_do(runs_redis, "RPUSH belt:{q} %s", big.data);
    buf_done(&big);
    struct worker *w = runs_worker(OK, "--max-bytes", "1k", NULL);
    runs_await_stat("invalid", 1);
    expect_field("a", "state", "dead");
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:unique:k"), 0);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 1);
    runs_end(w);
}

/* ---- locks ---- */

static void a_lock_ends_with_its_job_and_not_before(void **state)
{
    static const char *const types[] = {"ok", "dies", "leave"};
    (void)state;
    struct worker *w =
        runs_worker(OK, BAD, "--handler", "leave=exec:sh -c 'exit 99'",
                    "--handler", "dies=exec:sh -c 'exit 65'", NULL);
    for (int i = 0; i < 3; i++) {
        redis_do(runs_redis, "SET belt:{q}:unique:%s %s", types[i], types[i]);
        runs_push("{\"id\":\"%s\",\"type\":\"%s\",\"unique\":%s%s\"%s}",
                  types[i], types[i], i == 1 ? "{\"key\":\"" : "\"", types[i],
                  i == 1 ? ",\"until\":\"started\"}" : "");
    }
    redis_do(runs_redis, "SET belt:{q}:unique:waits waits");
    runs_push("{\"id\":\"waits\",\"type\":\"bad\",\"backoff\":[600000],"
              "\"unique\":\"waits\"}");
    redis_do(runs_redis, "SET belt:{q}:unique:other x");
    runs_push("{\"id\":\"y\",\"type\":\"ok\",\"unique\":\"other\"}");
    redis_do(runs_redis, "SET belt:{q}:unique:time t");
    runs_push("{\"id\":\"t\",\"type\":\"ok\",\"unique\":{\"key\":\"time\","
              "\"until\":\"time\",\"ttl\":5000}}");
    runs_push("{\"id\":\"u\",\"type\":\"ok\",\"unique\":[7]}");
    runs_await_stat("done", 4);
    runs_await_stat("dead", 1);
    runs_await_stat("discarded", 1);
    runs_await_stat("retried", 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            redis_int(runs_redis, "EXISTS belt:{q}:unique:%s", types[i]), 0);
    expect("GET belt:{q}:unique:waits", "waits");
    expect("GET belt:{q}:unique:other", "x");
    expect("GET belt:{q}:unique:time", "t");
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_snoozed_job_waits_in_scheduled_uncounted),
        TEST(snoozes_use_up_no_attempts),
        TEST(a_handler_says_when_it_is_tried_again),
        TEST(programs_ask_for_the_same_on_descriptor_3),
        TEST(what_has_expired_is_not_run),
        TEST(what_expires_while_it_waits_for_a_thread_is_not_run),
        TEST(the_last_ten_failures_stay_with_the_job),
        TEST(of_what_was_there_only_objects_are_carried),
        TEST(a_job_that_fails_at_length_stays_an_envelope),
        TEST(to_be_put_off_is_no_failure),
        TEST(kept_jobs_tell_how_they_ended),
        TEST(the_end_of_a_kept_job_is_published),
        TEST(what_is_too_big_here_has_ended_too),
        TEST(a_lock_ends_with_its_job_and_not_before),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
