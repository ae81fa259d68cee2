/*
 * Claims about the commands of periodic jobs, as people run them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/cli_fixture.h"
#include "tests/unit/unit.h"

static struct redis *redis;

static int start(void **state)
{
    (void)state;
    redis = redis_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_stop(redis);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    redis_do(redis, "FLUSHALL");
    return 0;
}

/* What the hash has under that name; lent until the next call. */
static const char *entry(const char *name)
{
    static char text[2048];
    return redis_str(redis, text, sizeof(text), "HGET belt:{q}:cron %s", name);
}

static long long due(const char *name)
{
    char text[32];
    (void)redis_str(redis, text, sizeof(text), "ZSCORE belt:{q}:cron:due %s",
                    name);
    return text[0] == '(' ? -1 : strtoll(text, NULL, 10);
}

static void expect_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

static void add_writes_what_the_flags_say(void **state)
{
    (void)state;
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "30 2 * * *", "report",
           "a=b", "-q", "q", "--tz", "Europe/Berlin", "--jitter", "5s",
           "--overlap", "skip", "--catch-up", "all", "--catch-up-limit", "2h",
           "--times", "7", "--keep", "1m", "--timeout", "9s", "--max-attempts",
           "3", "--expires", "1h", "--backoff", "exponential");
    static const char *const members[] = {
        "{\"spec\":\"30 2 * * *\",\"tz\":\"Europe/Berlin\",\"type\":\"report\","
        "\"payload\":{\"a\":\"b\"},\"jitter\":5000,\"overlap\":\"skip\","
        "\"catch_up\":\"all\",\"catch_up_limit\":7200000,\"times\":7,"
        "\"max_attempts\":3,\"timeout\":9000,\"backoff\":",
        "\"keep\":60000,\"expires\":3600000,\"source\":\"cli\","
        "\"updated_at\":"};
    expect_has(entry("n"), members[0]);
    expect_has(entry("n"), members[1]);
    assert_true(due("n") > 0);
    assert_int_equal(redis_int(redis, "SISMEMBER belt:queues q"), 1);
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "p", "@daily", "t", "-q", "q",
           "--paused");
    expect_has(entry("p"), "\"paused\":true");
    assert_int_equal(due("p"), -1);
}

static void add_replaces_and_keeps_the_instant(void **state)
{
    (void)state;
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "@every 1h", "t", "-q",
           "q");
    long long was = due("n");
    redis_do(redis, "ZADD belt:{q}:cron:due %lld n", was - 5);
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "@every 1h", "u", "-q",
           "q");
    expect_has(entry("n"), "\"type\":\"u\"");
    assert_int_equal(due("n"), was - 5);
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "@every 2h", "u", "-q",
           "q");
    assert_true(due("n") > was + 3000000);
}

static void what_is_wrong_is_refused_and_named(void **state)
{
    (void)state;
    EXPECT(redis, NULL, 65, "", "hour: \"25\"", "cron", "add", "n",
           "0 25 * * *", "t");
    EXPECT(redis, NULL, 65, "", "never comes", "cron", "add", "n", "0 0 30 2 *",
           "t");
    EXPECT(redis, NULL, 65, "", "did you mean Europe/Berlin?", "cron", "add",
           "n", "@daily", "t", "--tz", "Europe/Berln");
    EXPECT(redis, NULL, 65, "", "overlap: \"maybe\"", "cron", "add", "n",
           "@daily", "t", "--overlap", "maybe");
    EXPECT(redis, NULL, 65, "", "no name of an entry", "cron", "add", "a b",
           "@daily", "t");
    EXPECT(redis, NULL, 65, "", "", "cron", "add", "n", "@daily", "t", "{");
    EXPECT(redis, NULL, 66, "", "/none", "cron", "add", "n", "@daily", "t",
           "@/none");
    EXPECT(redis, NULL, 64, "", "--backoff", "cron", "add", "n", "@daily", "t",
           "--backoff", "soon");
    EXPECT(redis, NULL, 64, "", "an argument is missing", "cron", "add", "n",
           "@daily");
    EXPECT(redis, NULL, 64, "", "did you mean cron add?", "cron", "ad");
    EXPECT(redis, NULL, 1, "", "no such entry in q", "cron", "remove", "n",
           "-q", "q");
    EXPECT(redis, NULL, 1, "", "no such entry in q", "cron", "pause", "n", "-q",
           "q");
    EXPECT(redis, NULL, 1, "", "no such entry in q", "cron", "run", "n", "-q",
           "q");
    EXPECT(redis, NULL, 1, "", "no such entry in q", "cron", "show", "n", "-q",
           "q");
    redis_do(redis, "HSET belt:{q}:cron n nonsense");
    EXPECT(redis, NULL, 65, "", "what is there is no entry", "cron", "resume",
           "n", "-q", "q");
    assert_int_equal(redis_int(redis, "DBSIZE"), 1);
}

static void pause_and_resume_keep_what_they_do_not_know(void **state)
{
    (void)state;
    redis_do(redis, "HSET belt:{q}:cron n %s",
             "{\"spec\":\"@hourly\",\"mine\":[1, 2],\"type\":\"t\"}");
    redis_do(redis, "ZADD belt:{q}:cron:due 5 n");
    EXPECT(redis, NULL, 0, "", "", "cron", "pause", "n", "-q", "q");
    expect_has(entry("n"), "\"mine\":[1, 2]");
    expect_has(entry("n"), "\"paused\":true");
    assert_int_equal(due("n"), -1);
    EXPECT(redis, NULL, 0, "", "", "cron", "pause", "n", "-q", "q");
    EXPECT(redis, NULL, 0, "", "", "cron", "resume", "n", "-q", "q");
    expect_has(entry("n"), "\"mine\":[1, 2]");
    assert_null(strstr(entry("n"), "paused"));
    assert_true(due("n") > 1000000000000); /* from now, not what was missed */
    long long was = due("n");
    EXPECT(redis, NULL, 0, "", "", "cron", "resume", "n", "-q", "q");
    assert_int_equal(due("n"), was);
}

static void run_respects_the_lock(void **state)
{
    (void)state;
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "@yearly", "t", "[1]",
           "-q", "q", "--overlap", "skip");
    EXPECT(redis, NULL, 0, "q/cron:n:run:", "", "cron", "run", "n", "-q", "q");
    EXPECT(redis, NULL, 1, "", "has not ended", "cron", "run", "n", "-q", "q");
    assert_int_equal(redis_int(redis, "LLEN belt:{q}"), 1);
    EXPECT(redis, NULL, 0, " has not ended: with overlap skip", "", "cron",
           "show", "n", "-q", "q");
    redis_do(redis, "DEL belt:{q}:unique:cron:n");
    EXPECT(redis, NULL, 0, "{\"queue\":\"q\",\"id\":\"cron:n:run:", "", "cron",
           "run", "n", "-q", "q", "-o", "json");
    assert_int_equal(redis_int(redis, "LLEN belt:{q}"), 2);
    redis_do(redis, "HSET belt:{q}:config max_length 2");
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "@yearly", "t", "-q",
           "q");
    EXPECT(redis, NULL, 75, "", "q is full", "cron", "run", "n", "-q", "q");
}

static void list_shows_all_queues_or_one(void **state)
{
    (void)state;
    redis_do(redis, "HSET belt:{q}:cron z {}");
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "a", "@daily", "t", "-q",
           "q");
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "b", "@hourly", "u", "-q",
           "other", "--paused");
    redis_do(redis, "HSET belt:{q}:cron bad {\"spec\":7}");
    struct cli_result r = CLI(redis, NULL, "cron", "list");
    assert_int_equal(r.status, 0);
    assert_true(strstr(r.out, "\na ") < strstr(r.out, "\nbad "));
    expect_has(r.out, "active");
    expect_has(r.out, "paused");
    expect_has(r.out, "invalid");
    cli_result_done(&r);
    r = CLI(redis, NULL, "cron", "list", "-q", "other", "-o", "ndjson");
    expect_has(r.out,
               "{\"name\":\"b\",\"queue\":\"other\",\"state\":\"paused\","
               "\"spec\":\"@hourly\"");
    assert_null(strstr(r.out, "\"a\""));
    cli_result_done(&r);
    EXPECT(redis, NULL, 0, "\"overlap\":\"allow\"", "", "cron", "show", "a",
           "-q", "q", "-o", "json");
    EXPECT(redis, NULL, 0, "{\"spec\":\"@daily\"", "", "cron", "show", "a",
           "-q", "q");
}

static void next_needs_no_redis(void **state)
{
    (void)state;
    struct cli_result r = CLI(NULL, NULL, "cron", "next", "30 2 29 2 *", "--tz",
                              "Europe/Berlin", "-n", "2", "-u", "unix:///none");
    assert_int_equal(r.status, 0);
    expect_has(r.out, "2028-02-29 02:30:00 CET  2028-02-29T01:30:00.000Z\n"
                      "2032-02-29 02:30:00 CET  2032-02-29T01:30:00.000Z\n");
    cli_result_done(&r);
    EXPECT(NULL, NULL, 65, "", "month: \"13\"", "cron", "next", "0 0 1 13 *");
    EXPECT(redis, NULL, 0, "", "", "cron", "add", "n", "0 0 29 2 *", "t", "-q",
           "q", "--tz", "Asia/Kathmandu");
    EXPECT(redis, NULL, 0, "2028-02-29 00:00:00 +0545", "", "cron", "next", "n",
           "-q", "q");
}

static const char crontab[] =
    "# m h dom mon dow command\n"
    "SHELL=/bin/bash\n"
    "\n"
    "*/5 * * * * /usr/bin/check --all\n"
    "CRON_TZ=\"Europe/Berlin\"\n"
    "# belt: name=backup queue=other type=shell\n"
    "30 2 * * 1-5\t/bin/backup \"a b\" \\% c%first%second\r\n"
    "@daily date\n"
    "61 * * * * never\n"
    "* * * *\n"
    "TZ=\n"
    "@reboot x\n"
    "# belt: name=backup queue=other\n"
    "@hourly again\n"
    "@every 90s poll";

static void a_crontab_becomes_entries(void **state)
{
    (void)state;
    struct cli_result r =
        CLI(redis, crontab, "cron", "import", "-", "-q", "q", "-o", "ndjson");
    assert_int_equal(r.status, 65);
    expect_has(r.err, "line 2: SHELL is ignored");
    expect_has(r.err, "line 9: cron expression: minute: \"61\"");
    expect_has(r.err, "line 10: no command behind the time");
    expect_has(r.err, "line 12: cron expression: \"@reboot\" is none of");
    expect_has(r.err, "line 14: backup is what line 7 is called");
    cli_result_done(&r);
    assert_int_equal(redis_int(redis, "HLEN belt:{q}:cron"), 3);
    assert_int_equal(redis_int(redis, "ZCARD belt:{q}:cron:due"), 3);
    char text[1024];
    (void)redis_str(redis, text, sizeof(text), "HGET belt:{other}:cron backup");
    expect_has(text, "{\"spec\":\"30 2 * * 1-5\",\"tz\":\"Europe/Berlin\","
                     "\"type\":\"shell\",\"payload\":{\"argv\":[\"/bin/sh\","
                     "\"-c\",\"/bin/backup \\\"a b\\\" % c\"],\"stdin\":"
                     "\"first\\nsecond\"},\"source\":\"crontab\"");
    /* Once more: the same names, so the same entries. */
    r = CLI(redis, crontab, "cron", "import", "-", "-q", "q");
    cli_result_done(&r);
    assert_int_equal(redis_int(redis, "HLEN belt:{q}:cron"), 3);
}

static void a_dry_run_writes_nothing(void **state)
{
    (void)state;
    struct cli_result r =
        CLI(NULL, crontab, "cron", "import", "-", "--dry-run");
    assert_int_equal(r.status, 65);
    expect_has(r.out, "/usr/bin/check --all");
    cli_result_done(&r);
    EXPECT(redis, NULL, 66, "", "/none", "cron", "import", "/none");
    assert_int_equal(redis_int(redis, "DBSIZE"), 0);
}

#define T(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(add_writes_what_the_flags_say),
        T(add_replaces_and_keeps_the_instant),
        T(what_is_wrong_is_refused_and_named),
        T(pause_and_resume_keep_what_they_do_not_know),
        T(run_respects_the_lock),
        T(list_shows_all_queues_or_one),
        T(next_needs_no_redis),
        T(a_crontab_becomes_entries),
        T(a_dry_run_writes_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
