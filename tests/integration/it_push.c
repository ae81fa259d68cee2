/*
 * Claims about belt push, one job and many.
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

enum { PATIENCE_MS = 30 * 1000, LONG_LINE = 100 << 20 };

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

/* ---- many jobs ---- */

/* Lines {"type":"t","payload":N} for N in [from, to). */
static void append_lines(struct buf *b, int from, int to)
{
    for (int i = from; i < to; i++)
        buf_printf(b, "{\"type\":\"t\",\"payload\":%d}\n", i);
}

/* Checks that elements [at, at + n) of the queue have payloads from, from+1… */
static void expect_run(int at, int n, int from)
{
    for (int done = 0; done < n;) {
        int page = n - done < 5000 ? n - done : 5000;
        redisReply *r = redis_cmd(server, "LRANGE %s %d %d", READY, at + done,
                                  at + done + page - 1);
        assert_int_equal(r->elements, page);
        for (size_t i = 0; i < r->elements; i++, done++) {
            const char *p = strstr(r->element[i]->str, "\"payload\":");
            assert_non_null(p);
            assert_int_equal(atoi(p + 10), from + done);
        }
        freeReplyObject(r);
    }
}

static struct cli_result push_buf(const struct buf *b, const char *const *argv)
{
    int fd = cli_file(b->data, b->len);
    struct cli_result r;
    struct cli c;

    cli_start(&c, server, fd, argv);
    close(fd);
    cli_finish(&c, &r);
    return r;
}

static void two_hundred_thousand_lines_arrive_in_order(void **state)
{
    struct buf b = {0};

    (void)state;
    append_lines(&b, 0, 200000);
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "");
    assert_non_null(strstr(r.err, "200 000 jobs pushed to default"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 200000);
    expect_run(0, 200000, 0);
    cli_result_done(&r);
    buf_done(&b);
}

static void bad_lines_are_told_by_number_and_skipped(void **state)
{
    static const char input[] = "{\"type\":\"a\"}\r\n"
                                "\n"
                                "nonsense\n"
                                "  \t \r\n"
                                " {\"type\":\"b\"} \n"
                                "{\"type\":\"\"}\n"
                                "{\"type\":\"c\",\"id\":\"no/id\"}\n"
                                "{\"type\":\"d\"}";
    struct cli_result r = CLI(server, input, "push", "--ndjson", "-");

    (void)state;
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "belt push: line 3: "));
    assert_non_null(strstr(r.err, "belt push: line 6: "));
    assert_non_null(strstr(r.err, "belt push: line 7: id"));
    assert_null(strstr(r.err, "line 2: "));
    assert_non_null(strstr(r.err, "3 jobs pushed"));
    assert_non_null(strstr(r.err, "3 bad lines skipped"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 3);
    cli_result_done(&r);
}

static void after_twenty_bad_lines_they_are_only_counted(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_str(&b, "bad\n");
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "line 20: "));
    assert_null(strstr(r.err, "line 21: "));
    assert_non_null(strstr(r.err, "980 more bad lines"));
    cli_result_done(&r);
    buf_done(&b);
}

static void with_a_type_the_lines_are_payloads(void **state)
{
    (void)state;
    EXPECT(server, "{\"a\": 1}\n 12345678901234567890 \n[\n", 65, NULL,
           "line 3: ", "push", "--ndjson", "--type", "img", "--keep", "1h");
    assert_int_equal(redis_int(server, "LLEN %s", READY), 2);
    expect_payload("12345678901234567890");
    char *envelope = envelope_at(0);
    assert_non_null(strstr(envelope, "\"type\":\"img\","));
    assert_non_null(strstr(envelope, "\"keep\":3600000,"
                                     "\"payload\":{\"a\": 1}}"));
    free(envelope);
}

static void the_printed_ids_are_those_in_redis_in_order(void **state)
{
    struct buf b = {0};

    (void)state;
    append_lines(&b, 0, 2500);
    struct cli_result r = push_buf(
        &b, (const char *const[]){"push", "--ndjson", "-o", "ndjson", NULL});
    assert_int_equal(r.status, 0);
    redisReply *all = redis_cmd(server, "LRANGE %s 0 -1", READY);
    assert_int_equal(all->elements, 2500);
    const char *line = r.out;
    for (size_t i = 0; i < all->elements; i++) {
        char want[128];
        snprintf(want, sizeof(want), "{\"queue\":\"default\",\"id\":\"%.26s\"}",
                 all->element[i]->str + 7);
        assert_memory_equal(line, want, strlen(want));
        line += strlen(want) + 1;
    }
    assert_ptr_equal(line, r.out + r.out_len);
    freeReplyObject(all);
    cli_result_done(&r);
    buf_done(&b);
}

static bool queue_has(void *arg)
{
    const int *n = arg;

    return redis_int(server, "LLEN %s", READY) >= *n;
}

static void slow_input_is_pushed_as_it_comes(void **state)
{
    struct cli_result r;
    struct cli c;

    (void)state;
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    for (int n = 1; n <= 3; n++) {
        static const char line[] = "{\"type\":\"t\"}\n";
        assert_true(cli_write(&c, line, sizeof(line) - 1));
        assert_true(wait_until(queue_has, &n, PATIENCE_MS));
    }
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(redis_int(server, "LLEN %s", READY), 3);
    cli_result_done(&r);
}

static void a_line_of_100_mb_is_skipped_in_constant_memory(void **state)
{
    char *block = malloc(1 << 20);
    struct cli_result small =
        CLI(server, "{\"type\":\"a\"}\n", "push", "--ndjson");
    struct cli_result r;
    struct cli c;

    (void)state;
    assert_non_null(block);
    memset(block, 'x', 1 << 20);
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    for (int i = 0; i < LONG_LINE >> 20; i++)
        assert_true(cli_write(&c, block, 1 << 20));
    assert_true(cli_write(&c, "\n{\"type\":\"b\"}\n", 14));
    cli_finish(&c, &r);
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "line 1: longer than --max-bytes"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 2);
    assert_in_range(r.rss_kb, 1, small.rss_kb + 16 * 1024);
    cli_result_done(&small);
    cli_result_done(&r);
    free(block);
}

static void big_jobs_up_to_the_limit_arrive(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 5; i++) {
        buf_str(&b, "{\"id\":\"x\",\"type\":\"t\",\"created_at\":1,\"p\":\"");
        size_t tail = i < 4 ? 1024 * 1024 - 45 - 2 : 1024 * 1024;
        buf_reserve(&b, tail);
        memset(b.data + b.len, 'x', tail);
        b.len += tail;
        buf_str(&b, "\"}\n");
    }
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "line 5: "));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 4);
    cli_result_done(&r);
    buf_done(&b);
}

static int skip_of(const char *err)
{
    const char *p = strstr(err, "to resume behind them: --skip ");

    if (!p)
        fail_msg("no --skip in: %s", err);
    return atoi(strstr(p, "--skip ") + 7);
}

static void an_interrupted_push_tells_exactly_where_to_resume(void **state)
{
    struct buf b = {0};
    struct cli_result r;
    struct cli c;
    char skip[16];
    int some = 1500;

    (void)state;
    append_lines(&b, 0, 3000);
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    assert_true(cli_write(&c, b.data, b.len));
    assert_true(wait_until(queue_has, &some, PATIENCE_MS));
    kill(c.pid, SIGINT);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 128 + SIGINT);
    int done = skip_of(r.err);
    assert_int_equal(redis_int(server, "LLEN %s", READY), done);
    cli_result_done(&r);
    snprintf(skip, sizeof(skip), "%d", done);
    r = push_buf(
        &b, (const char *const[]){"push", "--ndjson", "--skip", skip, NULL});
    /* Nothing may be left to do, and then zero lines are pushed. */
    assert_int_equal(r.status, 0);
    assert_int_equal(redis_int(server, "LLEN %s", READY), 3000);
    expect_run(0, 3000, 0);
    cli_result_done(&r);
    buf_done(&b);
}

/*
 * Redis, which writes its log at once, is killed in the middle of a push.
 * What it has then begins with the lines that were acknowledged; more of them
 * may be there, and come a second time when the push is resumed.
 */
static void after_a_killed_redis_the_push_resumes_without_a_hole(void **state)
{
    enum { TOTAL = 400000 };
    struct redis_opts opts = {.appendonly = true, .conf = "appendfsync always"};
    struct redis *plain = server;
    struct buf b = {0};
    struct cli_result r;
    struct cli c;
    char skip[16];
    int some = 20000;

    (void)state;
    server = redis_start(&opts);
    append_lines(&b, 0, TOTAL);
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    assert_true(cli_write(&c, b.data, b.len / 4));
    assert_true(wait_until(queue_has, &some, PATIENCE_MS));
    redis_kill9(server);
    (void)cli_write(&c, b.data + b.len / 4, b.len - b.len / 4);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 75);
    int acked = skip_of(r.err);
    cli_result_done(&r);
    redis_restart(server);
    int there = (int)redis_int(server, "LLEN %s", READY);
    assert_in_range(acked, 1, TOTAL - 1);
    assert_in_range(there, acked, TOTAL);
    snprintf(skip, sizeof(skip), "%d", acked);
    r = push_buf(
        &b, (const char *const[]){"push", "--ndjson", "--skip", skip, NULL});
    assert_int_equal(r.status, 0);
    cli_result_done(&r);
    expect_run(0, there, 0);
    expect_run(there, TOTAL - acked, acked);
    assert_int_equal(redis_int(server, "LLEN %s", READY),
                     there + TOTAL - acked);
    buf_done(&b);
    redis_stop(server);
    server = plain;
}

/* ---- failures ---- */

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
    assert_true(clock_ms() - started_ms >= 300);
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

static bool somebody_is_blocked(void *arg)
{
    redisReply *r = redis_cmd(server, "INFO clients");
    bool blocked = strstr(r->str, "\r\nblocked_clients:0\r\n") == NULL;

    (void)arg;
    freeReplyObject(r);
    return blocked;
}

static void expect_unknown(const char *const *argv, const char *text)
{
    struct redis *plain = server;
    struct cli_result r;
    struct cli c;

    server = redis_start(NULL);
    redis_do(server, "CLIENT PAUSE 100000 WRITE");
    cli_start(&c, server, -1, argv);
    (void)cli_write(&c, "{\"type\":\"a\"}\n", 13);
    assert_true(wait_until(somebody_is_blocked, NULL, PATIENCE_MS));
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
        cmocka_unit_test_setup(two_hundred_thousand_lines_arrive_in_order,
                               setup),
        cmocka_unit_test_setup(bad_lines_are_told_by_number_and_skipped, setup),
        cmocka_unit_test_setup(after_twenty_bad_lines_they_are_only_counted,
                               setup),
        cmocka_unit_test_setup(with_a_type_the_lines_are_payloads, setup),
        cmocka_unit_test_setup(the_printed_ids_are_those_in_redis_in_order,
                               setup),
        cmocka_unit_test_setup(slow_input_is_pushed_as_it_comes, setup),
        cmocka_unit_test_setup(a_line_of_100_mb_is_skipped_in_constant_memory,
                               setup),
        cmocka_unit_test_setup(big_jobs_up_to_the_limit_arrive, setup),
        cmocka_unit_test_setup(
            an_interrupted_push_tells_exactly_where_to_resume, setup),
        cmocka_unit_test_setup(
            after_a_killed_redis_the_push_resumes_without_a_hole, setup),
        cmocka_unit_test_setup(
            an_unreachable_redis_is_69_at_once_without_the_password, setup),
        cmocka_unit_test_setup(a_redis_that_does_not_answer_is_69_in_time,
                               setup),
        cmocka_unit_test_setup(out_of_memory_is_75_and_pushes_nothing, setup),
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
