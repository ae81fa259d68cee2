/*
 * Claims about what the flags of belt push, and the members of lines, say
 * about the life of a job: what then lies in Redis, what is printed, and how
 * belt ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define KEY(rest) "belt:{q}" rest

enum { SECOND = 1000, CLOSE_MS = 60 * 1000 };

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

#define PUSH(status, out, err, ...)                                            \
    EXPECT(server, NULL, status, out, err, "push", "-q", "q", __VA_ARGS__)
#define LINES(lines, status, out, err, ...)                                    \
    EXPECT(server, lines, status, out, err, "push", "-q", "q", "--ndjson",     \
           __VA_ARGS__)

/* The only job of the list or set, owned. */
static char *only_job(const char *key)
{
    redisReply *all = redis_cmd(
        server, strcmp(key, KEY("")) == 0 ? "LRANGE %s 0 -1" : "ZRANGE %s 0 -1",
        key);
    assert_int_equal(all->elements, 1);
    char *text = mem_strdup(all->element[0]->str);
    freeReplyObject(all);
    return text;
}

/* Fails unless the only job there has this in its text. */
static void expect_in(const char *key, const char *part)
{
    char *job = only_job(key);
    if (strstr(job, part) == NULL)
        fail_msg("%s is not in %s", part, job);
    free(job);
}

/* The number behind "name": in the only job there. */
static long long number_in(const char *key, const char *name)
{
    char *job = only_job(key), part[64];
    (void)snprintf(part, sizeof(part), "\"%s\":", name);
    const char *p = strstr(job, part);
    assert_non_null(p);
    long long n = atoll(p + strlen(part));
    free(job);
    return n;
}

static void expect_close(long long is, long long wanted)
{
    if (llabs(is - wanted) > CLOSE_MS)
        fail_msg("%lld, not about %lld", is, wanted);
}

static long long due(void)
{
    redisReply *r =
        redis_cmd(server, "ZRANGE " KEY(":scheduled") " 0 -1 WITHSCORES");
    assert_int_equal(r->elements, 2);
    long long ms = atoll(r->element[1]->str);
    freeReplyObject(r);
    return ms;
}

static void expect_text(const char *wanted, const char *command)
{
    char text[256];
    assert_string_equal(redis_str(server, text, sizeof(text), command), wanted);
}

static long long length(void)
{
    return redis_int(server, "LLEN " KEY(""));
}

/* Fails unless the jobs that are ready have these ids, of one letter each. */
static void expect_ids(const char *ids)
{
    redisReply *all = redis_cmd(server, "LRANGE " KEY("") " 0 -1");
    assert_int_equal(all->elements, strlen(ids));
    for (size_t i = 0; i < all->elements; i++)
        assert_int_equal(all->element[i]->str[strlen("{\"id\":\"")], ids[i]);
    freeReplyObject(all);
}

/* Fails unless they have the ids from 1 to n. */
static void expect_in_order(int n)
{
    redisReply *all = redis_cmd(server, "LRANGE " KEY("") " 0 -1");
    assert_int_equal(all->elements, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(atoi(all->element[i]->str + strlen("{\"id\":\"")),
                         i + 1);
    freeReplyObject(all);
}

/* ---- when ---- */

static void a_job_waits_for_its_time(void **state)
{
    (void)state;
    PUSH(0, "q/a\n", NULL, "t", "--id", "a", "--in", "10m");
    expect_close(due(), clock_wall_ms() + 600 * SECOND);
    assert_int_equal(number_in(KEY(":scheduled"), "in"), 600 * SECOND);
    assert_int_equal(length(), 0);
    redis_do(server, "FLUSHALL");
    PUSH(0, "q/a\n", NULL, "t", "--id", "a", "--at",
         "2100-03-01T01:00:00+01:00");
    assert_int_equal(due(), 4107542400000);
    assert_int_equal(number_in(KEY(":scheduled"), "at"), 4107542400000);
}

static void what_is_due_already_is_ready(void **state)
{
    (void)state;
    PUSH(0, NULL, NULL, "t", "--at", "2020-01-01T00:00:00Z");
    assert_int_equal(length(), 1);
    assert_int_equal(redis_int(server, "EXISTS " KEY(":scheduled")), 0);
}

static void a_job_expires_after_it_was_due(void **state)
{
    (void)state;
    PUSH(0, NULL, NULL, "t", "--expires", "1h");
    expect_close(number_in(KEY(""), "expires_at"),
                 clock_wall_ms() + 3600 * SECOND);
    redis_do(server, "FLUSHALL");
    PUSH(0, NULL, NULL, "t", "--expires", "2100-01-01T00:00:00Z");
    assert_int_equal(number_in(KEY(""), "expires_at"), 4102444800000);
    redis_do(server, "FLUSHALL");
    PUSH(0, NULL, NULL, "t", "--in", "5h", "--expires", "1h");
    expect_close(number_in(KEY(":scheduled"), "expires_at"),
                 clock_wall_ms() + 6 * 3600 * SECOND);
}

/* ---- backoff, then, meta, keep ---- */

static void every_form_of_backoff_is_written(void **state)
{
    static const char *const forms[][2] = {
        {"default", "\"default\""},
        {"exponential", "\"exponential\""},
        {"exponential:2s", "{\"kind\":\"exponential\",\"base\":2000}"},
        {"exponential:1s:1.5:1h",
         "{\"kind\":\"exponential\",\"base\":1000,\"factor\":1.5,"
         "\"max\":3600000}"},
        {"fixed:30s", "{\"kind\":\"fixed\",\"delay\":30000}"},
        {"10s", "[10000]"},
        {"10s,1m,1h30m", "[10000,60000,5400000]"},
        {"[5,6]", "[5,6]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char *part = mem_printf("\"backoff\":%s,", forms[i][1]);
        redis_do(server, "FLUSHALL");
        PUSH(0, NULL, NULL, "t", "--backoff", forms[i][0]);
        expect_in(KEY(""), part);
        free(part);
    }
}

static void what_follows_is_written_as_it_is(void **state)
{
    (void)state;
    PUSH(0, NULL, NULL, "t", "--then", "{ \"type\" : \"u\" }");
    expect_in(KEY(""), "\"then\":{ \"type\" : \"u\" }");
    redis_do(server, "FLUSHALL");
    PUSH(0, NULL, NULL, "t", "--then", "type=u", "--then",
         "[{\"type\":\"v\"},{\"type\":\"w\"}]", "--then", "[ ]");
    expect_in(KEY(""), "\"then\":[{\"type\":\"u\"},{\"type\":\"v\"},"
                       "{\"type\":\"w\"}]");
    redis_do(server, "FLUSHALL");
    char *arg = mem_printf("@%s/then.json", redis_dir(server));
    FILE *f = fopen(arg + 1, "we");
    assert_non_null(f);
    (void)fputs("{\"type\":\"x\"}\n", f);
    (void)fclose(f);
    PUSH(0, NULL, NULL, "t", "--then", arg);
    expect_in(KEY(""), "\"then\":{\"type\":\"x\"}");
    free(arg);
}

static void meta_is_an_object(void **state)
{
    (void)state;
    PUSH(0, NULL, NULL, "t", "--meta", "traceparent=00-1", "--meta", "n:=5");
    expect_in(KEY(""), "\"meta\":{\"traceparent\":\"00-1\",\"n\":5}");
}

static void the_news_of_a_kept_job_begin_with_the_push(void **state)
{
    (void)state;
    PUSH(0, NULL, NULL, "mail", "--id", "a", "--keep", "1h");
    expect_text("ready", "HGET " KEY(":job:a") " state");
    expect_text("mail", "HGET " KEY(":job:a") " type");
    PUSH(0, NULL, NULL, "mail", "--id", "b", "--keep", "1h", "--in", "1h");
    expect_text("scheduled", "HGET " KEY(":job:b") " state");
}

/* ---- unique ---- */

static void one_job_at_a_time_has_a_key(void **state)
{
    (void)state;
    PUSH(0, "q/a\n", "", "t", "--id", "a", "--unique", "user:42");
    expect_in(KEY(""), "\"unique\":\"user:42\"");
    expect_text("a", "GET " KEY(":unique:user:42"));
    assert_int_equal(redis_int(server, "TTL " KEY(":unique:user:42")), -1);
    PUSH(0, "q/a\n", "user:42 is held by a", "t", "--id", "b", "--unique",
         "user:42");
    PUSH(0, "{\"queue\":\"q\",\"id\":\"a\",\"pushed\":false}\n",
         "user:42 is held by a", "t", "--id", "b", "--unique", "user:42",
         "--json");
    PUSH(1, "", "user:42 is held by a", "t", "--id", "b", "--unique", "user:42",
         "--on-conflict", "error");
    assert_int_equal(length(), 1);
}

static void a_key_can_be_held_for_a_time(void **state)
{
    (void)state;
    PUSH(0, "q/a\n", "", "t", "--id", "a", "--unique", "k:x:90s");
    expect_in(KEY(""), "\"unique\":{\"key\":\"k:x\",\"until\":\"time\","
                       "\"ttl\":90000}");
    assert_in_range(redis_int(server, "PTTL " KEY(":unique:k:x")), 60000,
                    90000);
}

static void a_key_can_be_free_at_the_start(void **state)
{
    (void)state;
    PUSH(0, NULL, "", "t", "--unique", "k", "--until", "started");
    expect_in(KEY(""), "\"unique\":{\"key\":\"k\",\"until\":\"started\"}");
}

/* So it may be done after "outcome unknown". */
static void a_job_with_an_id_and_a_key_comes_once(void **state)
{
    (void)state;
    PUSH(0, "q/a\n", "", "t", "--id", "a", "--unique", "k:1h");
    PUSH(0, "q/a\n", "a has come before", "t", "--id", "a", "--unique", "k:1h");
    assert_int_equal(length(), 1);
}

static void a_later_push_replaces_what_is_not_due(void **state)
{
    (void)state;
    PUSH(0, "q/a\n", "", "t", "--id", "a", "--unique", "k", "--in", "1h",
         "n:=1");
    PUSH(0, "q/a\n", "a has not begun and is this job now", "t", "--unique",
         "k", "--on-conflict", "replace", "--in", "2h", "n:=2");
    expect_in(KEY(":scheduled"), "{\"id\":\"a\",\"type\":\"t\"");
    expect_in(KEY(":scheduled"), "\"payload\":{\"n\":2}");
    expect_close(due(), clock_wall_ms() + 7200 * SECOND);
    PUSH(0, "{\"queue\":\"q\",\"id\":\"a\",\"replaced\":true}\n", NULL, "t",
         "--unique", "k", "--on-conflict", "replace", "--in", "3h", "--json");
    expect_close(due(), clock_wall_ms() + 3 * 3600 * SECOND);
}

static void what_has_begun_is_not_replaced(void **state)
{
    (void)state;
    PUSH(0, "q/a\n", "", "t", "--id", "a", "--unique", "k");
    PUSH(1, "", "k is held by a, which is scheduled no more", "t", "--unique",
         "k", "--on-conflict", "replace", "--in", "2h");
    assert_int_equal(redis_int(server, "EXISTS " KEY(":scheduled")), 0);
}

/* ---- limits ---- */

static void a_full_queue_refuses_a_job(void **state)
{
    (void)state;
    redis_do(server, "HSET " KEY(":config") " max_length 1");
    PUSH(0, NULL, "", "t", "--id", "a");
    PUSH(75, "", "not pushed: q is full: 1 jobs wait", "t");
    PUSH(75, "", "not pushed: q is full: 1 jobs wait", "t", "--keep", "1h");
    expect_in(KEY(""), "\"id\":\"a\"");
}

static char *many_lines(int n)
{
    struct buf b = {0};
    for (int i = 1; i <= n; i++)
        buf_printf(&b, "{\"id\":\"%d\",\"type\":\"t\"}\n", i);
    return buf_take(&b);
}

static void a_full_queue_stops_lines_exactly(void **state)
{
    static const char *const limits[] = {"7", "1000", "2500", "2999"};
    char *lines = many_lines(3000);
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char *skip =
            mem_printf("to resume behind them: --skip %s\n", limits[i]);
        redis_do(server, "FLUSHALL");
        redis_do(server, "HSET " KEY(":config") " max_length %s", limits[i]);
        LINES(lines, 75, "", skip, "-");
        LINES(lines, 75, "", "q is full", "-", "--skip", limits[i]);
        assert_int_equal(length(), atoi(limits[i]));
        redis_do(server, "HDEL " KEY(":config") " max_length");
        LINES(lines, 0, "", NULL, "-", "--skip", limits[i]);
        assert_int_equal(length(), 3000);
        expect_in_order(3000);
        free(skip);
    }
    free(lines);
}

static bool has_a_thousand(void *arg)
{
    (void)arg;
    return length() == 1000;
}

/* Nobody knew of the limit: what got in behind the gap is told by its line. */
static void a_limit_that_comes_late_is_told_exactly(void **state)
{
    static const char late[] =
        "{\"type\":\"t\"}\n{\"type\":\"t\"}\n{\"type\":\"t\"}\n{\"type\":\"t\"}"
        "\n"
        "{\"type\":\"t\"}\n{\"type\":\"t\",\"in\":60000}\n";
    char *lines = many_lines(1000);
    struct cli_result r;
    struct cli c;
    (void)state;
    cli_start(&c, server, -1,
              (const char *const[]){"push", "-q", "q", "--ndjson", NULL});
    assert_true(cli_write(&c, lines, strlen(lines)));
    assert_true(wait_until(has_a_thousand, NULL, CLOSE_MS));
    redis_do(server, "HSET " KEY(":config") " max_length 1003");
    assert_true(cli_write(&c, late, strlen(late)));
    cli_finish(&c, &r);
    assert_int_equal(r.status, 75);
    assert_non_null(strstr(r.err, "1 003 jobs pushed"));
    assert_non_null(strstr(r.err, "lines up to 1003 are"));
    assert_non_null(strstr(r.err, "pushed: lines 1006 to 1006, which --skip "
                                  "1003 would push again"));
    assert_int_equal(length(), 1003);
    assert_int_equal(redis_int(server, "ZCARD " KEY(":scheduled")), 1);
    cli_result_done(&r);
    free(lines);
}

static void lines_that_are_no_jobs_do_not_count(void **state)
{
    (void)state;
    redis_do(server, "HSET " KEY(":config") " max_length 2");
    LINES(
        "\n{\"type\":\"t\"}\nbad\n\n{\"type\":\"t\"}\nbad\n{\"type\":\"t\"}\n",
        75, "", "--skip 5\n", "-");
    assert_int_equal(length(), 2);
    expect_text("1", "HGET " KEY(":stats") " refused");
}

/* ---- lines with options ---- */

static void lines_with_options_keep_their_place(void **state)
{
    static const char lines[] =
        "{\"id\":\"1\",\"type\":\"t\"}\n"
        "{\"id\":\"2\",\"type\":\"t\",\"keep\":60000}\n"
        "{\"id\":\"3\",\"type\":\"t\"}\n"
        "{\"id\":\"4\",\"type\":\"t\",\"unique\":\"k\"}\n"
        "{\"id\":\"5\",\"type\":\"t\",\"in\":60000}\n"
        "{\"id\":\"6\",\"type\":\"t\",\"at\":5}\n"
        "{\"id\":\"7\",\"type\":\"t\"}\n";
    (void)state;
    for (int limited = 0; limited <= 1; limited++) {
        redis_do(server, "FLUSHALL");
        if (limited == 1)
            redis_do(server, "HSET " KEY(":config") " max_length 100");
        LINES(lines, 0,
              "{\"queue\":\"q\",\"id\":\"1\"}\n{\"queue\":\"q\",\"id\":\"2\"}\n"
              "{\"queue\":\"q\",\"id\":\"3\"}\n{\"queue\":\"q\",\"id\":\"4\"}\n"
              "{\"queue\":\"q\",\"id\":\"5\"}\n{\"queue\":\"q\",\"id\":\"6\"}\n"
              "{\"queue\":\"q\",\"id\":\"7\"}\n",
              "7 jobs pushed", "-", "-o", "ndjson");
        expect_ids("123467");
        expect_in(KEY(":scheduled"), "\"id\":\"5\"");
        expect_text("4", "GET " KEY(":unique:k"));
        expect_text("ready", "HGET " KEY(":job:2") " state");
        expect_text("7", "HGET " KEY(":stats") " pushed");
    }
}

static void lines_that_meet_a_lock_are_counted(void **state)
{
    static const char lines[] =
        "{\"id\":\"1\",\"type\":\"t\",\"unique\":\"k\",\"in\":60000}\n"
        "{\"id\":\"2\",\"type\":\"t\",\"unique\":\"k\"}\n"
        "{\"id\":\"1\",\"type\":\"t\",\"unique\":\"k\"}\n"
        "{\"id\":\"3\",\"type\":\"t\",\"in\":9000,\"unique\":{\"key\":\"k\","
        "\"on_conflict\":\"replace\"}}\n";
    (void)state;
    struct cli_result r =
        CLI(server, lines, "push", "-q", "q", "--ndjson", "-o", "ndjson");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out,
                        "{\"queue\":\"q\",\"id\":\"1\"}\n"
                        "{\"queue\":\"q\",\"id\":\"1\",\"pushed\":false}\n"
                        "{\"queue\":\"q\",\"id\":\"1\",\"pushed\":false}\n"
                        "{\"queue\":\"q\",\"id\":\"1\",\"replaced\":true}\n");
    assert_non_null(strstr(r.err, "1 jobs pushed"));
    assert_non_null(strstr(r.err, "1 skipped: another job holds their key"));
    assert_non_null(strstr(r.err, "1 skipped: they were there already"));
    assert_non_null(strstr(r.err, "1 have replaced one"));
    cli_result_done(&r);
    LINES("{\"type\":\"t\",\"unique\":{\"key\":\"k\",\"on_conflict\":\"error\"}"
          "}\n",
          1, "", "line 1: not pushed: k is held by 1\n", "-");
}

static void flags_hold_for_all_bare_payloads(void **state)
{
    (void)state;
    LINES("1\n2\n", 0, "", "2 jobs pushed", "--type", "t", "--in", "10m",
          "--expires", "1h", "--keep", "1h", "--backoff", "5s", "--meta", "a=b",
          "-");
    assert_int_equal(redis_int(server, "ZCARD " KEY(":scheduled")), 2);
    redisReply *all = redis_cmd(server, "ZRANGE " KEY(":scheduled") " 0 -1");
    assert_non_null(strstr(all->element[0]->str, "\"in\":600000"));
    assert_non_null(strstr(all->element[1]->str, "\"backoff\":[5000]"));
    assert_non_null(strstr(all->element[1]->str, "\"meta\":{\"a\":\"b\"}"));
    assert_non_null(strstr(all->element[1]->str, "\"expires_at\":"));
    freeReplyObject(all);
}

/* ---- what is wrong ---- */

static void wrong_values_are_named(void **state)
{
    static const struct {
        int status;
        const char *args[5], *why;
    } cases[] = {
        {64, {"--in", "soon"}, "--in: \"soon\" is no duration"},
        {64, {"--in", "0"}, "--in: 0: too small"},
        {64, {"--at", "2026-11-26T08:30:00"}, "--at: \"2026-11-26T08:30:00\""},
        {64,
         {"--at", "1795681800000"},
         "--at: \"1795681800000\" is no instant"},
        {64, {"--in", "1s", "--at", "2026-11-26T08:30:00Z"}, "one of them"},
        {64, {"--in", "1s", "--front"}, "--front"},
        {64, {"--expires", "never"}, "--expires: \"never\" is neither"},
        {64, {"--expires", "0"}, "--expires: \"0\" is neither"},
        {64, {"--until", "done"}, "belong to --unique"},
        {64, {"--unique", "k", "--until", "dawn"}, "--until: dawn: not one of"},
        {64, {"--unique", "k:5s", "--until", "done"}, "needs no --until"},
        {64, {"--unique", "k:0s"}, "--unique: 0s: for no time"},
        {64, {"--unique", "k", "--on-conflict", "wait"}, "--on-conflict: wait"},
        {64, {"--unique", ""}, "unique: the key"},
        {64, {"--unique", "a\nb"}, "unique: the key"},
        {64, {"--unique", "\xff"}, "--unique: not UTF-8"},
        {64, {"--backoff", "fixed:"}, "--backoff: "},
        {64, {"--backoff", "fixed:1s:2s"}, "--backoff: "},
        {64, {"--backoff", "linear"}, "--backoff: \"linear\" is no duration"},
        {64, {"--backoff", "1s,,2s"}, "--backoff: \"\" is no duration"},
        {65, {"--backoff", "exponential:1s:x"}, "backoff: "},
        {65, {"--backoff", "exponential:1s:9999"}, "backoff: factor"},
        {64, {"--then", "5"}, "--then: neither an envelope"},
        {64, {"--then", "{\"type\":"}, "--then: "},
        {66, {"--then", "@/nowhere"}, "--then: /nowhere"},
        {64, {"--meta", "a"}, "--meta: "},
        {65, {"--meta", "[1]"}, "meta: "},
        {64, {"--meta", "a=1", "--meta", "a=2"}, "a: given twice"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *args[10] = {"push", "t"};
        memcpy((void *)(args + 2), (const void *)cases[i].args,
               sizeof(cases[i].args));
        cli_expect(server, NULL, cases[i].status, "", cases[i].why, args);
    }
    LINES("{}", 64, "", "without --type", "-", "--in", "5s");
    LINES("{}", 64, "", "are not for --ndjson", "-", "--type", "t", "--unique",
          "k");
    LINES("{\"type\":\"t\",\"unique\":5}\n", 65, "", "line 1: unique: ", "-");
    assert_int_equal(redis_int(server, "DBSIZE"), 1); /* belt:queues */
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_waits_for_its_time),
        TEST(what_is_due_already_is_ready),
        TEST(a_job_expires_after_it_was_due),
        TEST(every_form_of_backoff_is_written),
        TEST(what_follows_is_written_as_it_is),
        TEST(meta_is_an_object),
        TEST(the_news_of_a_kept_job_begin_with_the_push),
        TEST(one_job_at_a_time_has_a_key),
        TEST(a_key_can_be_held_for_a_time),
        TEST(a_key_can_be_free_at_the_start),
        TEST(a_job_with_an_id_and_a_key_comes_once),
        TEST(a_later_push_replaces_what_is_not_due),
        TEST(what_has_begun_is_not_replaced),
        TEST(a_full_queue_refuses_a_job),
        TEST(a_full_queue_stops_lines_exactly),
        TEST(a_limit_that_comes_late_is_told_exactly),
        TEST(lines_that_are_no_jobs_do_not_count),
        TEST(lines_with_options_keep_their_place),
        TEST(lines_that_meet_a_lock_are_counted),
        TEST(flags_hold_for_all_bare_payloads),
        TEST(wrong_values_are_named),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
