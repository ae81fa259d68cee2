/*
 * What slow, half-open, malformed and too many clients cost, and what becomes
 * of requests when Redis or the server itself goes.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true /* they keep what is free */
#else
#define SANITIZED false
#endif

#define LIVEZ "GET /livez HTTP/1.1\r\nHost: localhost\r\n"
#define POST "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\n" WEB_JSON

static void is_alive(const struct web *f)
{
    web_expect(f, "GET", "/livez", NULL, NULL, 200, "alive");
}

/*
 * Sends text, behind a good request if second; the answer is this problem, and
 * the last of its connection.
 */
static void refused_as(const struct web *f, bool second, const char *text,
                       size_t n, int status, const char *kind)
{
    struct web_reply a;
    int fd = web_connect(f);
    struct buf all = {0};
    buf_append(&all, LIVEZ "\r\n", second ? strlen(LIVEZ "\r\n") : 0);
    buf_append(&all, text, n);
    (void)web_send(fd, all.data, all.len);
    buf_done(&all);
    if (second) {
        assert_true(web_take(fd, false, &a));
        assert_int_equal(a.status, 200);
        web_reply_done(&a);
    }
    if (!web_take(fd, false, &a))
        fail_msg("no answer to %.60s", text);
    if (a.status != status || strstr(a.body, kind) == NULL)
        fail_msg("%.60s: %d %s, not %d %s", text, a.status, a.body, status,
                 kind);
    assert_string_equal(web_header(&a, "Content-Type"),
                        "application/problem+json");
    assert_string_equal(web_header(&a, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(web_header(&a, "Connection"), "close");
    if (!web_is_closed(fd))
        fail_msg("the connection stays after %.60s", text);
    web_reply_done(&a);
    (void)close(fd);
}

static void refused(const struct web *f, const char *text, size_t n, int status,
                    const char *kind)
{
    refused_as(f, false, text, n, status, kind);
    refused_as(f, true, text, n, status, kind);
}

static void what_is_malformed_is_a_problem_and_the_end(void **state)
{
    struct web *f = *state;
    static const struct {
        const char *text;
        int status;
    } all[] = {
        {"GARBAGE\r\n\r\n", 400},
        {"\r\n\r\n", 400},
        {"GET /livez\r\n\r\n", 400},
        {"GET /livez HTTP/1.1\r\n\r\n", 400},
        {"GET / livez HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET /livez HTTP/1.9\r\nHost: a\r\n\r\n", 505},
        {LIVEZ "Host: b\r\n\r\n", 400},
        {"GET //livez HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET //host/livez HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        /* What evhttp would take for the next request. */
        {"HEAD /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 400},
        {"TRACE /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
         400},
        {"HEAD /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "\r\n0\r\n\r\n",
         400},
        {LIVEZ "No colon\r\n\r\n", 400},
        {LIVEZ "Space : b\r\n\r\n", 400},
        {LIVEZ "A: b\r\n folded\r\n\r\n", 400},
        {LIVEZ "A: b\rc\r\n\r\n", 400},
        {LIVEZ "A: \x01\r\n\r\n", 400},
        {POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400},
        {POST "Content-Length: 2, 2\r\n\r\n{}", 400},
        {POST "Content-Length: +2\r\n\r\n{}", 400},
        {POST "Content-Length: -2\r\n\r\n{}", 400},
        {POST "Content-Length: 99999999999999999999\r\n\r\n{}", 400},
        {POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
              "0\r\n\r\n",
         400},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
              "\r\n0\r\n\r\n",
         400},
        {POST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 413},
        {POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 413},
        {"BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 501},
        {POST "Content-Length: 2\r\nExpect: a miracle\r\n\r\n", 417},
        {POST "Content-Length: 5000\r\n\r\n", 413},
        {POST "Transfer-Encoding: chunked\r\n\r\n1000\r\n", 413},
    };
    static const char nul[] = LIVEZ "A: b\0c\r\n\r\n";
    /* evhttp would take a line that begins with NUL for an empty one. */
    static const char end[] = POST "Content-Length: 2\r\n\0\r\n";
    web_begin(f, (const char *[]){"--max-body", "1k", NULL});
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        refused(f, all[i].text, strlen(all[i].text), all[i].status,
                "urn:belt:problem:");
    refused(f, nul, sizeof(nul) - 1, 400, "control character");
    refused(f, end, sizeof(end) - 1, 400, "NUL");
    is_alive(f);
}

static void headers_have_a_limit(void **state)
{
    struct web *f = *state;
    struct buf text = {0};
    web_begin(f, (const char *[]){"--max-headers", "2k", NULL});
    buf_str(&text, LIVEZ "A: ");
    while (text.len < 2100)
        buf_char(&text, 'a');
    refused(f, text.data, text.len, 431, "headers-too-large");
    buf_str(&text, "\r\n\r\n");
    refused(f, text.data, text.len, 431, "headers-too-large");
    buf_clear(&text);
    for (int i = 0; text.len < 2100; i++)
        buf_printf(&text, i == 0 ? LIVEZ : "A%d: b\r\n", i);
    refused(f, text.data, text.len, 431, "headers-too-large");
    buf_done(&text);
}

static void a_request_may_come_byte_by_byte_but_not_for_ever(void **state)
{
    struct web *f = *state;
    static const char ask[] = LIVEZ "\r\n";
    struct web_reply a;
    web_begin(f, (const char *[]){"--request-timeout", "300ms", NULL});
    int fd = web_connect(f);
    for (size_t i = 0; i < sizeof(ask) - 1; i++)
        assert_true(web_send(fd, ask + i, 1));
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 200);
    web_reply_done(&a);
    int64_t since = clock_ms();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_true(web_send(fd, ask, 10));
    while (poll(&p, 1, 20) == 0 && clock_ms() < since + WEB_MS)
        (void)web_send(fd, "a", 1); /* each byte is a sign of life, no more */
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 408);
    assert_true(clock_ms() - since >= 290);
    assert_true(web_is_closed(fd));
    web_reply_done(&a);
    (void)close(fd);
}

static void who_asks_nothing_is_let_go(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, (const char *[]){"--idle-timeout", "100ms", NULL});
    int silent = web_connect(f), once = web_connect(f);
    assert_true(web_say(once, LIVEZ "\r\n"));
    assert_true(web_take(once, false, &a));
    web_reply_done(&a);
    assert_true(web_is_closed(silent));
    assert_true(web_is_closed(once));
    (void)close(silent);
    (void)close(once);
}

static long memory_kib(const struct web *f)
{
    char path[64], line[256];
    long kib = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status",
                   (int)worker_pid(f->w));
    FILE *status = fopen(path, "re");
    assert_non_null(status);
    while (kib == 0 && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    (void)fclose(status);
    return kib;
}

static void who_never_reads_costs_little_and_is_let_go(void **state)
{
    struct web *f = *state;
    struct buf many = {0};
    web_begin(f, (const char *[]){"--request-timeout", "200ms", NULL});
    long before = memory_kib(f);
    int fd = web_connect(f);
    for (int i = 0; i < 1000; i++)
        buf_str(&many, LIVEZ "\r\n");
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    /* Until neither side's buffers take more, and then until it is shut. */
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int64_t deadline = clock_ms() + WEB_MS;
    while (clock_ms() < deadline && poll(&p, 1, 1000) >= 0 &&
           (p.revents & (POLLERR | POLLHUP)) == 0) {
        if (p.revents & POLLOUT)
            (void)web_send(fd, many.data, many.len);
    }
    assert_true(p.revents & (POLLERR | POLLHUP));
    if (!SANITIZED && memory_kib(f) - before > 16 * 1024)
        fail_msg("it has grown from %ld to %ld KiB", before, memory_kib(f));
    is_alive(f);
    (void)close(fd);
    buf_done(&many);
}

static void a_connection_too_many_is_told_so(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    int fds[8];
    web_begin(f, (const char *[]){"--max-connections", "8", NULL});
    for (int i = 0; i < 8; i++) {
        fds[i] = web_connect(f);
        assert_true(web_say(fds[i], "GET /livez"));
    }
    int more = web_connect(f);
    assert_true(web_take(more, false, &a));
    assert_int_equal(a.status, 503);
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    assert_non_null(strstr(a.body, "too many connections"));
    assert_true(web_is_closed(more));
    web_reply_done(&a);
    (void)close(more);
    /* Those that are there are served. */
    for (int i = 0; i < 8; i++) {
        assert_true(web_say(fds[i], " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_true(web_take(fds[i], false, &a));
        assert_int_equal(a.status, 200);
        web_reply_done(&a);
    }
    /* Now they are idle, and whoever has been so for a second makes room. */
    web_until(f, "/livez", 200, NULL);
    for (int i = 0; i < 8; i++)
        (void)close(fds[i]);
}

/* More clients than descriptors leave enough of those for what it needs. */
static void clients_leave_it_descriptors(void **state)
{
    struct web *f = *state;
    int fds[200];
    struct worker *w =
        worker_exec(f->r,
                    (const char *[]){"prlimit", "--nofile=64", BELT_SERVE_BIN,
                                     "serve", "--listen", "127.0.0.1:0", NULL},
                    NULL);
    assert_int_equal(worker_wait(w, WEB_MS), 71);
    assert_true(worker_said(w, "64 descriptors"));
    worker_free(w);
    web_begin_limited(f, "--nofile=200", NULL);
    for (int i = 0; i < 200; i++) {
        fds[i] = web_connect(f);
        assert_true(web_say(fds[i], "GET /livez"));
    }
    struct web_reply a;
    const char *rest = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
                       "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < 4; i++)
        assert_true(web_say(fds[i], rest));
    for (int i = 0; i < 8; i++) {
        assert_true(web_take(fds[i / 2], false, &a));
        assert_int_equal(a.status, 200);
        web_reply_done(&a);
    }
    assert_false(worker_has_ended(f->w));
    for (int i = 0; i < 200; i++)
        (void)close(fds[i]);
    web_until(f, "/v1/queues", 200, "queues");
}

static void bodies_are_bounded_in_all(void **state)
{
    struct web *f = *state;
    struct buf part = {0};
    struct web_reply a;
    int fds[2];
    web_begin(f, (const char *[]){"--max-pending", "1m", NULL});
    for (int i = 0; i < 700 * 1024; i++)
        buf_char(&part, ' ');
    for (int i = 0; i < 2; i++) {
        fds[i] = web_connect(f);
        assert_true(web_say(fds[i], POST "Content-Length: 1000000\r\n\r\n"));
        (void)web_send(fds[i], part.data, part.len);
    }
    struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN},
                          {.fd = fds[1], .events = POLLIN}};
    assert_int_equal(poll(p, 2, WEB_MS), 1);
    int one = p[0].revents ? 0 : 1;
    assert_true(web_take(fds[one], false, &a));
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "overloaded"));
    web_reply_done(&a);
    assert_true(web_is_closed(fds[one]));
    /* What it held is free again: the other gets to its end. */
    assert_true(web_send(fds[1 - one], part.data, 1000000 - part.len));
    assert_true(web_take(fds[1 - one], false, &a));
    assert_int_not_equal(a.status, 503);
    web_reply_done(&a);
    (void)close(fds[0]);
    (void)close(fds[1]);
    buf_done(&part);
}

static void a_body_is_asked_for_only_if_it_may_come(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, (const char *[]){"--max-body", "1k", NULL});
    int fd = web_connect(f);
    assert_true(web_say(fd, POST "Content-Length: 2\r\n"
                                 "Expect: 100-continue\r\n\r\n"));
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 100);
    web_reply_done(&a);
    assert_true(web_say(fd, "{}"));
    assert_true(web_take(fd, false, &a));
    assert_int_not_equal(a.status, 413);
    web_reply_done(&a);
    (void)close(fd);
    fd = web_connect(f);
    assert_true(web_say(fd, POST "Content-Length: 2000\r\n"
                                 "Expect: 100-continue\r\n\r\n"));
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 413);
    web_reply_done(&a);
    (void)close(fd);
}

static void a_client_that_ends_its_side_gets_its_answer(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    int fd = web_connect(f);
    assert_true(web_say(fd, LIVEZ "\r\n" LIVEZ "\r\n"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(web_take(fd, false, &a));
        assert_int_equal(a.status, 200);
        web_reply_done(&a);
    }
    assert_true(web_is_closed(fd));
    (void)close(fd);
}

/* ---- Redis ---- */

static void without_redis_the_answer_is_503_at_once(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    redis_kill9(f->r);
    web_until(f, "/readyz", 503, "Redis is away");
    int64_t since = clock_ms();
    web_ask(f, "GET", "/v1/queues", NULL, NULL, &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "urn:belt:problem:redis-away"));
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    assert_true(clock_ms() - since < 1000);
    web_reply_done(&a);
    is_alive(f);
    redis_restart(f->r);
    web_until(f, "/readyz", 200, NULL);
    web_until(f, "/v1/queues", 200, NULL);
}

static void it_starts_without_redis(void **state)
{
    struct web *f = *state;
    redis_shutdown(f->r);
    web_begin_alone(f, NULL);
    web_expect(f, "GET", "/readyz", NULL, NULL, 503, "Redis is away");
    web_expect(f, "GET", "/v1/queues", NULL, NULL, 503, "redis-away");
    redis_restart(f->r);
    web_until(f, "/readyz", 200, NULL);
}

static void a_redis_that_hangs_is_away(void **state)
{
    struct web *f = *state;
    web_begin(f, (const char *[]){"--redis-timeout", "200ms", NULL});
    assert_int_equal(kill(redis_pid(f->r), SIGSTOP), 0);
    web_expect(f, "GET", "/v1/queues", NULL, NULL, 503, NULL);
    web_until(f, "/readyz", 503, "Redis is away");
    assert_int_equal(kill(redis_pid(f->r), SIGCONT), 0);
    web_until(f, "/readyz", 200, NULL);
}

/* ---- stop ---- */

static bool is_stopping(void *arg)
{
    return worker_said(arg, "ev=stop ");
}

static void a_stop_lets_requests_end(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    redis_do(f->r, "CLIENT PAUSE 300 ALL");
    int asked = web_connect(f), begun = web_connect(f);
    assert_true(web_say(asked, "GET /v1/queues HTTP/1.1\r\n"
                               "Host: localhost\r\n\r\n"));
    assert_true(web_say(begun, "GET /livez"));
    struct pollfd p = {.fd = asked, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 50), 0);
    worker_signal(f->w, SIGTERM);
    assert_true(wait_until(is_stopping, f->w, WEB_MS));
    assert_int_equal(web_connect(f), -1);
    assert_true(web_say(begun, " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_true(web_take(begun, false, &a));
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Connection"), "close");
    web_reply_done(&a);
    assert_true(web_take(asked, false, &a));
    assert_int_equal(a.status, 200);
    web_reply_done(&a);
    assert_int_equal(worker_wait(f->w, WEB_MS), 0);
    (void)close(asked);
    (void)close(begun);
}

static void a_stop_does_not_wait_for_ever(void **state)
{
    struct web *f = *state;
    web_begin(f, (const char *[]){"--drain-timeout", "200ms", NULL});
    int begun = web_connect(f);
    assert_true(web_say(begun, "GET /livez"));
    is_alive(f); /* so it has read that */
    worker_signal(f->w, SIGTERM);
    assert_true(wait_until(is_stopping, f->w, WEB_MS));
    assert_int_equal(worker_wait(f->w, WEB_MS), 0);
    (void)close(begun);
}

static void a_second_signal_ends_it_at_once(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    int begun = web_connect(f);
    assert_true(web_say(begun, "GET /livez"));
    is_alive(f);
    worker_signal(f->w, SIGINT);
    assert_true(wait_until(is_stopping, f->w, WEB_MS));
    assert_false(worker_has_ended(f->w));
    worker_signal(f->w, SIGINT);
    assert_int_equal(worker_wait(f->w, 10000), 0);
    (void)close(begun);
}

static void clients_may_go_while_they_are_served(void **state)
{
    struct web *f = *state;
    struct linger reset = {.l_onoff = 1};
    web_begin(f, NULL);
    redis_do(f->r, "CLIENT PAUSE 200 ALL");
    for (int i = 0; i < 16; i++) {
        int fd = web_connect(f);
        assert_true(web_say(fd, "GET /v1/queues HTTP/1.1\r\n"
                                "Host: localhost\r\n\r\n"));
        if (i % 2 == 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        (void)close(fd);
    }
    web_expect(f, "GET", "/v1/queues", NULL, NULL, 200, NULL);
    worker_signal(f->w, SIGTERM);
    assert_int_equal(worker_wait(f->w, WEB_MS), 0);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(what_is_malformed_is_a_problem_and_the_end),
        TEST(headers_have_a_limit),
        TEST(a_request_may_come_byte_by_byte_but_not_for_ever),
        TEST(who_asks_nothing_is_let_go),
        TEST(who_never_reads_costs_little_and_is_let_go),
        TEST(a_connection_too_many_is_told_so),
        TEST(clients_leave_it_descriptors),
        TEST(bodies_are_bounded_in_all),
        TEST(a_body_is_asked_for_only_if_it_may_come),
        TEST(a_client_that_ends_its_side_gets_its_answer),
        TEST(without_redis_the_answer_is_503_at_once),
        TEST(it_starts_without_redis),
        TEST(a_redis_that_hangs_is_away),
        TEST(a_stop_lets_requests_end),
        TEST(a_stop_does_not_wait_for_ever),
        TEST(a_second_signal_ends_it_at_once),
        TEST(clients_may_go_while_they_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
