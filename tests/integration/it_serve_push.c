/*
 * Claims about one job pushed over HTTP: each outcome and how it is told, what
 * is refused, and the other forms that a job may come in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#define JOBS "/v1/queues/q/jobs"
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* Pushes to q; what came back is owned. */
static struct web_reply push(const struct web *f, const char *headers,
                             const char *body)
{
    struct web_reply a;
    char all[512];
    (void)snprintf(all, sizeof(all), WEB_JSON "%s", headers);
    web_ask(f, "POST", JOBS, all, body, &a);
    return a;
}

static void expect(const struct web *f, const char *body, int status,
                   const char *text)
{
    web_expect(f, "POST", JOBS, WEB_JSON, body, status, text);
}

/* The element of a list from its end, or of a sorted set. */
static void expect_there(const struct web *f, const char *command,
                         const char *text)
{
    redisReply *r = redis_cmd(f->r, command);
    const redisReply *last = r->type == REDIS_REPLY_ARRAY && r->elements > 0
                                 ? r->element[r->elements - 1]
                                 : r;
    if (last->type != REDIS_REPLY_STRING || !strstr(last->str, text))
        fail_msg("%s: %s, not %s", command, last->str ? last->str : "nothing",
                 text);
    freeReplyObject(r);
}

static void a_push_is_accepted_and_told_where_it_is(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    struct web_reply a =
        push(f, "", "{\"type\":\"t\",\"id\":\"j1\",\"payload\":{\"n\": 1.00}}");
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Location"), JOBS "/j1");
    assert_string_equal(a.body, "{\"id\":\"j1\",\"queue\":\"q\",\"state\":"
                                "\"ready\",\"depth\":1}\n");
    web_reply_done(&a);
    expect_there(f, "LRANGE belt:{q} 0 -1", "{\"id\":\"j1\",\"type\":\"t\"");
    expect_there(f, "LRANGE belt:{q} 0 -1", ",\"payload\":{\"n\": 1.00}}");
    assert_int_equal(redis_int(f->r, "SISMEMBER belt:queues q"), 1);
    expect(f, "{\"type\":\"t\",\"id\":\"j2\",\"front\":true}", 202,
           "\"depth\":2");
    expect_there(f, "LRANGE belt:{q} 0 0", "j2");
    expect(f, "{\"type\":\"t\",\"id\":\"j3\",\"in\":\"1h\",\"keep\":\"1d\"}",
           202, "\"state\":\"scheduled\"");
    expect_there(f, "ZRANGE belt:{q}:scheduled 0 -1", "j3");
    expect_there(f, "HGET belt:{q}:job:j3 state", "scheduled");
    web_expect(f, "GET", JOBS "/j3", NULL, NULL, 200, "scheduled");
}

static void an_id_is_made_if_there_is_none(void **state)
{
    struct web *f = *state;
    char there[64];
    web_begin(f, NULL);
    struct web_reply a = push(f, "", "{\"type\":\"t\"}");
    const char *location = web_header(&a, "Location");
    assert_int_equal(strlen(location), strlen(JOBS "/") + 26);
    (void)snprintf(there, sizeof(there), "{\"id\":\"%s\"",
                   location + strlen(JOBS "/"));
    expect_there(f, "LRANGE belt:{q} 0 -1", there);
    web_reply_done(&a);
}

static void a_held_key_is_a_conflict_unless_it_is_to_be_skipped(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    expect(f, "{\"type\":\"t\",\"id\":\"a\",\"unique\":\"k\"}", 202, "ready");
    struct web_reply a =
        push(f, "", "{\"type\":\"t\",\"id\":\"b\",\"unique\":\"k\"}");
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Location"), JOBS "/a");
    assert_string_equal(a.body, "{\"id\":\"a\",\"queue\":\"q\",\"held\":true}"
                                "\n");
    web_reply_done(&a);
    expect(f,
           "{\"type\":\"t\",\"unique\":{\"key\":\"k\",\"on_conflict\":"
           "\"error\"}}",
           409, "\"holder\":\"a\"}");
    expect(f, "{\"type\":\"t\",\"unique\":\"k\",\"on_conflict\":\"replace\"}",
           409, "urn:belt:problem:held");
    expect(f, "{\"type\":\"t\",\"id\":\"a\",\"unique\":\"k\"}", 202,
           "{\"id\":\"a\",\"queue\":\"q\",\"replayed\":true}");
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 1);
}

static void what_is_not_due_yet_can_be_replaced(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    expect(f,
           "{\"type\":\"t\",\"id\":\"a\",\"unique\":\"k\",\"in\":\"1h\","
           "\"keep\":\"1h\"}",
           202, "scheduled");
    struct web_reply a = push(
        f, "",
        "{\"type\":\"u\",\"unique\":\"k\",\"on_conflict\":\"replace\",\"in\":"
        "\"2h\"}");
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Location"), JOBS "/a");
    assert_non_null(strstr(a.body, "\"replaced\":true"));
    web_reply_done(&a);
    assert_int_equal(redis_int(f->r, "ZCARD belt:{q}:scheduled"), 1);
    expect_there(f, "ZRANGE belt:{q}:scheduled 0 -1",
                 "{\"id\":\"a\",\"type\":\"u\"");
    /* Who waited for the old one was told before this was answered. */
    assert_int_equal(redis_int(f->r, "EXISTS belt:{q}:job:a"), 0);
}

static void a_full_queue_is_told_with_its_depth(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    redis_do(f->r, "HSET belt:{q}:config max_length 1");
    expect(f, "{\"type\":\"t\"}", 202, NULL);
    const char *const bodies[] = {"{\"type\":\"t\"}",
                                  "{\"type\":\"t\",\"keep\":\"1h\"}"};
    for (int i = 0; i < 2; i++) {
        struct web_reply a = push(f, "", bodies[i]);
        assert_int_equal(a.status, 429);
        assert_string_equal(web_header(&a, "Retry-After"), "1");
        assert_non_null(strstr(a.body, "urn:belt:problem:queue-full"));
        assert_non_null(strstr(a.body, "\"depth\":1,\"limit\":1}"));
        web_reply_done(&a);
    }
    expect(f, "{\"type\":\"t\",\"in\":\"1h\"}", 202, "scheduled");
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 1);
}

static void what_redis_refuses_is_no_fault_of_the_request(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    redis_do(f->r, "CONFIG SET maxmemory 1");
    expect(f, "{\"type\":\"t\"}", 503, "OOM");
    expect(f, "{\"type\":\"t\",\"keep\":\"1h\"}", 503, "OOM");
    redis_do(f->r, "CONFIG SET maxmemory 0");
    redis_do(f->r, "SET belt:{q} x");
    expect(f, "{\"type\":\"t\"}", 500, "WRONGTYPE");
    redis_do(f->r, "DEL belt:{q}");
    redis_do(f->r, "HSET belt:{q}:config format 9");
    expect(f, "{\"type\":\"t\"}", 500, "format");
}

static void what_is_wrong_has_a_status_of_its_own(void **state)
{
    struct web *f = *state;
    static const char *const flags[] = {"--max-body", "1k", NULL};
    char big[2048];
    web_begin(f, flags);
    expect(f, "{\"type\":\"t\"", 400, "urn:belt:problem:invalid-json");
    expect(f, "", 400, "urn:belt:problem:invalid-json");
    expect(f, "{\"type\":\"t\",\"unique\":{\"key\":\"k\",\"ttl\":0}}", 422,
           "{\"pointer\":\"/unique/ttl\"");
    expect(f, "{\"uniqe\":1}", 422, "/uniqe");
    web_expect(f, "POST", JOBS "?x=1", WEB_JSON, "{\"type\":\"t\"}", 400,
               "invalid-query");
    web_expect(f, "POST", JOBS, "Content-Type: text/plain\r\n", "x", 415,
               "unsupported-media-type");
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: a b\r\n",
               "{\"type\":\"t\"}", 400, "invalid-header");
    /* The body fits, and the envelope, which has an id too, does not. */
    (void)snprintf(big, sizeof(big), "{\"type\":\"t\",\"payload\":\"%0*d\"}",
                   990, 0);
    expect(f, big, 413, "body-too-large");
    assert_int_equal(redis_int(f->r, "EXISTS belt:{q}"), 0);
}

/* ---- other forms ---- */

static void the_trace_of_the_request_is_that_of_the_job(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    struct web_reply a =
        push(f, "traceparent: " TRACE "\r\ntracestate: a=1\r\n",
             "{\"type\":\"t\",\"meta\":{\"x\":1}}");
    assert_int_equal(a.status, 202);
    web_reply_done(&a);
    expect_there(f, "LRANGE belt:{q} 0 -1",
                 "\"meta\":{\"x\":1,\"traceparent\":\"" TRACE
                 "\",\"tracestate\":\"a=1\"}");
}

static void a_raw_body_is_a_payload(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "POST", "/v1/push/img.resize", WEB_JSON, "{\"n\": 1.00}", 202,
               "\"queue\":\"default\"");
    expect_there(f, "LRANGE belt:{default} 0 -1", "\"type\":\"img.resize\"");
    expect_there(f, "LRANGE belt:{default} 0 -1",
                 ",\"payload\":{\"n\": 1.00}}");
    web_expect(f, "POST", "/v1/push/a%2Fb?queue=q&in=1h&unique=k:1h&id=j",
               "Content-Type: text/plain\r\n", "hello", 202, "scheduled");
    expect_there(f, "ZRANGE belt:{q}:scheduled 0 -1",
                 "{\"id\":\"j\",\"type\":\"a/b\"");
    expect_there(f, "ZRANGE belt:{q}:scheduled 0 -1", "\"payload\":\"hello\"");
    assert_int_equal(redis_int(f->r, "PTTL belt:{q}:unique:k") > 3500000, 1);
    web_expect(f, "POST", "/v1/push/t?queue=q", NULL, NULL, 202, "ready");
    expect_there(f, "LRANGE belt:{q} 0 -1", "\"payload\":null");
}

static void a_raw_push_that_is_wrong_is_refused(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "POST", "/v1/push/t", WEB_JSON, "{", 400, "invalid-json");
    web_expect(f, "POST", "/v1/push/t?queue=a/b", WEB_JSON, "1", 400,
               "no name of a queue");
    web_expect(f, "POST", "/v1/push/t?inn=5", WEB_JSON, "1", 400, "inn");
    web_expect(f, "POST", "/v1/push/t?in=never", WEB_JSON, "1", 400,
               "\"status\":400,\"detail\":\"1 thing is wrong with the query");
    web_expect(f, "POST", "/v1/push/t?in=never", WEB_JSON, "1", 400, "/in");
    web_expect(f, "POST", "/v1/push/t?unique=", WEB_JSON, "1", 400, "/unique");
    web_expect(f, "POST", "/v1/push/t?in=5&at=5", WEB_JSON, "1", 422, "in and");
    assert_int_equal(redis_int(f->r, "DBSIZE"), 0);
}

static void an_event_comes_once(void **state)
{
    static const char event[] =
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":"
        "\"order.paid\",\"data\":{\"n\":1}}";
    static const char headers[] =
        WEB_JSON "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n"
                 "ce-type: order.paid\r\n";
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    web_expect(f, "POST", JOBS "?keep=1h",
               "Content-Type: application/cloudevents+json\r\n", event, 202,
               "ready");
    expect_there(f, "LRANGE belt:{q} 0 -1", "\"type\":\"order.paid\"");
    expect_there(f, "LRANGE belt:{q} 0 -1", "\"keep\":3600000");
    /* The same event in headers. */
    web_ask(f, "POST", JOBS, headers, "{\"n\":1}", &a);
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Idempotency-Replayed"), "true");
    web_reply_done(&a);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 1);
    web_expect(f, "POST", JOBS,
               "Content-Type: application/cloudevents+json\r\n",
               "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\"}", 422,
               "/source");
}

/* ---- tokens ---- */

static void a_token_pushes_to_its_queues_only(void **state)
{
    struct web *f = *state;
    char path[256], line[256], bearer[160];
    const char *mine[] = {"--tokens", path, NULL};
    (void)snprintf(path, sizeof(path), "%s/tokens", redis_dir(f->r));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    /* SHA-256 of "abc". */
    (void)snprintf(line, sizeof(line), "app push sha256:%s mail*\n",
                   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f2"
                   "0015ad");
    assert_true(fputs(line, file) >= 0);
    assert_int_equal(fclose(file), 0);
    web_begin(f, mine);
    (void)snprintf(bearer, sizeof(bearer),
                   WEB_JSON "Authorization: Bearer abc\r\n");
    web_expect(f, "POST", "/v1/queues/mail/jobs", WEB_JSON, "{\"type\":\"t\"}",
               401, "unauthorized");
    web_expect(f, "POST", "/v1/queues/mail/jobs", bearer, "{\"type\":\"t\"}",
               202, NULL);
    web_expect(f, "POST", JOBS, bearer, "{\"type\":\"t\"}", 403, "forbidden");
    web_expect(f, "POST", "/v1/push/t?queue=mail.a", bearer, "1", 202, NULL);
    web_expect(f, "POST", "/v1/push/t?queue=q", bearer, "1", 403, "forbidden");
    web_expect(f, "POST", "/v1/push/t", bearer, "1", 403, "forbidden");
    assert_int_equal(redis_int(f->r, "EXISTS belt:{q} belt:{default}"), 0);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_push_is_accepted_and_told_where_it_is),
        TEST(an_id_is_made_if_there_is_none),
        TEST(a_held_key_is_a_conflict_unless_it_is_to_be_skipped),
        TEST(what_is_not_due_yet_can_be_replaced),
        TEST(a_full_queue_is_told_with_its_depth),
        TEST(what_redis_refuses_is_no_fault_of_the_request),
        TEST(what_is_wrong_has_a_status_of_its_own),
        TEST(the_trace_of_the_request_is_that_of_the_job),
        TEST(a_raw_body_is_a_payload),
        TEST(a_raw_push_that_is_wrong_is_refused),
        TEST(an_event_comes_once),
        TEST(a_token_pushes_to_its_queues_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
