/*
 * Claims about the logs of kept jobs: what runs write, in Redis.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

enum { LINES_KEPT = 1000, BYTES_KEPT = 256 * 1024 };

/* Lines of a flood: with a sanitizer each takes many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FLOOD "100000"
#define FLOOD_FIRST "99001"
#else
#define FLOOD "1000000"
#define FLOOD_FIRST "999001"
#endif

#define KEPT "{\"id\":\"k\",\"type\":\"t\",\"keep\":60000}"
#define LOG "belt:{q}:log:k"

/* The handler of a test: after what it writes it waits for runs_out. */
static struct worker *worker_of(const char *script)
{
    return runs_worker("--handler", runs_handler("t", script), NULL);
}

#define WAIT "\nuntil [ -e $out ]; do sleep 0.01; done"

static void let_go(void)
{
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_rest();
}

/* Element i of the log, which has this in it. */
static void expect_line(long long i, const char *text)
{
    static char line[64 * 1024];
    (void)redis_str(runs_redis, line, sizeof(line), "LINDEX " LOG " %lld", i);
    if (strstr(line, text) == NULL)
        fail_msg("line %lld is %s, without %s", i, line, text);
}

static long long lines_now(void)
{
    return redis_int(runs_redis, "LLEN " LOG);
}

static void lines_arrive_in_order_while_it_runs(void **state)
{
    (void)state;
    struct worker *w = worker_of(
        "echo one >&2; echo '{\"op\":\"log\",\"level\":\"warn\",\"message\":"
        "\"two\"}' >&3; sleep 0.02; echo three >&2; echo >&2" WAIT);
    runs_push(KEPT);
    runs_await("LLEN " LOG, 4);
    expect_line(0, "{\"n\":1,\"at\":");
    expect_line(0, ",\"attempt\":1,\"source\":\"stderr\",\"level\":\"info\","
                   "\"message\":\"one\"}");
    expect_line(1, "{\"n\":2,\"at\":");
    expect_line(1, ",\"source\":\"log\",\"level\":\"warn\",\"message\":"
                   "\"two\"}");
    expect_line(2, "{\"n\":3,");
    expect_line(3, "\"message\":\"\"}");
    assert_int_equal(queue_active(runs_redis, "q"), 1);
    assert_true(redis_int(runs_redis, "TTL " LOG) > 80 * 86400);
    let_go();
    assert_in_range(redis_int(runs_redis, "PTTL " LOG), 1, 60000);
    runs_end(w);
}

/* What a run writes last is there when its end is. */
static void all_lines_are_there_before_the_end(void **state)
{
    (void)state;
    struct worker *w = worker_of("for i in 1 2 3 4 5 6 7; do echo a$i >&2; "
                                 "sleep 0.03; done; echo last >&2");
    runs_push(KEPT);
    while (strcmp(redis_str(runs_redis, (char[32]){""}, 32,
                            "EVAL %s 2 belt:{q}:job:k " LOG,
                            "if redis.call('HGET',KEYS[1],'state')~='done' "
                            "then return 'no' end "
                            "return string.match(redis.call('LINDEX',KEYS[2],"
                            "-1),'\"message\":\"(.-)\"')"),
                  "no") == 0)
        (void)usleep(1000);
    expect_line(-1, "last");
    assert_int_equal(lines_now(), 8);
    runs_end(w);
}

static void jobs_that_are_not_kept_leave_nothing(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo x >&2");
    redis_do(runs_redis, "CONFIG RESETSTAT");
    for (int i = 0; i < 5; i++)
        runs_push("{\"id\":\"n%d\",\"type\":\"t\"}", i);
    runs_await_stat("done", 5);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:log:n0"), 0);
    assert_int_equal(runs_info("commandstats", "cmdstat_pexpire:calls="), 0);
    assert_int_equal(runs_info("commandstats", "cmdstat_pttl:calls="), 0);
    runs_end(w);
}

static void a_kept_job_that_says_nothing_has_no_log(void **state)
{
    (void)state;
    struct worker *w = worker_of(":");
    runs_push(KEPT);
    runs_await_stat("done", 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS " LOG), 0);
    assert_int_equal(redis_int(runs_redis, "HEXISTS belt:{q}:job:k log_run"),
                     0);
    runs_end(w);
}

static void a_flood_leaves_the_last_lines_and_holds_up_nobody(void **state)
{
    char name[64];
    (void)state;
    struct worker *w = runs_worker("--threads", "2", "--handler",
                                   runs_handler("t", "seq " FLOOD " >&2"),
                                   "--handler", "n=builtin:noop", NULL);
    runs_push(KEPT);
    for (int i = 0; i < 300; i++)
        runs_push("{\"id\":\"n%d\",\"type\":\"n\",\"keep\":60000}", i);
    runs_await_stat("done", 301);
    assert_int_equal(lines_now(), LINES_KEPT);
    expect_line(-1, "{\"n\":" FLOOD ",");
    expect_line(-1, "\"message\":\"" FLOOD "\"");
    expect_line(0, "\"message\":\"" FLOOD_FIRST "\"");
    assert_string_equal(redis_str(runs_redis, name, sizeof(name),
                                  "HGET belt:{q}:job:k log_lines"),
                        FLOOD);
    runs_end(w);
}

static long long log_bytes(void)
{
    long long bytes = 0;
    redisReply *r = redis_cmd(runs_redis, "LRANGE " LOG " 0 -1");
    for (size_t i = 0; i < r->elements; i++)
        bytes += (long long)r->element[i]->len;
    freeReplyObject(r);
    return bytes;
}

static void long_lines_come_in_pieces_and_bytes_are_bounded(void **state)
{
    (void)state;
    struct worker *w =
        worker_of("i=0; while [ $i -lt 200 ]; do printf '%05000d\\n' $i >&2; "
                  "i=$((i+1)); done; printf end >&2");
    runs_push(KEPT);
    runs_await_stat("done", 1);
    expect_line(-1, "\"message\":\"end\",\"more\":true}");
    expect_line(-2, "000199\"}");
    expect_line(-3, "0\",\"more\":true}");
    assert_in_range(log_bytes(), BYTES_KEPT - 5000, BYTES_KEPT);
    char text[32];
    assert_int_equal(strtoll(redis_str(runs_redis, text, sizeof(text),
                                       "HGET belt:{q}:job:k log_bytes"),
                             NULL, 10),
                     log_bytes());
    runs_end(w);
}

static void any_bytes_survive(void **state)
{
    (void)state;
    struct worker *w = worker_of("printf 'a\\377b\\n\\303\\244\\033\\n' >&2");
    runs_push(KEPT);
    runs_await_stat("done", 1);
    expect_line(0, "\"raw\":\"Yf9i\"}");
    expect_line(1, "\"message\":\"\xc3\xa4\\u001b\"}");
    runs_end(w);
}

#define AGAIN                                                                  \
    "{\"id\":\"k\",\"type\":\"t\",\"keep\":60000,\"max_attempts\":2,"          \
    "\"backoff\":[0]}"

static void attempts_go_on_in_the_same_log(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo run $BELT_ATTEMPT >&2; exit 1");
    runs_push(AGAIN);
    runs_await_stat("dead", 1);
    assert_int_equal(lines_now(), 2);
    expect_line(0, "{\"n\":1,");
    expect_line(0, "\"attempt\":1,");
    expect_line(1, "{\"n\":2,");
    expect_line(1, "\"attempt\":2,");
    expect_line(1, "run 2");
    assert_in_range(redis_int(runs_redis, "PTTL " LOG), 1, 60000);
    runs_end(w);
}

/* A second run that says nothing lets the log of the first expire. */
static void a_log_of_an_earlier_attempt_expires_too(void **state)
{
    (void)state;
    struct worker *w =
        worker_of("[ $BELT_ATTEMPT = 2 ] && exit 0; echo x >&2; exit 1");
    runs_push(AGAIN);
    runs_await_stat("done", 1);
    assert_in_range(redis_int(runs_redis, "PTTL " LOG), 1, 60000);
    runs_end(w);
}

static void a_killed_worker_leaves_what_it_had_told(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo from $PPID >&2" WAIT);
    runs_push(KEPT);
    runs_await("LLEN " LOG, 1);
    worker_signal(w, SIGKILL);
    struct worker *next = worker_of("echo again >&2" WAIT);
    runs_await("LLEN " LOG, 2);
    expect_line(0, "from");
    expect_line(1, "{\"n\":2,");
    expect_line(1, "again");
    let_go();
    runs_end(next);
}

static void a_cancelled_job_keeps_its_log(void **state)
{
    (void)state;
    struct worker *w =
        worker_of("trap 'echo bye >&2; exit 1' TERM; echo hi >&2" WAIT);
    runs_push(KEPT);
    runs_await("LLEN " LOG, 1);
    redis_do(runs_redis, "ZADD belt:{q}:cancelled 9999999999999 k");
    redis_do(runs_redis, "HINCRBY belt:{q}:config cancelled_version 1");
    redis_do(runs_redis, "PUBLISH belt:{q}:control cancel");
    runs_await_stat("cancelled", 1);
    char line[256];
    bool bye = false;
    for (long long i = 1; i < lines_now(); i++)
        bye |= strstr(redis_str(runs_redis, line, sizeof(line),
                                "LINDEX " LOG " %lld", i),
                      "bye") != NULL;
    assert_true(bye);
    assert_in_range(redis_int(runs_redis, "PTTL " LOG), 1, 60000);
    runs_end(w);
}

/* Numbered lines all the time, while connections are cut. */
static void no_line_is_missing_or_doubled_after_a_rebind(void **state)
{
    (void)state;
    struct worker *w = worker_of("i=0; until [ -e $out ]; do i=$((i+1)); echo "
                                 "line $i >&2; sleep 0.002; done");
    runs_push(KEPT);
    for (int i = 1; i <= 5; i++) {
        runs_await("LLEN " LOG, 20 * i);
        redis_do(runs_redis, "CLIENT KILL TYPE normal SKIPME yes");
    }
    let_go();
    long long n = lines_now();
    for (long long i = 0; i < n; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"n\":%lld,", i + 1);
        expect_line(i, text);
        (void)snprintf(text, sizeof(text), "\"message\":\"line %lld\"", i + 1);
        expect_line(i, text);
    }
    runs_end(w);
}

static void forgotten_scripts_are_loaded(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo x >&2" WAIT);
    runs_await_idle(1);
    redis_do(runs_redis, "SCRIPT FLUSH");
    runs_push(KEPT);
    runs_await("LLEN " LOG, 1);
    let_go();
    assert_int_equal(lines_now(), 1);
    runs_end(w);
}

static void a_full_redis_loses_lines_and_no_job(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo x >&2");
    runs_await_idle(1);
    runs_push(KEPT);
    redis_do(runs_redis, "CONFIG SET maxmemory 1");
    runs_await_rest();
    redis_do(runs_redis, "CONFIG SET maxmemory 0");
    runs_await_stat("done", 1);
    runs_end(w);
}

static void at_most_once_has_logs_too(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--delivery", "at-most-once", "--handler",
                    runs_handler("t", "echo one >&2; echo two >&2"), NULL);
    runs_push(KEPT);
    runs_await_stat("done", 1);
    assert_int_equal(lines_now(), 2);
    runs_end(w);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(lines_arrive_in_order_while_it_runs),
        CLAIM(all_lines_are_there_before_the_end),
        CLAIM(jobs_that_are_not_kept_leave_nothing),
        CLAIM(a_kept_job_that_says_nothing_has_no_log),
        CLAIM(a_flood_leaves_the_last_lines_and_holds_up_nobody),
        CLAIM(long_lines_come_in_pieces_and_bytes_are_bounded),
        CLAIM(any_bytes_survive),
        CLAIM(attempts_go_on_in_the_same_log),
        CLAIM(a_log_of_an_earlier_attempt_expires_too),
        CLAIM(a_killed_worker_leaves_what_it_had_told),
        CLAIM(a_cancelled_job_keeps_its_log),
        CLAIM(no_line_is_missing_or_doubled_after_a_rebind),
        CLAIM(forgotten_scripts_are_loaded),
        CLAIM(a_full_redis_loses_lines_and_no_job),
        CLAIM(at_most_once_has_logs_too),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
