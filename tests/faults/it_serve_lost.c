/*
 * Claims about a connection to Redis that is lost between a push over HTTP and
 * its answer: the request is answered 503 and says whether the outcome is
 * known; sent again with its Idempotency-Key the job is there once, whether or
 * not the lost one had arrived.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/proxy.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#define JOBS "/v1/queues/q/jobs"
#define KEY "Idempotency-Key: k\r\n"
#define BODY "{\"type\":\"t\",\"keep\":\"1h\"}"

struct fixture {
    struct web web;
    struct proxy *proxy;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->web.r = redis_start(NULL);
    f->proxy = proxy_start(f->web.r, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    worker_free(f->web.w);
    proxy_stop(f->proxy);
    redis_stop(f->web.r);
    free(f);
    return 0;
}

/* A server behind the proxy, whose scripts Redis knows. */
static void begin(struct fixture *f)
{
    const char *const flags[] = {"-u", proxy_url(f->proxy, 0), NULL};
    web_begin(&f->web, flags);
    web_expect(&f->web, "POST", JOBS, WEB_JSON, "{\"type\":\"t\"}", 202, NULL);
    web_expect(&f->web, "POST", JOBS, WEB_JSON, BODY, 202, NULL);
    redis_do(f->web.r, "DEL belt:{q}");
    assert_true(proxy_ask(f->proxy, "seen push_one") > 0);
}

static void expect_unknown(struct fixture *f, const char *headers,
                           const char *body, const char *retry_after)
{
    struct web_reply a;
    web_ask(&f->web, "POST", JOBS, headers, body, &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "urn:belt:problem:outcome-unknown"));
    assert_string_equal(web_header(&a, "Retry-After"), retry_after);
    web_reply_done(&a);
    assert_int_equal(proxy_ask(f->proxy, "fired"), 1);
    web_until(&f->web, "/readyz", 200, NULL);
}

/* It had run: what comes again finds it. */
static void a_keyed_push_that_ran_is_found_again(void **state)
{
    struct fixture *f = *state;
    struct web_reply a;
    begin(f);
    proxy_do(f->proxy, "cut 0 after push_one 1");
    expect_unknown(f, WEB_JSON KEY, BODY, "1");
    assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), 1);
    web_ask(&f->web, "POST", JOBS, WEB_JSON KEY, BODY, &a);
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Idempotency-Replayed"), "true");
    web_reply_done(&a);
    assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), 1);
}

/* It had not: then it does. */
static void a_keyed_push_that_did_not_run_does_when_it_comes_again(void **state)
{
    struct fixture *f = *state;
    begin(f);
    proxy_do(f->proxy, "cut 0 before push_one 1");
    expect_unknown(f, WEB_JSON KEY, BODY, "1");
    assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), 0);
    web_expect(&f->web, "POST", JOBS, WEB_JSON KEY, BODY, 202, "ready");
    assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), 1);
}

/* It runs later still than what came again. */
static void a_keyed_push_that_runs_too_late_does_nothing(void **state)
{
    struct fixture *f = *state;
    begin(f);
    proxy_do(f->proxy, "cut 0 late push_one 1");
    expect_unknown(f, WEB_JSON KEY, BODY, "1");
    web_expect(&f->web, "POST", JOBS, WEB_JSON KEY, BODY, 202, "ready");
    assert_int_equal(proxy_ask(f->proxy, "late"), 1);
    assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), 1);
}

/* Nothing says that it may be sent again. */
static void a_push_without_a_key_is_told_to_be_unknown(void **state)
{
    struct fixture *f = *state;
    begin(f);
    proxy_do(f->proxy, "cut 0 after push 1");
    expect_unknown(f, WEB_JSON, "{\"type\":\"t\"}", "");
    assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), 1);
}

/* A thousand lines: all of them come once, wherever it was cut. */
static void lines_with_a_key_come_once(void **state)
{
    enum { LINES = 1500 };
    static const char *const points[] = {"before", "after", "late"};
    struct fixture *f = *state;
    static char body[LINES * 16 + 1];
    begin(f);
    for (int i = 0; i < LINES; i++)
        (void)snprintf(body + 13 * i, 14, "{\"type\":\"t\"}\n");
    for (int i = 0; i < 3; i++) {
        struct web_reply a;
        char headers[128];
        (void)snprintf(headers, sizeof(headers),
                       WEB_NDJSON "Idempotency-Key: k%d\r\n", i);
        redis_do(f->web.r, "DEL belt:{q}");
        proxy_do(f->proxy, "cut 0 %s push_one 700", points[i]);
        web_ask(&f->web, "POST", JOBS, headers, body, &a);
        assert_int_equal(a.status, 200);
        assert_non_null(strstr(a.body, "outcome-unknown"));
        web_reply_done(&a);
        web_until(&f->web, "/readyz", 200, NULL);
        web_ask(&f->web, "POST", JOBS, headers, body, &a);
        assert_null(strstr(a.body, "\"status\":503"));
        web_reply_done(&a);
        if (strcmp(points[i], "late") == 0)
            assert_true(proxy_ask(f->proxy, "late") > 0);
        assert_int_equal(redis_int(f->web.r, "LLEN belt:{q}"), LINES);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_keyed_push_that_ran_is_found_again),
        TEST(a_keyed_push_that_did_not_run_does_when_it_comes_again),
        TEST(a_keyed_push_that_runs_too_late_does_nothing),
        TEST(a_push_without_a_key_is_told_to_be_unknown),
        TEST(lines_with_a_key_come_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
