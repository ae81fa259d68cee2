/*
 * What the HTTP side does for every request, whatever it is for.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

static void a_name_that_a_query_has_not_is_told_those_it_has(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "GET", "/v1/queues/a/stats?minute=5", NULL, NULL, 400,
               "minute: not a name of this query, which may have minutes, by, "
               "total\"");
    web_expect(f, "GET", "/v1/queues/a?x=1", NULL, NULL, 400,
               "x: not a name of this query\"");
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

/* ---- who may ask ---- */

static void a_page_of_another_site_changes_nothing(void **state)
{
    struct web *f = *state;
    static const char *const bad[] = {
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
    };
    static const char *const good[] = {
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: http://localhost\r\n",
    };
    web_begin(f, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        web_expect(f, "POST", "/v1/queues/q/resume", bad[i], NULL, 403,
                   "urn:belt:problem:cross-site");
        web_expect(f, "GET", "/v1/queues", bad[i], NULL, 200, NULL);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        web_expect(f, "POST", "/v1/queues/q/resume", good[i], NULL, 200, NULL);
}

/* The status of a GET with this Host. */
static int status_for(const struct web *f, const char *host)
{
    char ask[256];
    struct web_reply a;
    int fd = web_connect(f);
    (void)snprintf(ask, sizeof(ask), "GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n",
                   host);
    assert_true(web_say(fd, ask));
    assert_true(web_take(fd, false, &a));
    int status = a.status;
    web_reply_done(&a);
    (void)close(fd);
    return status;
}

static void without_tokens_only_names_of_this_host_are_served(void **state)
{
    struct web *f = *state;
    static const char *const own[] = {"localhost", "LOCALHOST:80",
                                      "127.0.0.1:8787", "[::1]:8787",
                                      "belt.localhost"};
    static const char *const others[] = {"evil.example", "localhost.evil.com",
                                         "127.0.0.1.evil.com", "notlocalhost"};
    web_begin(f, NULL);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        assert_int_equal(status_for(f, own[i]), 200);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(status_for(f, others[i]), 421);
    web_begin(f, (const char *[]){"--insecure", NULL});
    assert_int_equal(status_for(f, "evil.example"), 200);
}

/* Makes a token and writes the header with it to out. */
static void add_token(const struct web *f, const char *file, const char *name,
                      const char *roles, const char *queues, char out[256])
{
    const char *argv[] = {BELT_SERVE_BIN, "serve", "--tokens", file,
                          "--add-token",  name,    "--roles",  roles,
                          queues,         NULL};
    struct worker *w = worker_exec(f->r, argv, NULL);
    char line[200] = "";
    assert_int_equal(worker_wait(w, WEB_MS), 0);
    FILE *log = fopen(worker_log(w), "re");
    assert_non_null(log);
    assert_non_null(fgets(line, sizeof(line), log));
    (void)fclose(log);
    line[strcspn(line, "\n")] = '\0';
    (void)snprintf(out, 256, "Authorization: Bearer %s\r\n", line);
    worker_free(w);
}

static bool has_reloaded(void *arg)
{
    return worker_said(arg, "ev=reload tokens=2");
}

static void a_token_opens_what_it_is_for(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    char file[128], reads[256], operates[256];
    (void)snprintf(file, sizeof(file), "%s/tokens", redis_dir(f->r));
    add_token(f, file, "reader", "read", "mail*", reads);
    web_begin(f, (const char *[]){"--tokens", file, NULL});
    web_ask(f, "GET", "/v1/queues/mail", NULL, NULL, &a);
    assert_int_equal(a.status, 401);
    assert_non_null(strstr(web_header(&a, "WWW-Authenticate"), "Bearer"));
    assert_non_null(strstr(a.body, "urn:belt:problem:unauthorized"));
    web_reply_done(&a);
    web_expect(f, "GET", "/v1/queues/mail", "Authorization: Bearer belt_x\r\n",
               NULL, 401, "not known");
    web_expect(f, "GET", "/v1/queues/mail/jobs", reads, NULL, 200, NULL);
    web_expect(f, "GET", "/v1/queues/other/jobs", reads, NULL, 403,
               "urn:belt:problem:forbidden");
    web_expect(f, "POST", "/v1/queues/mail/resume", reads, NULL, 403,
               "urn:belt:problem:forbidden");
    web_expect(f, "GET", "/livez", NULL, NULL, 200, NULL);
    /* Another one, while it runs. */
    add_token(f, file, "operator", "operate", "*", operates);
    web_expect(f, "POST", "/v1/queues/mail/resume", operates, NULL, 401, NULL);
    worker_signal(f->w, SIGHUP);
    assert_true(wait_until(has_reloaded, f->w, WEB_MS));
    web_expect(f, "POST", "/v1/queues/mail/resume", operates, NULL, 200, NULL);
}

static void a_large_body_without_a_token_is_not_read(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    char file[128], pushes[256], head[512];
    (void)snprintf(file, sizeof(file), "%s/tokens", redis_dir(f->r));
    add_token(f, file, "pusher", "push", "*", pushes);
    web_begin(f, (const char *[]){"--tokens", file, NULL});
    for (int i = 0; i < 2; i++) {
        (void)snprintf(head, sizeof(head),
                       "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\n"
                       "%sContent-Length: 100000\r\n"
                       "Expect: 100-continue\r\n" WEB_JSON "\r\n",
                       i == 0 ? "" : pushes);
        int fd = web_connect(f);
        assert_true(web_say(fd, head));
        assert_true(web_take(fd, false, &a));
        assert_int_equal(a.status, i == 0 ? 401 : 100);
        web_reply_done(&a);
        (void)close(fd);
    }
}

/* ---- where it listens ---- */

static void ends(const struct web *f, const char *const *flags, int status,
                 const char *text)
{
    const char *argv[16] = {BELT_SERVE_BIN, "serve", "-u", redis_url(f->r)};
    for (int n = 4; *flags != NULL; n++)
        argv[n] = *flags++;
    struct worker *w = worker_exec(f->r, argv, NULL);
    assert_int_equal(worker_wait(w, WEB_MS), status);
    if (!worker_said(w, text))
        fail_msg("%s does not say %s", worker_log(w), text);
    worker_free(w);
}

static void where_others_can_reach_it_tokens_are_needed(void **state)
{
    struct web *f = *state;
    ends(f, (const char *[]){"--listen", "0.0.0.0:0", NULL}, 78, "--tokens");
    ends(f, (const char *[]){"--listen", "[::]:0", NULL}, 78, "--tokens");
    ends(f,
         (const char *[]){"--listen", "127.0.0.1:0", "--tokens", "/none/x",
                          NULL},
         78, "/none/x");
    web_begin(f, (const char *[]){"--listen", "127.0.0.2:0", "--listen",
                                  "127.0.0.1:0", NULL});
}

static void a_wrong_address_is_told(void **state)
{
    struct web *f = *state;
    char taken[32];
    ends(f, (const char *[]){"--listen", "nowhere", NULL}, 64, "nowhere");
    ends(f, (const char *[]){"--listen", "host.example:80", NULL}, 64,
         "host.example");
    ends(f, (const char *[]){"--listen", "fd:77", NULL}, 64, "fd:77");
    ends(f, (const char *[]){"--listen", ":99999", NULL}, 64, "99999");
    ends(f, (const char *[]){"stray", NULL}, 64, "stray");
    web_begin(f, NULL);
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%d", f->port);
    ends(f, (const char *[]){"--listen", taken, NULL}, 69, taken);
}

static bool listens_there(void *arg)
{
    return worker_said(arg, "ev=listen addr=unix:");
}

static void it_listens_at_a_unix_socket(void **state)
{
    struct web *f = *state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char at[128];
    struct web_reply a;
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/http",
                   redis_dir(f->r));
    (void)snprintf(at, sizeof(at), "unix:%s", un.sun_path);
    const char *argv[] = {BELT_SERVE_BIN, "serve", "-u", redis_url(f->r),
                          "--listen",     at,      NULL};
    for (int i = 0; i < 2; i++) { /* the second takes the first one's place */
        f->w = worker_exec(f->r, argv, NULL);
        assert_true(wait_until(listens_there, f->w, WEB_MS));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
        assert_true(web_say(fd, "GET /livez HTTP/1.1\r\nHost: any\r\n\r\n"));
        assert_true(web_take(fd, false, &a));
        assert_int_equal(a.status, 200);
        web_reply_done(&a);
        (void)close(fd);
        worker_signal(f->w, i == 0 ? SIGKILL : SIGTERM);
        assert_int_equal(worker_wait(f->w, WEB_MS), i == 0 ? -SIGKILL : 0);
        worker_free(f->w);
        f->w = NULL;
    }
    assert_int_equal(access(un.sun_path, F_OK), -1);
}

static bool has_logged(void *arg)
{
    return worker_said(arg, "ev=http method=GET path=/v1/version status=200");
}

static void requests_are_logged_but_not_probes(void **state)
{
    struct web *f = *state;
    web_begin(f, (const char *[]){"--access-log", NULL});
    web_expect(f, "GET", "/livez", NULL, NULL, 200, NULL);
    web_expect(f, "GET", "/v1/version?secret=1", NULL, NULL, 200, NULL);
    assert_true(wait_until(has_logged, f->w, WEB_MS));
    assert_int_equal(worker_count(f->w, "ev=http "), 1);
    assert_int_equal(worker_count(f->w, "secret"), 0);
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
        TEST(a_name_that_a_query_has_not_is_told_those_it_has),
        TEST(a_method_that_a_path_has_not_is_told_those_it_has),
        TEST(head_is_get_without_a_body),
        TEST(a_body_of_another_type_is_refused),
        TEST(a_connection_is_good_for_many_requests),
        TEST(a_page_of_another_site_changes_nothing),
        TEST(without_tokens_only_names_of_this_host_are_served),
        TEST(a_token_opens_what_it_is_for),
        TEST(a_large_body_without_a_token_is_not_read),
        TEST(where_others_can_reach_it_tokens_are_needed),
        TEST(a_wrong_address_is_told),
        TEST(it_listens_at_a_unix_socket),
        TEST(requests_are_logged_but_not_probes),
        TEST(a_signal_ends_it_with_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
