/*
 * Claims about the commands of belt that look.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/buf.h"
#include "tests/integration/cli_fixture.h"
#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NOW_PLUS_HOUR "99999999999999"

static struct redis *server;

static int setup(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    return 0;
}

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);

    if (!j)
        fail_msg("%s in: %s", e.text, text);
    return j;
}

/* The document that belt prints with these arguments. */
static json_t *ask(int status, const char *const *argv)
{
    struct cli_result r = cli_run(server, NULL, argv);

    if (r.status != status)
        fail_msg("status %d: %s", r.status, r.err);
    json_t *j = parse(r.out);
    cli_result_done(&r);
    return j;
}

#define ASK(status, ...)                                                       \
    ask((status), (const char *const[]){__VA_ARGS__, "--json", NULL})

static const char *str_at(const json_t *j, size_t i, const char *name)
{
    return json_string_value(json_object_get(json_array_get(j, i), name));
}

static long long int_at(const json_t *j, size_t i, const char *name)
{
    const json_t *n = json_object_get(json_array_get(j, i), name);

    assert_true(json_is_integer(n));
    return json_integer_value(n);
}

static bool is_null_at(const json_t *j, size_t i, const char *name)
{
    return json_is_null(json_object_get(json_array_get(j, i), name));
}

/* ---- queues ---- */

static void fill_queue(void)
{
    redis_do(server, "SADD belt:queues mail empty %s", "not a queue\x1b[2J");
    redis_do(server, "RPUSH belt:{mail} a b c");
    redis_do(server, "ZADD belt:{mail}:leases 1 lane-1 2 lane-2");
    redis_do(server, "RPUSH belt:{mail}:active:lane-1 x y");
    redis_do(server, "RPUSH belt:{mail}:active:lane-2 z");
    redis_do(server, "RPUSH belt:{mail}:active:unleased z z z");
    redis_do(server, "ZADD belt:{mail}:scheduled 1 a 2 b");
    redis_do(server, "ZADD belt:{mail}:retry 1 a");
    redis_do(server, "ZADD belt:{mail}:dead 1 a 2 b 3 c 4 d");
    redis_do(server, "HSET belt:{mail}:config paused 1");
}

static void queues_counts_what_is_where(void **state)
{
    (void)state;
    fill_queue();
    json_t *j = ASK(0, "queues");
    assert_int_equal(json_array_size(j), 2);
    assert_string_equal(str_at(j, 0, "queue"), "empty");
    assert_string_equal(str_at(j, 1, "queue"), "mail");
    assert_int_equal(int_at(j, 0, "ready"), 0);
    assert_int_equal(int_at(j, 1, "ready"), 3);
    assert_int_equal(int_at(j, 1, "active"), 3);
    assert_int_equal(int_at(j, 1, "scheduled"), 2);
    assert_int_equal(int_at(j, 1, "retry"), 1);
    assert_int_equal(int_at(j, 1, "dead"), 4);
    assert_int_equal(int_at(j, 1, "workers"), 2);
    assert_true(json_is_true(json_object_get(json_array_get(j, 1), "paused")));
    json_decref(j);
}

static void queues_has_every_format(void **state)
{
    (void)state;
    fill_queue();
    EXPECT(server, NULL, 0,
           "QUEUE  READY  ACTIVE  SCHEDULED  RETRY  DEAD  WORKERS  PAUSED\n"
           "empty      0       0          0      0     0        0  no\n"
           "mail       3       3          2      1     4        2  yes\n",
           NULL, "queues");
    EXPECT(server, NULL, 0,
           "queue\tready\tactive\tscheduled\tretry\tdead\tworkers\tpaused\t"
           "paused_until\tpaused_at\tpaused_by\tpaused_reason\t"
           "max_length\n"
           "mail\t3\t3\t2\t1\t4\t2\tyes\t\t\t\t\t\n",
           NULL, "queues", "mail", "-o", "tsv");
    EXPECT(server, NULL, 0, "{\"queue\":\"nix\",\"ready\":0,", NULL, "-o",
           "ndjson", "queues", "nix");
    EXPECT(server, NULL, 64, "", "belt queues: a b: not the name", "queues",
           "a b");
}

static void queues_tells_of_pauses(void **state)
{
    (void)state;
    EXPECT(server, NULL, 0, "mail   paused\nother  paused\n", "", "pause",
           "mail", "other", "--for", "1h", "--reason", "new disks\033",
           "--no-wait");
    EXPECT(server, NULL, 0, "  yes, 59m more: new disks\\x1b\n", "", "queues",
           "mail");
    json_t *j = ASK(0, "queues", "mail");
    int64_t at = int_at(j, 0, "paused_at");
    assert_true(json_is_true(json_object_get(json_array_get(j, 0), "paused")));
    assert_int_equal(int_at(j, 0, "paused_until"), at + 3600 * 1000);
    assert_string_equal(str_at(j, 0, "paused_reason"), "new disks\033");
    assert_non_null(strchr(str_at(j, 0, "paused_by"), '@'));
    json_decref(j);
    redis_do(server, "HSET belt:{mail}:config paused %lld", (long long)at);
    EXPECT(server, NULL, 0, "  no\n", "", "queues", "mail");
    EXPECT(server, NULL, 0, "mail   resumed\nother  resumed\n", "", "resume",
           "mail", "other");
    EXPECT(server, NULL, 0, "mail   not paused\n", "", "resume", "mail");
    j = ASK(0, "queues", "mail");
    assert_true(
        json_is_null(json_object_get(json_array_get(j, 0), "paused_reason")));
    json_decref(j);
}

static void set_version(const char *text)
{
    redis_do(server, "HSET belt:{mail}:config version %s", text);
    EXPECT(server, NULL, 0, "pausing", NULL, "pause", "mail", "--no-wait");
}

/* A pause must not be taken for one that was complied with long ago. */
static void a_pause_has_a_version_that_nobody_has_seen(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:{mail}:leases 9e15 a 9e15 b 1 c");
    redis_do(server, "HSET belt:{mail}:lanes a:version 7 b:version x "
                     "c:version 12");
    set_version("3");
    assert_int_equal(redis_int(server, "HINCRBY belt:{mail}:config version 0"),
                     8);
    set_version("9");
    assert_int_equal(redis_int(server, "HINCRBY belt:{mail}:config version 0"),
                     10);
    set_version("broken");
    assert_true(redis_int(server, "HINCRBY belt:{mail}:config version 0") >
                1700000000000);
    set_version("-5");
    assert_true(redis_int(server, "HINCRBY belt:{mail}:config version 0") >
                1700000000000);
    redis_do(server, "HSET belt:{mail}:config version 20");
    EXPECT(server, NULL, 75, "mail   pausing", "not yet heard by 2: a, b",
           "pause", "mail", "--timeout", "20ms");
    redis_do(server, "HSET belt:{mail}:lanes a:version 22 b:version 23");
    redis_do(server, "HSET belt:{mail}:config version 20");
    EXPECT(server, NULL, 75, "mail   pausing", "not yet heard by 2: a, b",
           "pause", "mail", "--timeout", "20ms");
}

static void pausing_says_what_is_wrong(void **state)
{
    (void)state;
    EXPECT(server, NULL, 64, "", "a b: not the name of a queue", "pause",
           "a b");
    EXPECT(server, NULL, 64, "", "", "pause");
    EXPECT(server, NULL, 64, "", "--for", "pause", "mail", "--for", "0s");
    EXPECT(server, NULL, 64, "", "--for", "resume", "mail", "--for", "1s");
    redis_do(server, "SET belt:{mail}:config x");
    EXPECT(server, NULL, 70, "", "WRONGTYPE", "pause", "mail");
    redis_do(server, "DEL belt:{mail}:config");
    redis_do(server, "ACL SETUSER default -publish");
    EXPECT(server, NULL, 77, "", "NOPERM", "pause", "mail");
    redis_do(server, "ACL SETUSER default +publish");
    assert_int_equal(redis_int(server, "EXISTS belt:{mail}:config"), 0);
}

static void queues_goes_on_after_a_thousand(void **state)
{
    (void)state;
    redis_do(server, "EVAL %s 0",
             "for i = 1, 2500 do\n"
             "  redis.call('SADD', 'belt:queues', 'q' .. i)\n"
             "  redis.call('RPUSH', 'belt:{q' .. i .. '}', 'x')\n"
             "  redis.call('ZADD', 'belt:{q1}:leases', i, i)\n"
             "  redis.call('RPUSH', 'belt:{q1}:active:' .. i,"
             "             'x')\n"
             "end");
    json_t *j = ASK(0, "queues");
    assert_int_equal(json_array_size(j), 2500);
    assert_string_equal(str_at(j, 0, "queue"), "q1");
    assert_int_equal(int_at(j, 0, "workers"), 2500);
    assert_int_equal(int_at(j, 0, "active"), 2500);
    for (size_t i = 0; i < 2500; i++)
        assert_int_equal(int_at(j, i, "ready"), 1);
    json_decref(j);
}

/* ---- jobs ---- */

static void jobs_are_shown_in_each_state(void **state)
{
    static const struct {
        const char *state, *id;
        long long at;
    } cases[] = {{"ready", "r", -1},
                 {"active", "a", -1},
                 {"scheduled", "s", 5000},
                 {"retry", "y", 6000},
                 {"dead", "d2", 8000}};

    (void)state;
    redis_do(server, "RPUSH belt:{q} %s", "{\"id\":\"r\",\"type\":\"t\"}");
    redis_do(server, "ZADD belt:{q}:leases 1 lane-1");
    redis_do(server, "RPUSH belt:{q}:active:lane-1 %s",
             "{\"id\":\"a\",\"type\":\"t\",\"attempt\":2}");
    redis_do(server, "ZADD belt:{q}:scheduled 5000 %s",
             "{\"id\":\"s\",\"type\":\"t\"}");
    redis_do(server, "ZADD belt:{q}:retry 6000 %s",
             "{\"id\":\"y\",\"type\":\"t\"}");
    redis_do(server, "ZADD belt:{q}:dead 7000 %s 8000 %s",
             "{\"id\":\"d1\",\"type\":\"t\"}",
             "{\"id\":\"d2\",\"type\":\"t\"}");
    for (size_t i = 0; i < LEN(cases); i++) {
        json_t *j = ASK(0, "jobs", "q", "--state", cases[i].state);
        assert_string_equal(str_at(j, 0, "id"), cases[i].id);
        if (cases[i].at < 0)
            assert_true(is_null_at(j, 0, "at"));
        else
            assert_int_equal(int_at(j, 0, "at"), cases[i].at);
        json_decref(j);
    }
    EXPECT(server, NULL, 0, "\"lane\":\"lane-1\"", NULL, "jobs", "q",
           "--state=active", "-o", "ndjson");
    EXPECT(server, NULL, 64, "", "--state: old", "jobs", "q", "--state", "old");
}

static void jobs_shows_as_many_as_asked_for_across_pages(void **state)
{
    (void)state;
    for (int i = 0; i < 90; i++)
        redis_do(server, "RPUSH belt:{q} {\"id\":\"%d\",\"type\":\"t\"}", i);
    json_t *j = ASK(0, "jobs", "q");
    assert_int_equal(json_array_size(j), 20);
    json_decref(j);
    j = ASK(0, "jobs", "q", "-n85");
    assert_int_equal(json_array_size(j), 85);
    assert_string_equal(str_at(j, 84, "id"), "84");
    json_decref(j);
    j = ASK(0, "jobs", "q", "-n", "1000");
    assert_int_equal(json_array_size(j), 90);
    json_decref(j);
    EXPECT(server, NULL, 64, "", "-", "jobs", "q", "-n", "1001");
}

static void an_envelope_is_printed_as_it_is_on_one_line(void **state)
{
    (void)state;
    redis_do(server, "RPUSH belt:{q} %s",
             "{\"id\":\"x\",\n \"type\":\"t\",\"payload\":"
             "{\"n\":12345678901234567890,\t\"f\":1.0}}");
    EXPECT(server, NULL, 0,
           "\"job\":{\"id\":\"x\",  \"type\":\"t\",\"payload\":"
           "{\"n\":12345678901234567890, \"f\":1.0}},",
           NULL, "jobs", "q", "-o", "ndjson");
}

/* No control character but the ends of lines, in either coding. */
static void expect_harmless(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f ||
            (p[0] == 0xc2 && p[1] < 0xa0) ||
            (p[0] == 0xe2 && p[1] == 0x80 && p[2] == 0xae))
            fail_msg("byte %02x %02x in: %s", p[0], p[1], text);
    }
}

static void hostile_elements_cannot_command_the_terminal(void **state)
{
    static const char *const formats[] = {"table", "json", "ndjson", "tsv"};
    static const char *const elements[] = {
        "\x1b[2J\x1b]0;owned\x07",
        "{\"type\":\"\\u001b[31m\"}",
        "{\"type\":\"a\xc2\x9b"
        "31m\xe2\x80\xae\xe2\x80\xac\"}",
        "{\"type\":\"t\",\"error\":{\"class\":\"\\u001b[2J\","
        "\"message\":\"\\u009b2J\\u202e\\u0007\"}}",
        "{\"type\":\"t\",\"payload\":\"\xc2\x9b"
        "2J\x7f\xe2\x80\xae\xe2\x80\xac\"}",
        "{\"type\":\"t\",\"error\":[\"\xc2\x9b\"]}",
    };

    (void)state;
    for (size_t i = 0; i < LEN(elements); i++)
        redis_do(server, "RPUSH belt:{q} %s", elements[i]);
    for (size_t i = 0; i < LEN(formats); i++) {
        struct cli_result r = CLI(server, NULL, "jobs", "q", "-o", formats[i]);
        assert_int_equal(r.status, 0);
        expect_harmless(r.out);
        if (strcmp(formats[i], "json") == 0) {
            json_t *j = parse(r.out);
            assert_int_equal(json_array_size(j), LEN(elements));
            json_decref(j);
        }
        cli_result_done(&r);
    }
}

static void what_is_no_envelope_is_shown_with_the_reason(void **state)
{
    (void)state;
    redis_do(server, "RPUSH belt:{q} %s %b %s", "nonsense", "\0\xff", (size_t)2,
             "{\"id\":\"x\"}");
    json_t *j = ASK(0, "jobs", "q");
    assert_int_equal(json_array_size(j), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(is_null_at(j, i, "job"));
        assert_true(strlen(str_at(j, i, "error")) > 0);
    }
    assert_string_equal(str_at(j, 0, "raw"), "nonsense");
    json_decref(j);
    EXPECT(server, NULL, 0, "(invalid)", NULL, "jobs", "q");
}

static void the_last_failure_is_shown_short_in_the_table(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:{q}:retry %s %s", NOW_PLUS_HOUR,
             "{\"id\":\"x\",\"type\":\"t\",\"attempt\":3,\"error\":"
             "{\"class\":\"exit\",\"message\":\"0123456789 0123456789 "
             "0123456789 0123456789 0123456789 tail\"}}");
    EXPECT(server, NULL, 0, "exit: 0123456789 0123456789 0123456789 ", NULL,
           "jobs", "q", "--state", "retry");
    struct cli_result r = CLI(server, NULL, "jobs", "q", "--state", "retry");
    assert_null(strstr(r.out, "tail"));
    assert_non_null(strstr(r.out, "…"));
    assert_non_null(strstr(r.out, " to go"));
    cli_result_done(&r);
    EXPECT(server, NULL, 0, "0123456789 tail\"", NULL, "jobs", "q", "--state",
           "retry", "-o", "ndjson");
}

/* ---- workers ---- */

static void workers_shows_what_each_says(void **state)
{
    (void)state;
    redis_do(server, "ZADD belt:workers %s w-full 1 w-lost %s w-bare",
             NOW_PLUS_HOUR, NOW_PLUS_HOUR);
    redis_do(server,
             "HSET belt:worker:w-full host h pid 7 queues a,b threads 4 "
             "busy 2 held 9 rss_kb 8000 version 0.1.0 started_at 1000 "
             "stage quiet other x");
    redis_do(server, "HSET belt:worker:w-bare pid %s host %s", "12x",
             "\x1b[31m");
    json_t *j = ASK(0, "workers");
    assert_int_equal(json_array_size(j), 3);
    assert_string_equal(str_at(j, 0, "state"), "lost");
    assert_string_equal(str_at(j, 1, "worker"), "w-bare");
    assert_string_equal(str_at(j, 1, "state"), "up");
    assert_string_equal(str_at(j, 1, "pid"), "12x");
    assert_true(is_null_at(j, 1, "threads"));
    assert_string_equal(str_at(j, 2, "state"), "quiet");
    assert_int_equal(int_at(j, 2, "pid"), 7);
    assert_int_equal(int_at(j, 2, "held"), 9);
    assert_int_equal(int_at(j, 2, "started_at"), 1000);
    json_decref(j);
    struct cli_result r = CLI(server, NULL, "workers");
    assert_int_equal(r.status, 0);
    expect_harmless(r.out);
    cli_result_done(&r);
}

/* ---- result ---- */

static void keep_results(void)
{
    redis_do(server,
             "HSET belt:{q}:job:ok state done attempt 1 worker w "
             "started_at 5 ended_at 9 result %s",
             "{\"n\": 1}");
    redis_do(server, "HSET belt:{q}:job:text state done result %s", "a \"b\"");
    redis_do(server, "HSET belt:{q}:job:bad state dead error %s",
             "{\"class\":\"exit\",\"message\":\"no\"}");
}

static void result_gives_json_as_json_and_text_as_text(void **state)
{
    (void)state;
    keep_results();
    json_t *j = ASK(0, "result", "q/ok", "q/text");
    const json_t *n =
        json_object_get(json_object_get(json_array_get(j, 0), "result"), "n");
    assert_int_equal(json_integer_value(n), 1);
    assert_string_equal(str_at(j, 0, "queue"), "q");
    assert_string_equal(str_at(j, 0, "id"), "ok");
    assert_string_equal(str_at(j, 0, "state"), "done");
    assert_int_equal(int_at(j, 0, "ended_at"), 9);
    assert_string_equal(str_at(j, 1, "result"), "a \"b\"");
    json_decref(j);
}

static void result_exits_1_unless_all_are_done(void **state)
{
    (void)state;
    keep_results();
    EXPECT(server, NULL, 0, "q/ok", NULL, "result", "q/ok");
    EXPECT(server, NULL, 1, "dead", NULL, "result", "q/ok", "q/bad");
    EXPECT(server, NULL, 1, "(not kept)", NULL, "result", "q/gone");
    EXPECT(server, NULL, 64, "", "/gone: neither QUEUE/ID nor ID", "result",
           "/gone");
    EXPECT(server, NULL, 64, "", "argument is missing", "result");
}

static void result_takes_ids_from_stdin(void **state)
{
    struct buf ids = {0};

    (void)state;
    keep_results();
    for (int i = 0; i < 1234; i++)
        buf_str(&ids, i % 2 ? " q/ok \r\n" : "q/text\n\n");
    struct cli_result r = CLI(server, ids.data, "result", "-", "-o", "ndjson");
    assert_int_equal(r.status, 0);
    size_t lines = 0;
    for (const char *p = r.out; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 1234);
    cli_result_done(&r);
    EXPECT(server, "q/ok\nnonsense\n", 65, "q/ok", "line 2: not QUEUE/ID",
           "result", "-");
    buf_done(&ids);
}

/* ---- help, errors ---- */

static void help_comes_on_stdout_with_0(void **state)
{
    static const char *const commands[] = {
        "push",   "queues", "jobs",  "workers", "result",
        "status", "wait",   "stats", "dev",     "help"};

    (void)state;
    for (size_t i = 0; i < LEN(commands); i++) {
        char usage[32];
        snprintf(usage, sizeof(usage), "belt %s", commands[i]);
        EXPECT(NULL, NULL, 0, usage, "", commands[i], "--help");
        EXPECT(NULL, NULL, 0, usage, "", "help", commands[i]);
        EXPECT(NULL, NULL, 0, commands[i], "", "help", "commands");
    }
    EXPECT(NULL, NULL, 0, "outcome is unknown", "", "help", "exit-codes");
    EXPECT(NULL, NULL, 0, "REDISCLI_AUTH", "", "help", "env");
    EXPECT(NULL, NULL, 0, "key:=json", "", "help", "payload");
    EXPECT(NULL, NULL, 0, "belt 0.", "", "--version");
    EXPECT(NULL, NULL, 64, "", "did you mean payload?", "help", "paylod");
}

static void misuse_is_64_and_says_what_was_meant(void **state)
{
    (void)state;
    EXPECT(NULL, NULL, 64, "", "did you mean queues?", "queus");
    EXPECT(NULL, NULL, 64, "", "belt: x\\x1b[31m: no such", "x\x1b[31m");
    EXPECT(NULL, NULL, 64, "", "did you mean --state?", "jobs", "q",
           "--stat=dead");
    EXPECT(NULL, NULL, 64, "", "Usage: belt", NULL);
    EXPECT(NULL, NULL, 64, "", "not a namespace", "--namespace", "a b",
           "queues");
    EXPECT(NULL, NULL, 64, "", "neither redis://", "queues", "-u", "http://x");
}

static void a_full_disk_is_74(void **state)
{
    static const char *const formats[] = {"table", "json", "ndjson", "tsv"};

    (void)state;
    fill_queue();
    cli_set_stdout("/dev/full");
    for (size_t i = 0; i < LEN(formats); i++)
        EXPECT(server, NULL, 74, NULL, "No space left", "queues", "-o",
               formats[i]);
    EXPECT(NULL, NULL, 74, NULL, "No space left", "help");
    cli_set_stdout(NULL);
}

static void errors_of_redis_keep_their_class(void **state)
{
    (void)state;
    redis_do(server, "SET belt:queues text");
    EXPECT(server, NULL, 70, NULL, "WRONGTYPE", "queues");
    redis_do(server, "CONFIG SET requirepass pw");
    EXPECT(server, NULL, 77, NULL, "NOAUTH", "jobs", "q");
    redis_do(server, "CONFIG SET requirepass %s", "");
    EXPECT(NULL, NULL, 69, NULL, "/no/where", "workers", "-u",
           "unix:///no/where");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(queues_counts_what_is_where, setup),
        cmocka_unit_test_setup(queues_has_every_format, setup),
        cmocka_unit_test_setup(queues_tells_of_pauses, setup),
        cmocka_unit_test_setup(a_pause_has_a_version_that_nobody_has_seen,
                               setup),
        cmocka_unit_test_setup(pausing_says_what_is_wrong, setup),
        cmocka_unit_test_setup(queues_goes_on_after_a_thousand, setup),
        cmocka_unit_test_setup(jobs_are_shown_in_each_state, setup),
        cmocka_unit_test_setup(jobs_shows_as_many_as_asked_for_across_pages,
                               setup),
        cmocka_unit_test_setup(an_envelope_is_printed_as_it_is_on_one_line,
                               setup),
        cmocka_unit_test_setup(hostile_elements_cannot_command_the_terminal,
                               setup),
        cmocka_unit_test_setup(what_is_no_envelope_is_shown_with_the_reason,
                               setup),
        cmocka_unit_test_setup(the_last_failure_is_shown_short_in_the_table,
                               setup),
        cmocka_unit_test_setup(workers_shows_what_each_says, setup),
        cmocka_unit_test_setup(result_gives_json_as_json_and_text_as_text,
                               setup),
        cmocka_unit_test_setup(result_exits_1_unless_all_are_done, setup),
        cmocka_unit_test_setup(result_takes_ids_from_stdin, setup),
        cmocka_unit_test_setup(help_comes_on_stdout_with_0, setup),
        cmocka_unit_test_setup(misuse_is_64_and_says_what_was_meant, setup),
        cmocka_unit_test_setup(a_full_disk_is_74, setup),
        cmocka_unit_test_setup(errors_of_redis_keep_their_class, setup),
    };

    server = redis_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_stop(server);
    return failed;
}
