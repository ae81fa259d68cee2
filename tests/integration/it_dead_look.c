/*
 * Claims about looking at dead jobs, and about taking them away and back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/cli_fixture.h"
#include "tests/unit/unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static struct redis *server;

static int setup(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    return 0;
}

/* `i` in the text is the number; every third one is a sum. */
static void fill(int n)
{
    redis_do(server, "EVAL %s 0 %d",
             "for i = 1, tonumber(ARGV[1]) do redis.call('ZADD', "
             "'belt:{q}:dead', i * 1000, string.format('{\"id\":\"j%d\","
             "\"type\":\"%s\",\"attempt\":3,\"error\":{\"class\":\"exit\","
             "\"message\":\"host %d: can\\'t open \\'f%d\\'\",\"at\":%d}}', i, "
             "i % 3 == 0 and 'sum' or 'mail', i, i, i * 1000)) end",
             n);
}

static void list_shows_the_newest_first(void **state)
{
    (void)state;
    fill(40);
    struct cli_result r = CLI(server, NULL, "dead", "list", "q", "-n", "2");
    assert_int_equal(r.status, 0);
    assert_memory_equal(r.out, "ID   TYPE", 9);
    assert_non_null(strstr(r.out, "\nj40  mail        3"));
    assert_non_null(strstr(r.out, "\nj39  sum         3"));
    assert_null(strstr(r.out, "j38"));
    cli_result_done(&r);
    EXPECT(server, NULL, 0, "\"job\":{\"id\":\"j2\",", NULL, "dead", "list",
           "q", "--error", "*host 2:*", "-o", "ndjson");
    r = CLI(server, NULL, "dead", "list", "q", "-n", "1000", "-o", "tsv");
    assert_true(strstr(r.out, "j40") < strstr(r.out, "j1\t"));
    cli_result_done(&r);
}

static void show_tells_all(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:{q}:dead 3000 %s",
             "{\"recovered\":[5],\"id\":\"a\",\"type\":\"t\",\"attempt\":2,"
             "\"payload\":{\"n\":1},\"snoozes\":4,\"crashes\":1,"
             "\"error\":{\"class\":\"exit\",\"message\":\"bad \\u001b[2J\","
             "\"at\":3000,\"worker\":\"h-1-x\",\"stderr\":\"one\\ntwo\\n\"},"
             "\"failures\":[{\"class\":\"exit\",\"message\":\"twice\","
             "\"at\":3000},{\"class\":\"signal\",\"message\":\"KILL\","
             "\"at\":2000,\"stderr\":\"tail\"}]}");
    struct cli_result r = CLI(server, NULL, "dead", "show", "q/a");
    assert_int_equal(r.status, 0);
    static const char *const parts[] = {
        "job         q/a\ntype        t\n",
        "died        1970-01-01T00:00:03.000Z (",
        "attempts    2 of 20, 1 by a signal, recovered 1 times, snoozed 4",
        "payload     {\"n\":1}\n",
        "last failure\n  error     exit: bad \\x1b[2J\n",
        "  worker    h-1-x\n    | one\n    | two\n",
        "before that\n  error     signal: KILL\n",
        "    | tail\n"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!strstr(r.out, parts[i]))
            fail_msg("%s is not in %s", parts[i], r.out);
    }
    assert_null(strstr(r.out, "twice")); /* that is the last one */
    cli_result_done(&r);
    EXPECT(server, NULL, 0, "\"at\":3000,\"job\":{\"recovered\":[5]", NULL,
           "dead", "show", "q/a", "-o", "ndjson");
    EXPECT(server, NULL, 1, "", "q/none: not dead", "dead", "show", "q/none");
}

static void show_has_the_bytes_that_were_no_envelope(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:{q}:dead 3000 %s",
             "{\"id\":\"a\",\"type\":\"belt.invalid\",\"error\":{\"class\":"
             "\"invalid\",\"message\":\"byte 0\"},\"raw\":\"bm8KG3llcw==\"}");
    EXPECT(server, NULL, 0, "what it was\n    | no\n    | \\x1byes\n", NULL,
           "dead", "show", "q/a");
}

static void summary_counts_kinds(void **state)
{
    (void)state;
    fill(10);
    redis_do(server, "ZADD belt:{q}:dead 99000 rubbish");
    EXPECT(server, NULL, 0,
           "7\tmail\t1000\t10000\tq/j10\texit: host #: can't open '*'\n"
           "3\tsum\t3000\t9000\tq/j9\texit: host #: can't open '*'\n"
           "1\t(invalid)\t99000\t99000\t\tbyte #: expected an object\n",
           NULL, "dead", "summary", "q", "-o", "tsv");
    EXPECT(server, NULL, 0, "    3  sum", NULL, "dead", "summary", "q",
           "--type", "sum");
}

static void kinds_without_end_are_summed_up(void **state)
{
    (void)state;
    redis_do(server, "EVAL %s 0",
             "for i = 1, 1100 do redis.call('ZADD', 'belt:{q}:dead', i, "
             "'{\"id\":\"j' .. i .. '\",\"type\":\"t' .. i .. '\"}') end");
    EXPECT(server, NULL, 0, "100\t(others)\t1001\t1100\t", NULL, "dead",
           "summary", "q", "-o", "tsv");
}

static void exported_jobs_come_back_as_they_were(void **state)
{
    char was[64], is[64];
    const char *digest =
        "local a = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') "
        "return redis.sha1hex(table.concat(a, '\\n'))";
    (void)state;
    fill(30);
    redis_do(server, "ZADD belt:{q}:dead 5000 %s 5000 %s",
             "{\"id\":\"twin\",\"type\":\"t\",\"error\":{\"at\":5000}}",
             "{\"id\":\"twin\",\"type\":\"t\",\"error\":{\"at\":5000}} \t");
    (void)redis_str(server, was, sizeof(was), "EVAL %s 1 belt:{q}:dead",
                    digest);
    struct cli_result r = CLI(server, NULL, "dead", "export", "q");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "32 jobs"));
    redis_do(server, "DEL belt:{q}:dead");
    EXPECT(server, r.out, 0, "32 imported\n", NULL, "dead", "import", "q");
    EXPECT(server, r.out, 0, "0 imported, 32 were there\n", NULL, "dead",
           "import", "q");
    (void)redis_str(server, is, sizeof(is), "EVAL %s 1 belt:{q}:dead", digest);
    assert_string_equal(is, was);
    assert_int_equal(redis_int(server, "HINCRBY belt:{q}:stats dead_bytes 0"),
                     (long long)strlen(r.out) - 32);
    cli_result_done(&r);
}

static void export_keeps_a_line_a_job(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:{q}:dead 1 %s 2 %s",
             "{\"id\":\"a\",\n\"type\":\"t\"}", "no\nenvelope");
    EXPECT(server, NULL, 0, "{\"id\":\"a\", \"type\":\"t\"}\n{\"id\":\"", NULL,
           "dead", "export", "q");
    EXPECT(server, NULL, 0, "\"raw\":\"bm8KZW52ZWxvcGU=\"}\n", NULL, "dead",
           "export", "q");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 2);
}

static void import_tells_bad_lines_by_number(void **state)
{
    (void)state;
    EXPECT(server,
           "{\"id\":\"a\",\"type\":\"t\"}\n\nnonsense\n{\"id\":\"b\"}\n", 65,
           "1 imported, 2 bad lines\n", "line 3: byte 0", "dead", "import",
           "q");
    EXPECT(server, NULL, 66, "", "/none/there", "dead", "import", "q",
           "/none/there");
    EXPECT(server, "", 64, "", "not the name", "dead", "import", "a b");
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 1);
}

static void jobs_are_filtered_in_every_state(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:{q}:leases 99999999999999 l");
    redis_do(server, "RPUSH belt:{q}:active:l %s",
             "{\"id\":\"a1\",\"type\":\"x.y\",\"created_at\":5000}");
    redis_do(server, "RPUSH belt:{q} %s %s rubbish",
             "{\"id\":\"r1\",\"type\":\"z\",\"created_at\":5000}",
             "{\"id\":\"r2\",\"type\":\"x.z\",\"created_at\":9000}");
    redis_do(server, "ZADD belt:{q}:scheduled 99999999999999 %s",
             "{\"id\":\"s1\",\"type\":\"x.s\",\"created_at\":5000}");
    redis_do(server, "ZADD belt:{q}:retry 99999999999999 %s",
             "{\"id\":\"t1\",\"type\":\"x.t\",\"created_at\":1,"
             "\"error\":{\"class\":\"exit\",\"message\":\"1\",\"at\":5000}}");
    fill(2);
    EXPECT(server, NULL, 0, "QUEUE  STATE      ID  TYPE", NULL, "jobs", "q",
           "--state", "all");
    struct cli_result r = CLI(server, NULL, "jobs", "q", "--state", "all",
                              "--type", "x.*", "-o", "ndjson");
    static const char *const parts[] = {
        "{\"queue\":\"q\",\"state\":\"active\",\"id\":\"a1\"",
        "\"state\":\"ready\",\"id\":\"r2\"",
        "\"state\":\"scheduled\",\"id\":\"s1\"",
        "\"state\":\"retry\",\"id\":\"t1\""};
    const char *at = r.out;
    for (size_t i = 0; i < 4 && at; i++)
        at = strstr(at, parts[i]);
    assert_non_null(at);
    assert_null(strstr(r.out, "j1"));
    cli_result_done(&r);
    r = CLI(server, NULL, "jobs", "q", "--state", "all", "--since",
            "1970-01-01T00:00:04Z", "--until", "1970-01-01T00:00:06Z", "-o",
            "tsv");
    for (const char *p = "arst"; *p != '\0'; p++) {
        char id[] = {'\t', *p, '1', '\t', '\0'};
        assert_non_null(strstr(r.out, id));
    }
    assert_null(strstr(r.out, "r2"));
    cli_result_done(&r);
    EXPECT(server, NULL, 0, "t1", NULL, "jobs", "q", "--state", "retry",
           "--error", "exit: ?");
}

static void jobs_says_where_it_stopped_looking(void **state)
{
    (void)state;
    redis_do(server, "EVAL %s 0",
             "for i = 1, 1010 do local t = {} for j = 1, 100 do t[j] = "
             "'{\"id\":\"a\",\"type\":\"x\"}' end "
             "redis.call('RPUSH', 'belt:{q}', unpack(t)) end");
    EXPECT(server, NULL, 0, "", "ready: looked at the first 100", "jobs", "q",
           "--type", "y");
    redis_do(server, "RPUSH belt:{q} %s", "{\"id\":\"last\",\"type\":\"y\"}");
    redis_do(server, "LTRIM belt:{q} 5000 -1");
    EXPECT(server, NULL, 0, "last", NULL, "jobs", "q", "--type", "y");
}

/* Twelve megabytes are looked through with the memory of a page of them. */
static void memory_does_not_grow_with_the_set(void **state)
{
    (void)state;
    redis_do(server, "EVAL %s 0",
             "local pad = string.rep('x', 4000) for i = 1, 3000 do "
             "redis.call('ZADD', 'belt:{q}:dead', i, '{\"id\":\"j' .. i .. "
             "'\",\"type\":\"t\",\"payload\":\"' .. pad .. '\"}') end");
    struct cli_result few = CLI(server, NULL, "dead", "summary", "q", "--until",
                                "1970-01-01T00:00:00Z");
    struct cli_result all = CLI(server, NULL, "dead", "summary", "q");
    assert_int_equal(few.status, 0);
    assert_int_equal(all.status, 0);
    assert_non_null(strstr(all.out, " 3000  t"));
    if (!SANITIZED) /* which keep what was freed */
        assert_in_range(all.rss_kb, 1, few.rss_kb + 4096);
    cli_result_done(&few);
    cli_result_done(&all);
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
        TEST(list_shows_the_newest_first),
        TEST(show_tells_all),
        TEST(show_has_the_bytes_that_were_no_envelope),
        TEST(summary_counts_kinds),
        TEST(kinds_without_end_are_summed_up),
        TEST(exported_jobs_come_back_as_they_were),
        TEST(export_keeps_a_line_a_job),
        TEST(import_tells_bad_lines_by_number),
        TEST(jobs_are_filtered_in_every_state),
        TEST(jobs_says_where_it_stopped_looking),
        TEST(memory_does_not_grow_with_the_set),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
