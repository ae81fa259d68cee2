/*
 * Claims about belt queues set: what lies in config, what is shown, and that
 * a push heeds it.
 */
#include <stdio.h>
#include <string.h>

#include "tests/integration/cli_fixture.h"
#include "tests/unit/unit.h"

#define CONFIG "belt:{q}:config"
#define SET(status, out, err, ...)                                             \
    EXPECT(server, NULL, status, out, err, "queues", "set", __VA_ARGS__)

static struct redis *server;

static int start(void **state)
{
    (void)state;
    server = redis_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_stop(server);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    return 0;
}

static void expect_field(const char *name, const char *value)
{
    redisReply *r = redis_cmd(server, "HGET " CONFIG " %s", name);
    assert_string_equal(r->type == REDIS_REPLY_NIL ? "(nil)" : r->str, value);
    freeReplyObject(r);
}

static void bounds_are_set_and_shown(void **state)
{
    (void)state;
    SET(0,
        "bound\tvalue\tset\n"
        "max_length\t5\tyes\n"
        "max_bytes\t1048576\tyes\n"
        "dead_max\t7\tyes\n"
        "dead_max_age\t172800000\tyes\n"
        "dead_max_bytes\t2048\tyes\n",
        "", "q", "--max-length", "5", "--max-bytes", "1m", "--dead-max", "7",
        "--dead-max-age", "2d", "--dead-max-bytes", "2k", "-o", "tsv");
    expect_field("max_length", "5");
    expect_field("max_bytes", "1048576");
    expect_field("dead_max", "7");
    expect_field("dead_max_age", "172800000");
    expect_field("dead_max_bytes", "2048");
    expect_field("version", "1");
    assert_int_equal(redis_int(server, "SISMEMBER belt:queues q"), 1);
}

static void none_takes_a_bound_away(void **state)
{
    (void)state;
    redis_do(server, "HSET " CONFIG " max_length 5 dead_max 7 version 3");
    SET(0, "max_bytes\t9\tyes\n", "", "q", "--max-length", "none", "--dead-max",
        "none", "--max-bytes", "9", "-o", "tsv");
    expect_field("max_length", "(nil)");
    expect_field("dead_max", "(nil)");
    expect_field("max_bytes", "9");
    expect_field("version", "4");
}

static void without_flags_nothing_is_written(void **state)
{
    (void)state;
    SET(0,
        "max_length\t\tno\n"
        "max_bytes\t\tno\n"
        "dead_max\t100000\tno\n"
        "dead_max_age\t7776000000\tno\n"
        "dead_max_bytes\t268435456\tno\n",
        "", "q", "-o", "tsv");
    SET(0, "none", "", "q");
    assert_int_equal(redis_int(server, "DBSIZE"), 0);
}

static void a_planted_bound_counts_as_absent(void **state)
{
    (void)state;
    redis_do(server, "HSET " CONFIG " max_length many version x");
    SET(0, "max_length\t\tno\n", "", "q", "-o", "tsv");
    SET(0, "max_length\t4\tyes\n", "", "q", "--max-length", "4", "-o", "tsv");
}

static void a_push_heeds_them(void **state)
{
    (void)state;
    SET(0, NULL, "", "q", "--max-length", "1");
    EXPECT(server, NULL, 0, NULL, "", "push", "-q", "q", "t");
    EXPECT(server, NULL, 75, NULL, "q is full", "push", "-q", "q", "t");
    SET(0, NULL, "", "q", "--max-length", "none");
    EXPECT(server, NULL, 0, NULL, "", "push", "-q", "q", "t");
}

static void queues_shows_what_may_be_ready(void **state)
{
    (void)state;
    redis_do(server, "RPUSH belt:{q} a b");
    EXPECT(server, NULL, 0, "\"max_length\":null", "", "queues", "q", "--json");
    SET(0, NULL, "", "q", "--max-length", "7");
    EXPECT(server, NULL, 0, " 2/7 ", "", "queues", "q");
    EXPECT(server, NULL, 0, "\"ready\":2,", "", "queues", "q", "--json");
    EXPECT(server, NULL, 0, "\"max_length\":7", "", "queues", "q", "--json");
}

static void wrong_bounds_are_named(void **state)
{
    (void)state;
    SET(64, "", "--max-length: ", "q", "--max-length", "many");
    SET(64, "", "--max-length: ", "q", "--max-length", "-1");
    SET(64, "", "--max-bytes: 0: too small", "q", "--max-bytes", "0");
    SET(64, "", "--dead-max-age: ", "q", "--dead-max-age", "5");
    SET(64, "", "--dead-max: ", "q", "--dead-max", "0");
    SET(64, "", "a b: not the name of a queue", "a b");
    SET(64, "", "an argument is missing", "--max-length", "1");
    redis_do(server, "SET " CONFIG " planted");
    SET(70, "", "WRONGTYPE", "q", "--max-length", "1");
    assert_int_equal(redis_int(server, "SISMEMBER belt:queues q"), 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bounds_are_set_and_shown),
        TEST(none_takes_a_bound_away),
        TEST(without_flags_nothing_is_written),
        TEST(a_planted_bound_counts_as_absent),
        TEST(a_push_heeds_them),
        TEST(queues_shows_what_may_be_ready),
        TEST(wrong_bounds_are_named),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
