/*
 * What the HTTP side does for every request, whatever it is for.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

static void health_is_told(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "GET", "/livez", NULL, NULL, 200, "alive\n");
    web_expect(f, "GET", "/healthz", NULL, NULL, 200, "alive\n");
    web_expect(f, "GET", "/readyz", NULL, NULL, 200, "ready\n");
    web_expect(f, "GET", "/v1/version", NULL, NULL, 200, "\"version\":\"");
    web_expect(f, "GET", "/robots.txt", NULL, NULL, 200, "Disallow: /\n");
}

static void every_answer_has_the_headers_of_a_careful_server(void **state)
{
    struct web *f = *state;
    static const char *const paths[] = {"/livez", "/nowhere", "/v1/queues/%zz"};
    struct web_reply a;
    web_begin(f, NULL);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        web_ask(f, "GET", paths[i], NULL, NULL, &a);
        assert_string_equal(web_header(&a, "X-Content-Type-Options"),
                            "nosniff");
        assert_string_equal(web_header(&a, "Cache-Control"), "no-store");
        assert_string_equal(web_header(&a, "Referrer-Policy"), "no-referrer");
        assert_non_null(strstr(web_header(&a, "Content-Security-Policy"),
                               "default-src 'none'"));
        assert_true(strlen(web_header(&a, "X-Request-Id")) > 8);
        assert_non_null(strstr(web_header(&a, "Date"), " GMT"));
        web_reply_done(&a);
    }
}

static void the_id_of_a_request_comes_back(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    web_ask(f, "GET", "/livez", "X-Request-Id: abc-1\r\n", NULL, &a);
    assert_string_equal(web_header(&a, "x-request-id"), "abc-1");
    web_reply_done(&a);
    web_ask(f, "GET", "/livez", "X-Request-Id: a<b\r\n", NULL, &a);
    assert_string_not_equal(web_header(&a, "X-Request-Id"), "a<b");
    web_reply_done(&a);
}

static void what_is_not_there_is_a_problem(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    web_ask(f, "GET", "/v1/nowhere", NULL, NULL, &a);
    assert_int_equal(a.status, 404);
    assert_string_equal(web_header(&a, "Content-Type"),
                        "application/problem+json");
    assert_non_null(strstr(a.body, "\"type\":\"urn:belt:problem:not-found\""));
    web_reply_done(&a);
    web_expect(f, "GET", "/", NULL, NULL, 404, "not-found");
    web_expect(f, "GET", "/v1/queues/", NULL, NULL, 404, "not-found");
    web_expect(f, "GET", "/v1/queues//jobs", NULL, NULL, 404, "not-found");
    web_expect(f, "GET", "/livez/", NULL, NULL, 404, "not-found");
}

static void names_in_a_path_are_decoded_and_checked(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "GET", "/v1/queues/a%2fb/jobs", NULL, NULL, 400,
               "\\\"a/b\\\" is no name of a queue");
    web_expect(f, "GET", "/v1/queues/a%/jobs", NULL, NULL, 400,
               "urn:belt:problem:invalid-path");
    web_expect(f, "GET", "/v1/queues/a/jobs/%00", NULL, NULL, 400,
               "urn:belt:problem:invalid-path");
    web_expect(f, "GET", "/v1/queues/a/jobs/x!y", NULL, NULL, 400,
               "\\\"x!y\\\" is no id of a job");
    web_expect(f, "GET", "/v1/queues/a?x=%f", NULL, NULL, 400,
               "urn:belt:problem:invalid-query");
    web_expect(f, "GET", "/v1/queues/a?x=%ff", NULL, NULL, 400,
               "urn:belt:problem:invalid-query");
}

static void a_method_that_a_path_has_not_is_told_those_it_has(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    web_ask(f, "PUT", "/livez", NULL, NULL, &a);
    assert_int_equal(a.status, 405);
    assert_string_equal(web_header(&a, "Allow"), "GET, HEAD");
    web_reply_done(&a);
    web_ask(f, "OPTIONS", "/v1/queues/q/jobs", NULL, NULL, &a);
    assert_int_equal(a.status, 405);
    assert_string_equal(web_header(&a, "Allow"), "POST, GET, HEAD");
    web_reply_done(&a);
}

static void head_is_get_without_a_body(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    web_ask(f, "HEAD", "/livez", "Connection: close\r\n", NULL, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Content-Length"), "6");
    web_reply_done(&a);
    int fd = web_connect(f);
    assert_true(web_say(fd, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n"
                            "Connection: close\r\n\r\n"));
    assert_true(web_take(fd, true, &a));
    char more;
    assert_int_equal(read(fd, &more, 1), 0);
    web_reply_done(&a);
    (void)close(fd);
}

static void a_body_of_another_type_is_refused(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "POST", "/v1/queues/q/jobs",
               "Content-Type: application/x-www-form-urlencoded\r\n", "a=b",
               415, "it takes application/json, ");
    web_expect(f, "POST", "/v1/queues/q/jobs", NULL, "{}", 415,
               "Content-Type is missing");
}

static void a_connection_is_good_for_many_requests(void **state)
{
    struct web *f = *state;
    static const char ask[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct web_reply a;
    web_begin(f, NULL);
    int fd = web_connect(f);
    for (int i = 0; i < 3; i++) {
        assert_true(web_say(fd, ask));
        assert_true(web_take(fd, false, &a));
        assert_int_equal(a.status, 200);
        web_reply_done(&a);
    }
    /* Two at once, and one of HTTP/1.0, which ends it. */
    assert_true(web_say(fd, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
                            "GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n"
                            "GET /readyz HTTP/1.0\r\n\r\n"));
    static const int wanted[] = {200, 404, 200};
    for (int i = 0; i < 3; i++) {
        assert_true(web_take(fd, false, &a));
        assert_int_equal(a.status, wanted[i]);
        web_reply_done(&a);
    }
    assert_true(web_is_closed(fd));
    (void)close(fd);
}

static void a_signal_ends_it_with_0(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    int idle = web_connect(f);
    worker_signal(f->w, SIGTERM);
    assert_int_equal(worker_wait(f->w, WEB_MS), 0);
    assert_true(web_is_closed(idle));
    assert_int_equal(web_connect(f), -1);
    (void)close(idle);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(health_is_told),
        TEST(every_answer_has_the_headers_of_a_careful_server),
        TEST(the_id_of_a_request_comes_back),
        TEST(what_is_not_there_is_a_problem),
        TEST(names_in_a_path_are_decoded_and_checked),
        TEST(a_method_that_a_path_has_not_is_told_those_it_has),
        TEST(head_is_get_without_a_body),
        TEST(a_body_of_another_type_is_refused),
        TEST(a_connection_is_good_for_many_requests),
        TEST(a_signal_ends_it_with_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
