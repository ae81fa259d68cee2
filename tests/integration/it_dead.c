/*
 * Claims about the commands on jobs that are dead or wait.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "tests/integration/cli_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

static struct redis *server;

static int setup(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    return 0;
}

/* ` stands for a double quote. */
static char *quoted(const char *text)
{
    char *q = strdup(text);

    for (char *p = q; (p = strchr(p, '`')) != NULL;)
        *p = '"';
    return q;
}

static void add(const char *set, long long score, const char *envelope)
{
    char *e = quoted(envelope);

    redis_do(server, "ZADD belt:{q}:%s %lld %s", set, score, e);
    if (strcmp(set, "dead") == 0)
        redis_do(server, "HINCRBY belt:{q}:stats dead_bytes %lld",
                 (long long)strlen(e));
    free(e);
}

static void expect_str(const char *wanted, const char *command)
{
    char *w = quoted(wanted), got[4096];

    (void)redis_str(server, got, sizeof(got), command);
    assert_string_equal(got, w);
    free(w);
}

static void expect_scheduled(const char *queue, const char *wanted)
{
    char *w = quoted(wanted), got[64];

    (void)redis_str(server, got, sizeof(got), "ZSCORE belt:{%s}:scheduled %s",
                    queue, w);
    assert_string_equal(got, "99999999999999");
    free(w);
}

static void expect_bytes_right(void)
{
    long long sum = 0;
    redisReply *all = redis_cmd(server, "ZRANGE belt:{q}:dead 0 -1");

    for (size_t i = 0; i < all->elements; i++)
        sum += (long long)all->element[i]->len;
    freeReplyObject(all);
    assert_int_equal(redis_int(server, "HINCRBY belt:{q}:stats dead_bytes 0"),
                     sum);
}

/* Three dead jobs: a mail, one more, a sum. */
static void three_dead(void)
{
    add("dead", 1000,
        "{`recovered`:[7],`id`:`m1`,`type`:`mail.a`,`attempt`:20,`crashes`:1,"
        "`put_offs`:2,`put_off_since`:5,`payload`:12345678901234567890,"
        "`error`:{`class`:`exit`,`message`:`no route`,`at`:1000},"
        "`failures`:[{`class`:`exit`}],`snoozes`:2}");
    add("dead", 2000,
        "{`id`:`m2`,`type`:`mail.b`,`error`:{`class`:`signal`,"
        "`message`:`KILL`,`at`:2000}}");
    add("dead", 3000, "{`id`:`s1`,`type`:`sum`,`expires_at`:5}");
}

static void requeue_begins_anew_and_keeps_the_history(void **state)
{
    (void)state;
    three_dead();
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "requeue", "q/m1");
    expect_str("{`id`:`m1`,`type`:`mail.a`,`payload`:12345678901234567890,"
               "`failures`:[{`class`:`exit`}],`snoozes`:2}",
               "LINDEX belt:{q} 0");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 2);
    expect_bytes_right();
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "dead", "requeue", "q/s1");
    expect_str("{`id`:`s1`,`type`:`sum`}", "LINDEX belt:{q} 1");
}

static void filters_say_which(void **state)
{
    (void)state;
    three_dead();
    EXPECT(server, NULL, 0, "0 requeued\n", NULL, "requeue", "q", "--type",
           "nix*");
    EXPECT(server, NULL, 0, "0 requeued\n", NULL, "requeue", "q", "--error",
           "KILL");
    EXPECT(server, NULL, 0, "0 requeued\n", NULL, "requeue", "q", "--since",
           "1h");
    EXPECT(server, NULL, 0, "1 deleted\n", NULL, "delete", "q", "--until",
           "1970-01-01T00:00:01Z");
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "requeue", "q", "--type",
           "mail.*", "--error", "signal: *");
    EXPECT(server, NULL, 0, "1 deleted\n", NULL, "delete", "q", "--all");
    assert_int_equal(redis_int(server, "EXISTS belt:{q}:dead"), 0);
    assert_int_equal(redis_int(server, "HINCRBY belt:{q}:stats removed 0"), 2);
    expect_bytes_right();
}

static void what_is_not_said_is_not_done(void **state)
{
    (void)state;
    three_dead();
    EXPECT(server, NULL, 64, "", "which jobs?", "requeue", "q");
    EXPECT(server, NULL, 64, "", "which jobs?", "dead", "delete", "q");
    EXPECT(server, NULL, 64, "", "filters and --all", "delete", "q/m1",
           "--all");
    EXPECT(server, NULL, 64, "", "either queues or", "delete", "q/m1", "q");
    EXPECT(server, NULL, 64, "", "not dead, retry", "delete", "q", "--all",
           "--state", "ready");
    EXPECT(server, NULL, 64, "", "neither a span", "delete", "q", "--since",
           "yesterday");
    EXPECT(server, NULL, 64, "", "--rate", "delete", "q", "--all", "--rate",
           "0/s");
    EXPECT(server, NULL, 64, "", "--to", "move", "q", "--all");
    EXPECT(server, NULL, 64, "", "where they are", "move", "q", "--all", "--to",
           "q");
    EXPECT(server, NULL, 0, "mail.a", "2 would be deleted", "delete", "q",
           "--type", "mail*", "--dry-run");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 3);
    assert_int_equal(redis_int(server, "EXISTS belt:{q}"), 0);
}

static void ids_come_from_arguments_or_stdin(void **state)
{
    (void)state;
    three_dead();
    EXPECT(server, "q/m2\n\nq/m1\nq/m1\nq/none\nbad line\n", 65,
           "2 requeued, 1 not found\n", "line 6: not QUEUE/ID", "requeue", "-");
    EXPECT(server, NULL, 1, "0 requeued, 1 not found\n", "q/m1: neither dead",
           "requeue", "q/m1");
    EXPECT(server, NULL, 1, "0 requeued, 1 not found\n", "q/s1: not in retry",
           "requeue", "q/s1", "--state", "retry");
    EXPECT(server, NULL, 0, "\"requeued\":1,\"left\":0,\"missing\":0", NULL,
           "requeue", "q/s1", "-o", "ndjson");
    expect_bytes_right();
}

static void a_lock_is_taken_again_or_the_job_stays(void **state)
{
    (void)state;
    add("dead", 1, "{`id`:`u1`,`type`:`x`,`unique`:`k`,`keep`:1000}");
    add("dead", 2, "{`id`:`u2`,`type`:`x`,`unique`:{`key`:`k`}}");
    add("dead", 3, "{`id`:`u3`,`type`:`x`}");
    redis_do(server, "HSET belt:{q}:job:u1 state dead error x");
    EXPECT(server, NULL, 1, "2 requeued, 1 left\n",
           "q/u2: u1 holds its unique key", "requeue", "q", "--all");
    expect_str("u1", "GET belt:{q}:unique:k");
    expect_str("ready", "HGET belt:{q}:job:u1 state");
    expect_str("(nil)", "HGET belt:{q}:job:u1 error");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 1);
    redis_do(server, "DEL belt:{q}:unique:k");
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "requeue", "q", "--all");
    expect_str("u2", "GET belt:{q}:unique:k");
    expect_bytes_right();
}

static void delete_leaves_nothing_behind(void **state)
{
    (void)state;
    add("retry", 99999999999999,
        "{`id`:`u1`,`type`:`x`,`unique`:`k`,`keep`:1000}");
    redis_do(server, "SET belt:{q}:unique:k u1");
    redis_do(server, "HSET belt:{q}:job:u1 state retry");
    EXPECT(server, NULL, 0, "1 deleted\n", NULL, "delete", "q/u1");
    assert_int_equal(redis_int(server, "EXISTS belt:{q}:unique:k "
                                       "belt:{q}:job:u1 belt:{q}:retry"),
                     0);
}

/* A lock for a time is of the push, whatever becomes of the job. */
static void a_lock_for_a_time_stays(void **state)
{
    (void)state;
    add("dead", 1,
        "{`id`:`a`,`type`:`x`,`unique`:{`key`:`k`,`until`:`time`,`ttl`:9000}}");
    redis_do(server, "SET belt:{q}:unique:k a PX 9000");
    EXPECT(server, NULL, 0, "1 deleted\n", NULL, "delete", "q", "--all");
    expect_str("a", "GET belt:{q}:unique:k");
}

static void delete_marks_what_may_run(void **state)
{
    (void)state;
    EXPECT(server, NULL, 0, "0 deleted\n", "q/run: neither dead", "delete",
           "q/run");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:cancelled"), 1);
    EXPECT(server, NULL, 1, "0 deleted, 1 not found\n", "q/other: not in dead",
           "dead", "delete", "q/other");
    EXPECT(server, NULL, 1, "", "0 would be deleted", "delete", "q/other",
           "--dry-run");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:cancelled"), 1);
}

static void what_waits_goes_as_it_is(void **state)
{
    (void)state;
    add("retry", 99999999999999,
        "{`id`:`r1`,`type`:`x`,`attempt`:3,`unique`:`k`,"
        "`error`:{`class`:`exit`,`at`:5}}");
    add("scheduled", 99999999999999, "{`id`:`w1`,`type`:`x`}");
    redis_do(server, "SET belt:{q}:unique:k other");
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "requeue", "q", "--state",
           "retry", "--all");
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "requeue", "q/w1");
    expect_str("{`id`:`r1`,`type`:`x`,`attempt`:3,`unique`:`k`,"
               "`error`:{`class`:`exit`,`at`:5}}",
               "LINDEX belt:{q} 0");
    expect_str("other", "GET belt:{q}:unique:k");
    /* One that fails again meanwhile is not taken again. */
    char late[256];
    (void)snprintf(late, sizeof(late),
                   "{`id`:`r2`,`type`:`x`,`error`:{`at`:%lld}}",
                   (long long)clock_wall_ms() + 60000);
    add("retry", 99999999999999, late);
    EXPECT(server, NULL, 0, "0 requeued\n", NULL, "requeue", "q", "--state",
           "retry", "--all");
}

static void bytes_of_no_envelope_go_back_when_asked(void **state)
{
    (void)state;
    add("dead", 1, "{`id`:`i1`,`type`:`belt.invalid`,`raw`:`bm9wZSE=`}");
    add("dead", 2,
        "{`id`:`i2`,`type`:`belt.invalid`,`raw`:`bm9wZSE=`,`raw_bytes`:99}");
    add("dead", 3, "no envelope at all");
    EXPECT(server, NULL, 1, "0 requeued, 3 left\n", "--raw puts its bytes back",
           "requeue", "q", "--all");
    EXPECT(server, NULL, 1, "1 requeued, 2 left\n",
           "only the first bytes of 99", "requeue", "q", "--all", "--raw");
    expect_str("nope!", "LINDEX belt:{q} 0");
    EXPECT(server, NULL, 0, "2 deleted\n", NULL, "delete", "q", "--all");
    expect_bytes_right();
}

static void a_job_without_an_id_gets_one(void **state)
{
    char got[256];
    (void)state;
    add("dead", 1, "{`type`:`x`,`attempt`:9}");
    EXPECT(server, NULL, 0, "1 requeued\n", NULL, "requeue", "q", "--all");
    (void)redis_str(server, got, sizeof(got), "LINDEX belt:{q} 0");
    assert_memory_equal(got, "{\"id\":\"", 7);
    assert_null(strstr(got, "attempt"));
}

static void move_takes_them_there(void **state)
{
    (void)state;
    add("dead", 1000, "{`id`:`a`,`type`:`x`,`attempt`:9,`in`:5,`unique`:`k`}");
    add("dead", 2000, "{`id`:`b`,`type`:`x`,`unique`:`free`}");
    add("scheduled", 99999999999999, "{`id`:`c`,`type`:`x`,`in`:7}");
    redis_do(server, "SET belt:{p}:unique:k other");
    redis_do(server, "SET belt:{q}:unique:free b");
    EXPECT(server, NULL, 1, "1 moved, 1 left\n",
           "q/a: p/other holds its unique key", "move", "q", "--all", "--to",
           "p");
    expect_str("{`id`:`b`,`type`:`x`,`unique`:`free`}", "LINDEX belt:{p} 0");
    assert_int_equal(redis_int(server, "EXISTS belt:{q}:unique:free "
                                       "belt:{q}:outbox"),
                     0);
    expect_str("b", "GET belt:{p}:unique:free");
    assert_int_equal(redis_int(server, "SISMEMBER belt:queues p"), 1);
    EXPECT(server, NULL, 0, "1 moved\n", NULL, "move", "q/c", "--to", "p");
    expect_scheduled("p", "{`id`:`c`,`type`:`x`,`at`:99999999999999}");
    assert_int_equal(redis_int(server, "HINCRBY belt:{q}:stats sent 0"), 2);
    expect_bytes_right();
}

/* What comes the same way with the same bytes is no double of itself. */
static void move_to_and_fro_loses_nothing(void **state)
{
    (void)state;
    add("scheduled", 99999999999999, "{`id`:`c`,`type`:`x`}");
    for (int i = 0; i < 3; i++) {
        EXPECT(server, NULL, 0, "1 moved\n", NULL, "move", "q/c", "--to", "p");
        EXPECT(server, NULL, 0, "1 moved\n", NULL, "move", "p/c", "--to", "q");
    }
    expect_scheduled("q", "{`id`:`c`,`type`:`x`,`at`:99999999999999}");
}

/* Nobody need bring it on at once. */
static void what_is_refused_there_waits_in_the_outbox(void **state)
{
    (void)state;
    add("dead", 1, "{`id`:`a`,`type`:`x`}");
    redis_do(server, "HSET belt:{p}:config format 2");
    EXPECT(server, NULL, 0, "1 moved\n", NULL, "move", "q/a", "--to", "p");
    expect_str("{`id`:`a`,`type`:`x`,`queue`:`p`}", "LINDEX belt:{q}:outbox 0");
}

/* ---- walking ---- */

enum { CROWD = 600 };

/* All of them died in the same moment. */
static void a_crowd(void)
{
    redis_do(server, "EVAL %s 0",
             "for i = 1, 600 do redis.call('ZADD', 'belt:{q}:dead', 5, "
             "string.format('{\"id\":\"%04d\",\"type\":\"%s\"}', i, "
             "i % 3 == 0 and 'x' or 'y')) end");
}

static void many_of_one_moment_are_all_found(void **state)
{
    (void)state;
    a_crowd();
    struct cli_result r =
        CLI(server, NULL, "dead", "list", "q", "-n", "1000", "-o", "tsv");
    int lines = 0;
    for (const char *p = r.out; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 1 + CROWD); /* those of a list come downwards */
    assert_true(strstr(r.out, "0600") < strstr(r.out, "0001"));
    cli_result_done(&r);
    EXPECT(server, NULL, 0, "200 requeued\n", NULL, "requeue", "q", "--type",
           "x");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), CROWD - 200);
    EXPECT(server, NULL, 0, "50 deleted\n", NULL, "delete", "q", "--type", "y",
           "--limit", "50");
    EXPECT(server, NULL, 0, "350 deleted\n", NULL, "delete", "q", "--all");
}

static bool has_begun(void *arg)
{
    (void)arg;
    return redis_int(server, "LLEN belt:{q}") > 60;
}

/* Others take members out in front of the place where the walk is. */
static void removing_meanwhile_skips_none(void **state)
{
    struct cli c;
    struct cli_result r;
    const char *args[] = {"requeue", "q",      "--type", "x",
                          "--rate",  "1000/s", NULL};
    (void)state;
    a_crowd();
    cli_start(&c, server, -1, args);
    assert_true(wait_until(has_begun, NULL, 10000));
    redis_do(server, "EVAL %s 0",
             "for i = 1, 600 do if i % 3 ~= 0 then "
             "redis.call('ZREM', 'belt:{q}:dead', "
             "string.format('{\"id\":\"%04d\",\"type\":\"y\"}', i)) end end");
    cli_finish(&c, &r);
    assert_string_equal(r.out, "200 requeued\n");
    cli_result_done(&r);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 200);
    assert_int_equal(redis_int(server, "EXISTS belt:{q}:dead"), 0);
}

static void two_at_once_requeue_each_job_once(void **state)
{
    struct cli c[2];
    struct cli_result r[2];
    long long sum = 0;
    const char *args[] = {"requeue", "q", "--all", NULL};
    (void)state;
    a_crowd();
    for (int i = 0; i < 2; i++)
        cli_start(&c[i], server, -1, args);
    for (int i = 0; i < 2; i++) {
        cli_finish(&c[i], &r[i]);
        assert_int_equal(r[i].status, 0);
        sum += strtoll(r[i].out, NULL, 10);
        cli_result_done(&r[i]);
    }
    assert_int_equal(sum, CROWD);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), CROWD);
    assert_int_equal(redis_int(server, "EXISTS belt:{q}:dead"), 0);
}

/* They come in front of the last ones, and do not take their places. */
static void what_is_imported_meanwhile_hides_none(void **state)
{
    struct cli c;
    struct cli_result r;
    const char *args[] = {"requeue", "q",      "--type", "x",
                          "--rate",  "2000/s", NULL};
    (void)state;
    a_crowd();
    redis_do(server, "ZADD belt:{q}:dead 9 {\"id\":\"last\",\"type\":\"x\"}");
    cli_start(&c, server, -1, args);
    assert_true(wait_until(has_begun, NULL, 10000));
    redis_do(server, "EVAL %s 0",
             "for i = 1, 700 do redis.call('ZADD', 'belt:{q}:dead', 7, "
             "string.format('{\"id\":\"n%04d\",\"type\":\"y\"}', i)) end");
    cli_finish(&c, &r);
    assert_string_equal(r.out, "201 requeued\n");
    cli_result_done(&r);
}

static void what_dies_meanwhile_is_left(void **state)
{
    struct cli c;
    struct cli_result r;
    const char *args[] = {"requeue", "q", "--all", "--rate", "2000/s", NULL};
    (void)state;
    a_crowd();
    cli_start(&c, server, -1, args);
    assert_true(wait_until(has_begun, NULL, 10000));
    redis_do(server, "ZADD belt:{q}:dead 6 {\"id\":\"new\",\"type\":\"x\"}");
    cli_finish(&c, &r);
    assert_string_equal(r.out, "600 requeued\n");
    cli_result_done(&r);
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

static int begin(void **state)
{
    (void)state;
    server = redis_start(NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    redis_stop(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requeue_begins_anew_and_keeps_the_history),
        TEST(filters_say_which),
        TEST(what_is_not_said_is_not_done),
        TEST(ids_come_from_arguments_or_stdin),
        TEST(a_lock_is_taken_again_or_the_job_stays),
        TEST(delete_leaves_nothing_behind),
        TEST(a_lock_for_a_time_stays),
        TEST(delete_marks_what_may_run),
        TEST(what_waits_goes_as_it_is),
        TEST(bytes_of_no_envelope_go_back_when_asked),
        TEST(a_job_without_an_id_gets_one),
        TEST(move_takes_them_there),
        TEST(move_to_and_fro_loses_nothing),
        TEST(what_is_refused_there_waits_in_the_outbox),
        TEST(many_of_one_moment_are_all_found),
        TEST(removing_meanwhile_skips_none),
        TEST(two_at_once_requeue_each_job_once),
        TEST(what_is_imported_meanwhile_hides_none),
        TEST(what_dies_meanwhile_is_left),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
