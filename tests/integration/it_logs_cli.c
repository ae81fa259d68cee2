/*
 * Claims about belt logs: what a kept job wrote, afterwards and live.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define KEPT "{\"id\":\"k\",\"type\":\"t\",\"keep\":60000,\"max_attempts\":1}"
#define LOG "belt:{q}:log:k"
#define WAIT "\nuntil [ -e $out ]; do sleep 0.01; done"

/* As belt push --keep does: its news are there from the beginning. */
static void push_kept(void)
{
    redis_do(runs_redis, "HSET belt:{q}:job:k state ready type t");
    runs_push(KEPT);
}

static struct worker *worker_of(const char *script)
{
    return runs_worker("--handler", runs_handler("t", script), NULL);
}

static void let_go(void)
{
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
}

/* A log and its news as they might have been left. */
static void plant(const char *line)
{
    redis_do(runs_redis, "RPUSH " LOG " %s", line);
}

static bool is_followed(void *arg)
{
    (void)arg;
    redisReply *r = redis_cmd(runs_redis, "PUBSUB NUMSUB " LOG);
    bool found = r->elements == 2 && r->element[1]->integer > 0;
    freeReplyObject(r);
    return found;
}

static void await_follower(void)
{
    assert_true(wait_until(is_followed, NULL, RUN_MS));
}

struct wanted {
    const struct cli *cli;
    const char *text;
};

static bool is_printed(void *arg)
{
    const struct wanted *w = arg;
    char *out = cli_output(w->cli);
    bool found = strstr(out, w->text) != NULL;
    free(out);
    return found;
}

static void await_output(const struct cli *c, const char *text)
{
    struct wanted w = {c, text};
    if (!wait_until(is_printed, &w, RUN_MS))
        fail_msg("it does not print %s", text);
}

/* The texts behind " stderr " of all lines, with a blank behind each; owned. */
static char *texts(const char *out)
{
    struct buf b = {0};
    for (const char *p = out; (p = strstr(p, " stderr ")) != NULL;) {
        p += strlen(" stderr ");
        buf_append(&b, p, strcspn(p, "\n"));
        buf_char(&b, ' ');
    }
    return buf_take(&b);
}

static void finish(struct cli *c, int status, const char *wanted)
{
    struct cli_result r;
    cli_finish(c, &r);
    char *got = texts(r.out);
    if (r.status != status || (wanted != NULL && strcmp(got, wanted) != 0))
        fail_msg("status %d instead of %d\n%s%s", r.status, status, r.out,
                 r.err);
    free(got);
    cli_result_done(&r);
}

#define FOLLOW(c, ...)                                                         \
    do {                                                                       \
        cli_start(                                                             \
            (c), runs_redis, -1,                                               \
            (const char *const[]){"logs", "q/k", "-f", __VA_ARGS__, NULL});    \
        await_follower();                                                      \
    } while (0)

static void it_shows_what_is_there(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo one >&2; echo two >&2");
    push_kept();
    runs_await_rest();
    EXPECT(runs_redis, NULL, 0, " stderr one\n", "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 0, " stderr two\n", "", "logs", "k");
    EXPECT(runs_redis, NULL, 0, "\"log_lines\":2}\n", "", "status", "q/k", "-o",
           "ndjson");
    struct cli_result r = CLI(runs_redis, NULL, "logs", "q/k", "-n", "1");
    assert_null(strstr(r.out, "one"));
    assert_non_null(strstr(r.out, "two"));
    assert_int_equal(r.out[2], ':');
    cli_result_done(&r);
    runs_end(w);
}

static void it_follows_from_before_the_start_to_the_end(void **state)
{
    struct cli c;
    (void)state;
    push_kept();
    FOLLOW(&c, "-n", "1000");
    struct worker *w = worker_of("for i in 1 2 3 4; do echo $i >&2; done" WAIT
                                 "\necho last >&2; exit 7");
    await_output(&c, " stderr 4\n");
    let_go();
    finish(&c, 7, "1 2 3 4 last ");
    runs_end(w);
}

static void it_follows_from_the_middle(void **state)
{
    struct cli c;
    (void)state;
    struct worker *w = worker_of("echo a >&2; echo b >&2" WAIT "\necho c >&2");
    push_kept();
    runs_await("LLEN " LOG, 2);
    FOLLOW(&c, "-n", "1");
    await_output(&c, " stderr b\n");
    let_go();
    finish(&c, 0, "b c ");
    runs_end(w);
}

static void it_follows_through_attempts(void **state)
{
    struct cli c;
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:k state ready type t");
    FOLLOW(&c, "--timeout", "60s");
    struct worker *w = worker_of("echo $BELT_ATTEMPT >&2; exit 4");
    runs_push("{\"id\":\"k\",\"type\":\"t\",\"keep\":60000,\"max_attempts\":3,"
              "\"backoff\":[0]}");
    finish(&c, 4, "1 2 3 ");
    runs_end(w);
}

static void a_lost_connection_loses_and_doubles_no_line(void **state)
{
    struct cli c;
    (void)state;
    struct worker *w =
        worker_of("i=0; until [ -e $out ]; do i=$((i+1)); echo $i >&2; sleep "
                  "0.002; done; echo $i > $out");
    push_kept();
    FOLLOW(&c, "-n", "1000");
    for (int i = 1; i <= 4; i++) {
        runs_await("LLEN " LOG, 20 * i);
        redis_do(runs_redis, i % 2 == 0 ? "CLIENT KILL TYPE pubsub SKIPME yes"
                                        : "CLIENT KILL TYPE normal SKIPME yes");
    }
    await_follower();
    let_go();
    struct cli_result r;
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    char *got = texts(r.out), *rest = got;
    long long n = redis_int(runs_redis, "LLEN " LOG);
    for (long long i = 1; i <= n; i++)
        assert_int_equal(strtoll(rest, &rest, 10), i);
    assert_string_equal(rest, " ");
    free(got);
    cli_result_done(&r);
    runs_end(w);
}

static void
a_flood_is_told_in_order_and_what_is_missing_is_counted(void **state)
{
    struct cli c;
    (void)state;
    push_kept();
    FOLLOW(&c, "-o", "ndjson");
    struct worker *w = worker_of("seq 200000 >&2");
    struct cli_result r;
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    long long last = 0, lines = 0, missing = 0;
    for (const char *p = r.out; (p = strstr(p, "{\"n\":")) != NULL; lines++) {
        long long n = strtoll(p += strlen("{\"n\":"), NULL, 10);
        assert_true(n > last);
        last = n;
    }
    for (const char *p = r.err; (p = strstr(p, "belt logs: ")) != NULL;)
        missing += strtoll(p += strlen("belt logs: "), NULL, 10);
    assert_int_equal(last, 200000);
    assert_int_equal(lines + missing, last);
    assert_true(lines >= 1000);
    cli_result_done(&r);
    runs_end(w);
}

#define LINE(n) "{\"n\":" #n ",\"source\":\"stderr\",\"message\":\"" #n "\"}"

/* More lines have come since the number was published that makes us read. */
static void late_news_of_a_line_hide_no_others(void **state)
{
    struct cli c;
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:k state active");
    plant(LINE(1));
    FOLLOW(&c, "-n", "9");
    await_output(&c, " stderr 1\n");
    plant(LINE(2));
    plant(LINE(3));
    plant(LINE(4));
    redis_do(runs_redis, "PUBLISH " LOG " 2");
    await_output(&c, " stderr 4\n");
    redis_do(runs_redis, "HSET belt:{q}:job:k state done log_lines 4");
    redis_do(runs_redis, "PUBLISH belt:{q}:job:k done");
    finish(&c, 0, "1 2 3 4 ");
}

static bool has_looked(void *arg)
{
    (void)arg;
    return runs_info("commandstats", "cmdstat_lrange:calls=") > 0;
}

/* What comes after a first look at nothing is not cut to the last lines. */
static void no_line_that_comes_later_is_left_out(void **state)
{
    struct cli c;
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:k state active");
    FOLLOW(&c, "-n", "1");
    assert_true(wait_until(has_looked, NULL, RUN_MS));
    plant(LINE(1));
    plant(LINE(2));
    redis_do(runs_redis, "PUBLISH " LOG " 2");
    await_output(&c, " stderr 2\n");
    redis_do(runs_redis, "HSET belt:{q}:job:k state done log_lines 2");
    redis_do(runs_redis, "PUBLISH belt:{q}:job:k done");
    finish(&c, 0, "1 2 ");
}

static void who_may_not_subscribe_looks_every_second(void **state)
{
    struct cli c;
    (void)state;
    push_kept();
    redis_do(runs_redis, "ACL SETUSER default resetchannels");
    cli_start(&c, runs_redis, -1,
              (const char *const[]){"logs", "q/k", "-f", NULL});
    struct worker *w = worker_of("echo one >&2");
    finish(&c, 0, "one ");
    redis_do(runs_redis, "ACL SETUSER default allchannels");
    runs_end(w);
}

static void lines_that_are_gone_are_counted(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:k state done log_lines 9");
    plant("{\"n\":3,\"at\":1,\"source\":\"stderr\",\"message\":\"x\"}");
    plant("no line");
    plant("{\"n\":9,\"at\":1,\"source\":\"stderr\",\"message\":\"y\"}");
    EXPECT(runs_redis, NULL, 0, " stderr x\n",
           "belt logs: 2 lines are not there any more\n"
           "belt logs: 5 lines are not there any more\n",
           "logs", "q/k");
    EXPECT(runs_redis, NULL, 0, " stderr y\n", "5 lines", "logs", "q/k", "-f");
    struct cli_result r = CLI(runs_redis, NULL, "logs", "q/k", "-n", "1");
    assert_string_equal(r.err, "");
    cli_result_done(&r);
}

static void pieces_are_put_together_and_bytes_are_safe(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:k state done log_lines 5");
    plant("{\"n\":1,\"attempt\":1,\"source\":\"stderr\",\"message\":\"be\","
          "\"more\":true}");
    plant("{\"n\":2,\"attempt\":1,\"source\":\"stderr\",\"message\":\"gin\"}");
    plant("{\"n\":3,\"attempt\":1,\"source\":\"stderr\",\"raw\":\"AP8b\"}");
    plant("{\"n\":4,\"attempt\":1,\"source\":\"stderr\",\"message\":\"o\","
          "\"more\":true}");
    plant("{\"n\":5,\"attempt\":1,\"source\":\"log\",\"level\":\"warn\","
          "\"message\":\"w\"}");
    EXPECT(runs_redis, NULL, 0, " stderr begin\n", "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 0, " stderr \\x00\\xff\\x1b\n", "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 0, " stderr o\n", "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 0, " warn   w\n", "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 0,
           "{\"n\":3,\"at\":0,\"attempt\":1,\"source\":\"stderr\",\"level\":"
           "\"\",\"message\":null,\"raw\":\"AP8b\",\"more\":false}\n",
           "", "logs", "q/k", "-o", "ndjson");
}

static void a_job_that_is_not_kept_is_said_so(void **state)
{
    (void)state;
    EXPECT(runs_redis, NULL, 1, "", "belt logs: q/k: not kept: ", "logs",
           "q/k");
    EXPECT(runs_redis, NULL, 1, "", "belt logs: q/k: not kept: ", "logs", "q/k",
           "-f");
    EXPECT(runs_redis, NULL, 1, "", "k: in no queue", "logs", "k");
    EXPECT(runs_redis, NULL, 64, "", "logs", "logs", "not/an/id");
    redis_do(runs_redis, "HSET belt:{q}:job:k state ready");
    EXPECT(runs_redis, NULL, 0, "", "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 124, "", "timed out", "logs", "q/k", "-f",
           "--timeout", "50ms");
}

static void a_deleted_job_takes_its_log_along(void **state)
{
    (void)state;
    struct worker *w = worker_of("echo one >&2; exit 65");
    push_kept();
    runs_await_stat("dead", 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS " LOG), 1);
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "delete", "q/k");
    assert_int_equal(redis_int(runs_redis, "EXISTS " LOG), 0);
    runs_end(w);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:k state done log_lines 1");
    plant("{\"n\":1,\"source\":\"stderr\",\"message\":\"x\"}");
    cli_set_stdout("/dev/full");
    EXPECT(runs_redis, NULL, 74, NULL, "", "logs", "q/k");
    EXPECT(runs_redis, NULL, 74, NULL, "", "logs", "q/k", "-f");
    cli_set_stdout(NULL);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(it_shows_what_is_there),
        CLAIM(it_follows_from_before_the_start_to_the_end),
        CLAIM(it_follows_from_the_middle),
        CLAIM(it_follows_through_attempts),
        CLAIM(a_lost_connection_loses_and_doubles_no_line),
        CLAIM(a_flood_is_told_in_order_and_what_is_missing_is_counted),
        CLAIM(late_news_of_a_line_hide_no_others),
        CLAIM(no_line_that_comes_later_is_left_out),
        CLAIM(who_may_not_subscribe_looks_every_second),
        CLAIM(lines_that_are_gone_are_counted),
        CLAIM(pieces_are_put_together_and_bytes_are_safe),
        CLAIM(a_job_that_is_not_kept_is_said_so),
        CLAIM(a_deleted_job_takes_its_log_along),
        CLAIM(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
