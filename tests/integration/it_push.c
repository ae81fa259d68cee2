/*
 * Claims about belt push, and how it fails.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "tests/integration/cli_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define READY "belt:{default}"

enum { PATIENCE_MS = 30 * 1000 };

static struct redis *server;

static int setup(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    return 0;
}

/* The envelope at index of the default queue, owned. */
static char *envelope_at(int index)
{
    redisReply *r = redis_cmd(server, "LINDEX %s %d", READY, index);

    assert_int_equal(r->type, REDIS_REPLY_STRING);
    char *text = strdup(r->str);
    freeReplyObject(r);
    return text;
}

static void expect_payload(const char *payload)
{
    char *envelope = envelope_at(-1), *end = NULL;
    struct buf tail = {0};

    buf_printf(&tail, ",\"payload\":%s}", payload);
    if (strlen(envelope) > tail.len)
        end = envelope + strlen(envelope) - tail.len;
    if (!end || strcmp(end, tail.data) != 0)
        fail_msg("%s does not end with %s", envelope, tail.data);
    buf_done(&tail);
    free(envelope);
}

static void every_payload_form_arrives_byte_for_byte(void **state)
{
    static const struct {
        const char *args[3], *input, *payload;
    } cases[] = {
        {{NULL}, NULL, "null"},
        {{"{\"n\":12345678901234567890,\"f\":1.0,\"d\":1,\"d\":2}"},
         NULL,
         "{\"n\":12345678901234567890,\"f\":1.0,\"d\":1,\"d\":2}"},
        {{" [1,\t\"\\u00e9\\/\" ] "}, NULL, "[1,\t\"\\u00e9\\/\" ]"},
        {{"-0.0e10"}, NULL, "-0.0e10"},
        {{"\"a=b\""}, NULL, "\"a=b\""},
        {{"true"}, NULL, "true"},
        {{"-"}, "\n {\"a\": 1}\r\n", "{\"a\": 1}"},
        {{"k=v"}, NULL, "{\"k\":\"v\"}"},
        {{"k=\"\n", "j:=[1, 2]", "e="},
         NULL,
         "{\"k\":\"\\\"\\n\",\"j\":[1, 2],\"e\":\"\"}"},
        {{"a=b=c", "u:v=w", "x:={\"y\":\"=\"}"},
         NULL,
         "{\"a\":\"b=c\",\"u:v\":\"w\",\"x\":{\"y\":\"=\"}}"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        EXPECT(server, cases[i].input, 0, "default/", NULL, "push", "t",
               cases[i].args[0], cases[i].args[0] ? cases[i].args[1] : NULL,
               cases[i].args[1] ? cases[i].args[2] : NULL);
        expect_payload(cases[i].payload);
    }
    assert_int_equal(redis_int(server, "LLEN %s", READY), LEN(cases));
}

static void a_file_is_a_payload(void **state)
{
    char path[128], arg[130];

    (void)state;
    snprintf(path, sizeof(path), "%s/payload.json", redis_dir(server));
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs("{\n  \"pretty\": 1\n}\n", f);
    assert_int_equal(fclose(f), 0);
    snprintf(arg, sizeof(arg), "@%s", path);
    EXPECT(server, NULL, 0, NULL, NULL, "push", "t", arg);
    expect_payload("{\n  \"pretty\": 1\n}");
    EXPECT(server, NULL, 66, NULL, "/nowhere: No such", "push", "t",
           "@/nowhere");
}

static void bad_payloads_are_refused_with_65(void **state)
{
    static const char *const cases[] = {
        "",        "text", "{\"a\":}", "[1,]", "\"\x80\"",    "1 2",
        "a:=text", "=v",   ":=1",      "nul",  "\"\\ud800\"",
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++)
        EXPECT(server, NULL, 65, NULL, "belt push: ", "push", "t", cases[i]);
    EXPECT(server, NULL, 65, NULL, "a: given twice", "push", "t", "a=1",
           "a:=2");
    EXPECT(server, NULL, 65, NULL, "neither key=value", "push", "t", "a=1",
           "{}");
    EXPECT(server, "12345", 65, NULL, "the limit is 64", "push", "t", "-",
           "--max-bytes", "64");
    struct buf big = {0};
    for (int i = 0; i < 200000; i++)
        buf_str(&big, "      ");
    EXPECT(server, big.data, 65, NULL, "more than", "push", "t", "-");
    buf_done(&big);
    assert_int_equal(redis_int(server, "EXISTS %s", READY), 0);
}

static void flags_become_members(void **state)
{
    (void)state;
    EXPECT(server, NULL, 0, "mail/a.b:c\n", NULL, "push", "t", "-q", "mail",
           "--id", "a.b:c", "--max-attempts=3", "--timeout", "1m30s", "--keep",
           "2h", "1");
    redisReply *r = redis_cmd(server, "LINDEX belt:{mail} 0");
    assert_non_null(strstr(r->str, "{\"id\":\"a.b:c\",\"type\":\"t\","));
    assert_non_null(strstr(r->str, "\"max_attempts\":3,\"timeout\":90000,"
                                   "\"keep\":7200000,\"payload\":1}"));
    freeReplyObject(r);
    assert_int_equal(redis_int(server, "SISMEMBER belt:queues mail"), 1);
    EXPECT(server, NULL, 0, NULL, NULL, "push", "-q", "mail", "--front",
           "first");
    r = redis_cmd(server, "LINDEX belt:{mail} 0");
    assert_non_null(strstr(r->str, "\"type\":\"first\""));
    freeReplyObject(r);
}

static void the_printed_id_is_the_one_in_redis(void **state)
{
    struct cli_result r = CLI(server, NULL, "push", "t", "-o", "json");
    json_t *printed = json_loads(r.out, 0, NULL);
    char *envelope = envelope_at(0);
    json_t *stored = json_loads(envelope, 0, NULL);

    (void)state;
    assert_string_equal(json_string_value(json_object_get(printed, "id")),
                        json_string_value(json_object_get(stored, "id")));
    assert_string_equal(json_string_value(json_object_get(printed, "queue")),
                        "default");
    json_decref(printed);
    json_decref(stored);
    free(envelope);
    cli_result_done(&r);
}

static void another_namespace_is_another_belt(void **state)
{
    (void)state;
    EXPECT(server, NULL, 0, NULL, NULL, "--namespace", "other", "push", "t");
    assert_int_equal(redis_int(server, "LLEN other:{default}"), 1);
    assert_int_equal(redis_int(server, "EXISTS %s", READY), 0);
}

static void
an_unreachable_redis_is_69_at_once_without_the_password(void **state)
{
    int64_t started_ms = clock_ms();
    struct cli_result r =
        CLI(NULL, NULL, "push", "t", "-u", "unix://u:sEcReT@/no/where.sock");

    (void)state;
    assert_int_equal(r.status, 69);
    assert_non_null(strstr(r.err, "belt push: unix:///no/where.sock: "));
    assert_null(strstr(r.err, "sEcReT"));
    assert_true(clock_ms() - started_ms < 4000);
    cli_result_done(&r);
    EXPECT(NULL, "{\"type\":\"a\"}", 69, NULL, "/no/where.sock", "push",
           "--ndjson", "-u", "unix:///no/where.sock");
}

static void a_redis_that_does_not_answer_is_69_in_time(void **state)
{
    int64_t started_ms = clock_ms();

    (void)state;
    kill(redis_pid(server), SIGSTOP);
    struct cli_result r = CLI(server, NULL, "--timeout", "300ms", "push", "t");
    kill(redis_pid(server), SIGCONT);
    assert_int_equal(r.status, 69);
    /* The loop's timers are a few milliseconds coarse. */
    assert_true(clock_ms() - started_ms >= 280);
    assert_true(clock_ms() - started_ms < 4000);
    assert_int_equal(redis_int(server, "EXISTS %s", READY), 0);
    cli_result_done(&r);
}

static void out_of_memory_is_75_and_pushes_nothing(void **state)
{
    (void)state;
    redis_do(server, "CONFIG SET maxmemory 1");
    EXPECT(server, NULL, 75, "", "OOM", "push", "t");
    EXPECT(server, "{\"type\":\"a\"}\n", 75, NULL, "OOM", "push", "--ndjson");
    EXPECT(server, "{\"type\":\"a\"}\n", 75, NULL, "--skip 0", "push",
           "--ndjson");
    redis_do(server, "CONFIG SET maxmemory 0");
    assert_int_equal(redis_int(server, "EXISTS %s", READY), 0);
}

/* The name of the queue, which travels in front, is held up; the push behind
 * it has arrived. */
static bool the_push_waits_in_redis(void *arg)
{
    redisReply *r = redis_cmd(server, "CLIENT LIST");
    const char *belt = strstr(r->str, " name=belt ");
    const char *unread = belt ? strstr(belt, " qbuf=") : NULL;
    bool waits = unread && atoi(unread + 6) > 0;

    (void)arg;
    freeReplyObject(r);
    return waits;
}

static void a_newer_format_is_78_and_pushes_nothing(void **state)
{
    (void)state;
    redis_do(server, "HSET belt:{next}:config format 2");
    EXPECT(server, NULL, 78, "", "format 2", "push", "t", "-q", "next");
    EXPECT(server, "{\"type\":\"a\"}\n", 78, NULL, "format 2", "push",
           "--ndjson", "-q", "next");
    assert_int_equal(redis_int(server, "EXISTS belt:{next}"), 0);
}

/* The name of the queue, which travels in front, is held up; the push behind
 * it has arrived. */
static void expect_unknown(const char *const *argv, const char *text)
{
    struct redis *plain = server;
    struct cli_result r;
    struct cli c;

    server = redis_start(NULL);
    redis_do(server, "CLIENT PAUSE 100000 WRITE");
    cli_start(&c, server, -1, argv);
    (void)cli_write(&c, "{\"type\":\"a\"}\n", 13);
    assert_true(wait_until(the_push_waits_in_redis, NULL, PATIENCE_MS));
    redis_kill9(server);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 75);
    assert_non_null(strstr(r.err, text));
    assert_string_equal(r.out, "");
    cli_result_done(&r);
    redis_stop(server);
    server = plain;
}

static void a_push_without_an_answer_is_75_outcome_unknown(void **state)
{
    (void)state;
    expect_unknown((const char *const[]){"push", "t", NULL},
                   "outcome unknown: ");
    expect_unknown((const char *const[]){"push", "--ndjson", NULL},
                   "outcome unknown: lines 1 to 1");
}

static void missing_rights_are_77(void **state)
{
    char url[160];

    (void)state;
    redis_do(server, "ACL SETUSER weak on >pw ~* +ping +client +sadd");
    snprintf(url, sizeof(url), "unix://weak:pw@%s",
             redis_url(server) + strlen("unix://"));
    EXPECT(NULL, NULL, 77, NULL, "NOPERM", "push", "t", "-u", url);
    EXPECT(NULL, "{\"type\":\"a\"}", 77, NULL, "NOPERM", "push", "--ndjson",
           "-u", url);
    snprintf(url, sizeof(url), "unix://weak:bad@%s",
             redis_url(server) + strlen("unix://"));
    EXPECT(NULL, NULL, 77, NULL, "WRONGPASS", "push", "t", "-u", url);
    redis_do(server, "CONFIG SET requirepass pw");
    EXPECT(server, NULL, 77, NULL, "NOAUTH", "push", "t");
    redis_do(server, "CONFIG SET requirepass %s", "");
}

static void output_that_cannot_be_written_is_74(void **state)
{
    (void)state;
    cli_set_stdout("/dev/full");
    EXPECT(server, NULL, 74, NULL, "No space left", "push", "t");
    EXPECT(server, "{\"type\":\"a\"}", 74, NULL, "standard output", "push",
           "--ndjson", "-o", "ndjson");
    cli_set_stdout(NULL);
}

static void misuse_is_64_and_reaches_no_redis(void **state)
{
    static const char *const cases[][4] = {
        {"push"},
        {"push", "--ndjson", "a", "b"},
        {"push", "--ndjson", "--front"},
        {"push", "--ndjson", "--keep=1h"},
        {"push", "--ndjson", "--json"},
        {"push", "t", "--id", "a/b"},
        {"push", "t", "--skip=3"},
        {"push", "t", "-q", "no queue"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++)
        EXPECT(NULL, NULL, 64, NULL, "belt push: ", cases[i][0], cases[i][1],
               cases[i][1] ? cases[i][2] : NULL,
               cases[i][1] && cases[i][2] ? cases[i][3] : NULL);
    EXPECT(NULL, NULL, 66, NULL, "/nowhere: No such", "push", "--ndjson",
           "/nowhere");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_payload_form_arrives_byte_for_byte, setup),
        cmocka_unit_test_setup(a_file_is_a_payload, setup),
        cmocka_unit_test_setup(bad_payloads_are_refused_with_65, setup),
        cmocka_unit_test_setup(flags_become_members, setup),
        cmocka_unit_test_setup(the_printed_id_is_the_one_in_redis, setup),
        cmocka_unit_test_setup(another_namespace_is_another_belt, setup),
        cmocka_unit_test_setup(
            an_unreachable_redis_is_69_at_once_without_the_password, setup),
        cmocka_unit_test_setup(a_redis_that_does_not_answer_is_69_in_time,
                               setup),
        cmocka_unit_test_setup(out_of_memory_is_75_and_pushes_nothing, setup),
        cmocka_unit_test_setup(a_newer_format_is_78_and_pushes_nothing, setup),
        cmocka_unit_test_setup(a_push_without_an_answer_is_75_outcome_unknown,
                               setup),
        cmocka_unit_test_setup(missing_rights_are_77, setup),
        cmocka_unit_test_setup(output_that_cannot_be_written_is_74, setup),
        cmocka_unit_test_setup(misuse_is_64_and_reaches_no_redis, setup),
    };

    server = redis_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_stop(server);
    return failed;
}
