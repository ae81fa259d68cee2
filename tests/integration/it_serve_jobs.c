/*
 * Claims about what HTTP says of one job, and does to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#define FAR_FUTURE "9999999999999"
#define JOBS "/v1/queues/q/jobs/"

static struct web *web; /* one for the program, emptied for each test */

static int start(void **state)
{
    void *made;

    (void)web_setup(&made);
    *state = web = made;
    web_begin(web, NULL);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    redis_do(web->r, "FLUSHALL");
    return 0;
}

static void hash(const char *id, const char *fields)
{
    char *command = mem_printf("HSET belt:{q}:job:%s %s", id, fields);

    redis_do(web->r, command);
    free(command);
}

static long long number(const char *command)
{
    return redis_int(web->r, command);
}

#define SAYS(method, path, status, text)                                       \
    web_expect(web, (method), JOBS path, NULL, NULL, (status), (text))

/* ---- how it stands ---- */

/* Each member that belt status -o json shows has the same value here. */
static void expect_as_status(const char *id)
{
    char *name = mem_printf("q/%s", id), *path = mem_printf(JOBS "%s", id);
    struct cli_result r = CLI(web->r, NULL, "status", name, "--json");
    json_t *rows = json_loads(r.out, JSON_DECODE_INT_AS_REAL, NULL);
    json_t *status = json_array_get(rows, 0);
    struct web_reply a;
    const char *key;
    json_t *value;

    if (r.status != 0)
        fail_msg("%s: status %d: %s%s", id, r.status, r.out, r.err);
    web_ask(web, "GET", path, NULL, NULL, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Content-Type"), "application/json");
    json_t *job = json_loads(a.body, JSON_DECODE_INT_AS_REAL, NULL);
    if (!job || !status)
        fail_msg("%s: no JSON: %s %s", id, r.out, a.body);
    json_object_foreach(status, key, value)
    {
        if (!json_equal(value, json_object_get(job, key)))
            fail_msg("%s: %s differs: %s %s", id, key, r.out, a.body);
    }
    assert_int_equal(json_object_size(job), json_object_size(status) + 1);
    json_decref(rows);
    json_decref(job);
    web_reply_done(&a);
    cli_result_done(&r);
    free(name);
    free(path);
}

static void fill_with_jobs(void)
{
    redis_do(web->r, "ZADD belt:{q}:leases " FAR_FUTURE " w.1");
    hash("active", "state active type mail attempt 2 worker w lane w.1 "
                   "created_at 1000 started_at 2000 progress 40 message half");
    hash("moved", "state active type t worker w lane w.7");
    hash("lost", "state active type t worker v lane v.1");
    hash("due", "state retry type t due_at 1000 error oops attempt 1");
    hash("later", "state scheduled type t due_at " FAR_FUTURE);
    hash("done", "state done type t attempt 1 exit 0 cpu_ms 12 peak_rss "
                 "9223372036854775807 "
                 "started_at 5 ended_at 6 log_lines 3");
    redis_do(web->r, "HSET belt:{q}:job:done result %s",
             "{\"big\":12345678901234567890, \"a\": [1.50]}");
    hash("dead", "state dead type t exit 7");
    redis_do(web->r, "HSET belt:{q}:job:dead error %s",
             "{\"class\":\"exit\",\"message\":\"no\"}");
    redis_do(web->r, "ZADD belt:{q}:scheduled " FAR_FUTURE " %s",
             "{\"id\":\"s\",\"type\":\"t\",\"created_at\":1785000000123}");
    redis_do(web->r, "ZADD belt:{q}:retry " FAR_FUTURE " %s",
             "{\"recovered\":[7],\"id\":\"r\",\"type\":\"t\",\"attempt\":3,"
             "\"error\":{\"class\":\"exit\",\"message\":\"no\"}}");
    redis_do(web->r, "ZADD belt:{q}:dead 77 %s",
             "{\"id\":\"d\",\"type\":\"t\"}");
    redis_do(web->r, "RPUSH belt:{q}:active:w.1 %s",
             "{\"id\":\"a\",\"type\":\"t\"}");
}

static void a_job_is_told_as_belt_status_tells_it(void **state)
{
    static const char *const ids[] = {"active", "moved", "lost", "due",
                                      "later",  "done",  "dead", "s",
                                      "r",      "d",     "a"};

    (void)state;
    fill_with_jobs();
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        expect_as_status(ids[i]);
    SAYS("GET", "active", 200, "\"state\":\"active\"");
    SAYS("GET", "moved", 200, "\"state\":\"active\"");
    SAYS("GET", "lost", 200, "\"state\":\"recovering\"");
    SAYS("GET", "due", 200, "\"state\":\"ready\"");
    SAYS("GET", "later", 200, "\"state\":\"scheduled\"");
    SAYS("GET", "s", 200, "\"created_at\":1785000000123,");
    SAYS("GET", "s", 200, "\"kept\":false");
    SAYS("GET", "done", 200, "\"peak_rss\":9223372036854775807,");
    SAYS("GET", "done", 200, /* verbatim */
         "\"result\":{\"big\":12345678901234567890, \"a\": [1.50]}}\n");
}

static void strangers_bytes_are_json_all_the_same(void **state)
{
    struct web_reply a;

    (void)state;
    redis_do(web->r, "HSET belt:{q}:job:x state done message %b result %b",
             "\"\xff\x1b[2J\n", (size_t)7, "{\"broken\":\x01\xfe", (size_t)12);
    redis_do(web->r, "HSET belt:{q}:job:x progress %s type %s", "\"}", "</x>");
    web_ask(web, "GET", JOBS "x", NULL, NULL, &a);
    json_t *job = json_loads(a.body, 0, NULL);
    if (!job)
        fail_msg("no JSON: %s", a.body);
    assert_string_equal(json_string_value(json_object_get(job, "message")),
                        "\"\xef\xbf\xbd\x1b[2J\n");
    assert_string_equal(json_string_value(json_object_get(job, "result")),
                        "{\"broken\":\x01\xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(job, "progress")),
                        "\"}");
    json_decref(job);
    web_reply_done(&a);
}

static void one_that_is_not_found_is_a_404(void **state)
{
    (void)state;
    redis_do(web->r, "RPUSH belt:{q} %s", "{\"id\":\"ready\",\"type\":\"t\"}");
    SAYS("GET", "nowhere", 404, "urn:belt:problem:not-found");
    SAYS("GET", "nowhere", 404, "for as long as it is kept");
    SAYS("GET", "ready", 404, "not-found"); /* not looked for, as told */
    SAYS("GET", "nowhere?wat=1", 400, "invalid-query");
}

static long long calls_of(const char *command)
{
    redisReply *r = redis_cmd(web->r, "INFO commandstats");
    char *line = mem_printf("cmdstat_%s:calls=", command);
    const char *at = strstr(r->str, line);
    long long n = at ? strtoll(at + strlen(line), NULL, 10) : 0;

    freeReplyObject(r);
    free(line);
    return n;
}

static void a_kept_job_costs_one_hmget(void **state)
{
    (void)state;
    hash("x", "state done");
    hash("y", "state active");
    redis_do(web->r, "CONFIG RESETSTAT");
    for (int i = 0; i < 10; i++) {
        SAYS("GET", "x", 200, "done");
        SAYS("GET", "y", 200, "active");
    }
    assert_int_equal(calls_of("hmget"), 20);
    assert_int_equal(calls_of("time") + calls_of("zscan") + calls_of("zscore") +
                         calls_of("zrange"),
                     0);
}

static void what_has_not_ended_says_when_to_ask_again(void **state)
{
    static const struct {
        const char *fields, *after;
    } rows[] = {
        {"state ready", "1"},
        {"state done", ""},
        {"state dead", ""},
        {"state scheduled due_at " FAR_FUTURE, "60"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web_reply a;
        hash("x", rows[i].fields);
        web_ask(web, "GET", JOBS "x", NULL, NULL, &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(web_header(&a, "Retry-After"), rows[i].after);
        web_reply_done(&a);
    }
}

/* ---- result ---- */

static void a_result_is_its_bytes(void **state)
{
    static const struct {
        const char *bytes, *type;
        size_t len;
    } rows[] = {
        {"{\"a\": 1}\n", "application/json", 9},
        {"<b>hello</b>\n", "text/plain; charset=utf-8", 13},
        {"\0\xff\xfe", "application/octet-stream", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web_reply a;
        redis_do(web->r, "HSET belt:{q}:job:x state done result %b",
                 rows[i].bytes, rows[i].len);
        web_ask(web, "GET", JOBS "x/result", NULL, NULL, &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(web_header(&a, "Content-Type"), rows[i].type);
        assert_string_equal(web_header(&a, "X-Content-Type-Options"),
                            "nosniff");
        assert_int_equal(a.body_len, rows[i].len);
        assert_memory_equal(a.body, rows[i].bytes, rows[i].len);
        web_reply_done(&a);
    }
    redis_do(web->r, "HSET belt:{q}:job:x result %s", "");
    SAYS("GET", "x/result", 204, NULL);
    redis_do(web->r, "HDEL belt:{q}:job:x result");
    SAYS("GET", "x/result", 204, NULL);
}

static void without_a_result_it_is_told_why(void **state)
{
    struct web_reply a;

    (void)state;
    SAYS("GET", "x/result", 404, "not kept");
    hash("x", "state active");
    web_ask(web, "GET", JOBS "x/result", NULL, NULL, &a);
    assert_int_equal(a.status, 409);
    assert_non_null(strstr(a.body, "urn:belt:problem:not-ended"));
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    web_reply_done(&a);
    redis_do(web->r, "HSET belt:{q}:job:x state dead error %s",
             "{\"class\":\"exit\",\"message\":\"no \\\"disk\\\"\"}");
    SAYS("GET", "x/result", 409, "urn:belt:problem:no-result");
    SAYS("GET", "x/result", 409, "q/x: dead: exit: no \\\"disk\\\"");
    SAYS("GET", "x/result?raw=1", 400, "invalid-query");
}

/* ---- log ---- */

static void add_lines(int first, int last)
{
    for (int n = first; n <= last; n++)
        redis_do(web->r,
                 "RPUSH belt:{q}:log:x "
                 "{\"n\":%d,\"at\":5,\"attempt\":1,\"source\":\"stderr\","
                 "\"message\":\"line-%d\"}",
                 n, n);
}

#define LINE(n, text)                                                          \
    "{\"n\":" n ",\"at\":5,\"attempt\":1,\"source\":\"stderr\",\"level\":"     \
    "\"\",\"message\":\"" text "\",\"raw\":null,\"more\":false}"

static void a_log_goes_on_behind_a_line(void **state)
{
    (void)state;
    SAYS("GET", "x/log", 404, "not kept");
    hash("x", "state active");
    SAYS("GET", "x/log", 200, "{\"lines\":[],\"missing\":0,\"last\":0}");
    add_lines(4, 9); /* the first three are gone */
    SAYS("GET", "x/log?lines=2", 200,
         "{\"lines\":[\n" LINE("8", "line-8") ",\n" LINE(
             "9", "line-9") "\n],\"missing\":0,\"last\":9}");
    SAYS("GET", "x/log?after=0&lines=1", 200,
         "[\n" LINE("4", "line-4") "\n],\"missing\":3,\"last\":4}");
    SAYS("GET", "x/log?after=7", 200,
         "[\n" LINE("8", "line-8") ",\n" LINE(
             "9", "line-9") "\n],\"missing\":0,\"last\":9}");
    SAYS("GET", "x/log?after=9", 200, "[],\"missing\":0,\"last\":9}");
    SAYS("GET", "x/log?lines=0", 400, "lines");
    SAYS("GET", "x/log?lines=1001", 400, "lines");
    SAYS("GET", "x/log?after=-1", 400, "after");
    SAYS("GET", "x/log?follow=1", 400, "follow");
}

static void a_log_comes_as_ndjson_too(void **state)
{
    struct web_reply a;

    (void)state;
    hash("x", "state active");
    add_lines(1, 2);
    redis_do(
        web->r, "RPUSH belt:{q}:log:x %s",
        "{\"n\":3,\"source\":\"log\",\"level\":\"warn\",\"raw\":\"/w==\"}");
    web_ask(web, "GET", JOBS "x/log",
            "Accept: application/x-ndjson, */*;q=0.1\r\n", NULL, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Content-Type"), "application/x-ndjson");
    assert_string_equal(
        a.body,
        LINE("1", "line-1") "\n" LINE(
            "2",
            "line-2") "\n"
                      "{\"n\":3,\"at\":0,\"attempt\":0,\"source\":\"log\","
                      "\"level\":\"warn\",\"message\":null,\"raw\":\"/w==\","
                      "\"more\":false}\n");
    web_reply_done(&a);
}

/* ---- cancel ---- */

static void what_waits_is_cancelled_at_once(void **state)
{
    (void)state;
    redis_do(web->r, "ZADD belt:{q}:scheduled " FAR_FUTURE " %s",
             "{\"id\":\"s\",\"type\":\"t\",\"keep\":60000}");
    hash("s", "state scheduled");
    redis_do(web->r, "ZADD belt:{q}:retry " FAR_FUTURE " %s",
             "{\"id\":\"r\",\"type\":\"t\"}");
    SAYS("POST", "s/cancel", 200,
         "{\"queue\":\"q\",\"id\":\"s\",\"state\":\"cancelled\"}");
    SAYS("POST", "r/cancel", 200, "cancelled");
    assert_int_equal(number("ZCARD belt:{q}:scheduled"), 0);
    assert_int_equal(number("ZCARD belt:{q}:retry"), 0);
    assert_int_equal(number("ZCARD belt:{q}:cancelled"), 0);
    SAYS("GET", "s", 200, "\"state\":\"cancelled\"");
    SAYS("POST", "s/cancel", 200, "cancelled"); /* once more */
}

static void what_is_ready_or_runs_is_marked(void **state)
{
    (void)state;
    redis_do(web->r, "RPUSH belt:{q} %s", "{\"id\":\"a\",\"type\":\"t\"}");
    redis_do(web->r, "ZADD belt:{q}:leases " FAR_FUTURE " w.1");
    redis_do(web->r, "RPUSH belt:{q}:active:w.1 %s",
             "{\"id\":\"b\",\"type\":\"t\"}");
    hash("c", "state active");
    SAYS("POST", "a/cancel", 202, "\"state\":\"marked\"");
    SAYS("POST", "b/cancel", 202, "\"state\":\"marked\"");
    SAYS("POST", "c/cancel", 202, "\"state\":\"marked\"");
    assert_int_equal(number("ZCARD belt:{q}:cancelled"), 3);
}

static void what_has_ended_or_is_nowhere_is_not_cancelled(void **state)
{
    (void)state;
    hash("a", "state done");
    redis_do(web->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"d\",\"type\":\"t\"}");
    SAYS("POST", "a/cancel", 409, "ended already: done");
    SAYS("POST", "d/cancel", 409, "ended already: dead");
    SAYS("POST", "n/cancel", 404, "not-found");
    SAYS("POST", "n/cancel?now=1", 400, "invalid-query");
    assert_int_equal(number("ZCARD belt:{q}:cancelled"), 0); /* no mark stays */
}

/* ---- requeue, delete ---- */

static void what_waits_or_is_dead_becomes_ready(void **state)
{
    char text[256];

    (void)state;
    redis_do(web->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"d\",\"type\":\"t\",\"attempt\":3,\"keep\":60000,"
             "\"unique\":{\"key\":\"k\"}}");
    hash("d", "state dead");
    redis_do(web->r, "ZADD belt:{q}:retry " FAR_FUTURE " %s",
             "{\"id\":\"r\",\"type\":\"t\",\"attempt\":2}");
    redis_do(web->r, "ZADD belt:{q}:scheduled " FAR_FUTURE " %s",
             "{\"id\":\"s\",\"type\":\"t\"}");
    SAYS("POST", "d/requeue", 200,
         "{\"queue\":\"q\",\"id\":\"d\",\"state\":\"ready\"}");
    SAYS("POST", "r/requeue", 200, "ready");
    SAYS("POST", "s/requeue", 200, "ready");
    assert_int_equal(number("LLEN belt:{q}"), 3);
    redis_str(web->r, text, sizeof(text), "LINDEX belt:{q} 0");
    assert_null(strstr(text, "attempt")); /* it begins anew */
    redis_str(web->r, text, sizeof(text), "GET belt:{q}:unique:k");
    assert_string_equal(text, "d");
    SAYS("GET", "d", 200, "\"state\":\"ready\"");
    assert_int_equal(number("ZCARD belt:{q}:dead"), 0);
}

static void one_whose_key_is_held_stays(void **state)
{
    (void)state;
    redis_do(web->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"d\",\"type\":\"t\",\"unique\":{\"key\":\"k\"}}");
    redis_do(web->r, "SET belt:{q}:unique:k other");
    SAYS("POST", "d/requeue", 409, "urn:belt:problem:held");
    SAYS("POST", "d/requeue", 409, "other holds its unique key");
    assert_int_equal(number("ZCARD belt:{q}:dead"), 1);
}

static void what_is_in_a_set_is_deleted(void **state)
{
    (void)state;
    redis_do(web->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"d\",\"type\":\"t\",\"keep\":60000}");
    hash("d", "state dead");
    redis_do(web->r, "ZADD belt:{q}:retry " FAR_FUTURE " %s",
             "{\"id\":\"r\",\"type\":\"t\",\"unique\":{\"key\":\"k\"}}");
    redis_do(web->r, "SET belt:{q}:unique:k r");
    redis_do(web->r, "ZADD belt:{q}:scheduled " FAR_FUTURE " %s",
             "{\"id\":\"s\",\"type\":\"t\"}");
    SAYS("DELETE", "d", 204, NULL);
    SAYS("DELETE", "r", 204, NULL);
    SAYS("DELETE", "s", 204, NULL);
    assert_int_equal(number("EXISTS belt:{q}:dead belt:{q}:retry "
                            "belt:{q}:scheduled belt:{q}:job:d "
                            "belt:{q}:unique:k"),
                     0);
    SAYS("DELETE", "d", 404, "not-found");
}

static void what_is_elsewhere_is_neither_moved_nor_deleted(void **state)
{
    static const struct {
        const char *id, *text;
        int status;
    } rows[] = {{"a", "it is ready", 409},   {"b", "it is active", 409},
                {"c", "it is active", 409},  {"e", "it is ready", 409},
                {"f", "already: done", 409}, {"n", "not-found", 404}};

    (void)state;
    redis_do(web->r, "RPUSH belt:{q} %s", "{\"id\":\"a\",\"type\":\"t\"}");
    redis_do(web->r, "ZADD belt:{q}:leases " FAR_FUTURE " w.1");
    redis_do(web->r, "RPUSH belt:{q}:active:w.1 %s",
             "{\"id\":\"b\",\"type\":\"t\"}");
    hash("c", "state active");
    hash("e", "state ready");
    hash("f", "state done");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *job = mem_printf(JOBS "%s", rows[i].id);
        char *requeue = mem_printf("%s/requeue", job);
        web_expect(web, "DELETE", job, NULL, NULL, rows[i].status,
                   rows[i].text);
        web_expect(web, "POST", requeue, NULL, NULL, rows[i].status,
                   rows[i].text);
        free(job);
        free(requeue);
    }
    SAYS("DELETE", "a", 409, "POST .../cancel");
    SAYS("DELETE", "a?force=1", 400, "invalid-query");
    SAYS("POST", "a/requeue?force=1", 400, "invalid-query");
    assert_int_equal(number("LLEN belt:{q}"), 1);
}

#define CLAIM(test) cmocka_unit_test_setup(test, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_job_is_told_as_belt_status_tells_it),
        CLAIM(strangers_bytes_are_json_all_the_same),
        CLAIM(one_that_is_not_found_is_a_404),
        CLAIM(a_kept_job_costs_one_hmget),
        CLAIM(what_has_not_ended_says_when_to_ask_again),
        CLAIM(a_result_is_its_bytes),
        CLAIM(without_a_result_it_is_told_why),
        CLAIM(a_log_goes_on_behind_a_line),
        CLAIM(a_log_comes_as_ndjson_too),
        CLAIM(what_waits_is_cancelled_at_once),
        CLAIM(what_is_ready_or_runs_is_marked),
        CLAIM(what_has_ended_or_is_nowhere_is_not_cancelled),
        CLAIM(what_waits_or_is_dead_becomes_ready),
        CLAIM(one_whose_key_is_held_stays),
        CLAIM(what_is_in_a_set_is_deleted),
        CLAIM(what_is_elsewhere_is_neither_moved_nor_deleted),
    };

    return cmocka_run_group_tests(tests, start, web_teardown);
}
