/*
 * Claims about many jobs in one request, a line each: each line is answered,
 * in order, whatever becomes of the others.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#define JOBS "/v1/queues/q/jobs"

enum { MANY = 100 * 1000, RSS_MAX_KB = 160 * 1024 };

/* The next line of an answer, and where it goes on; NULL: there is none. */
static char *next_line(char **at)
{
    char *line = strsep(at, "\n");
    return *at != NULL ? line : NULL;
}

/* What follows name in a line, as a number; -1: it has no such member. */
static long number_of(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    return at != NULL ? strtol(at + strlen(name), NULL, 10) : -1;
}

#define STATUS(line) number_of((line), "\"status\":")
#define NUMBER(line) number_of((line), "{\"line\":")

static void append_job(struct buf *out, int n)
{
    buf_printf(out, "{\"type\":\"t\",\"id\":\"j%d\"}\n", n);
}

static char *body_of(const struct web_reply *a)
{
    return a->text + (a->body - a->text);
}

/* Asks, and counts the lines of each status. */
struct sum {
    int done, unknown, refused, full, others, replayed;
};

static struct sum ask(const struct web *f, const char *headers,
                      const char *body)
{
    struct web_reply a;
    struct sum s = {0};
    char all[128], *line;
    long last = 0;
    (void)snprintf(all, sizeof(all), WEB_NDJSON "%s", headers);
    web_ask(f, "POST", JOBS, all, body, &a);
    assert_int_equal(a.status, 200);
    for (char *at = body_of(&a); (line = next_line(&at)) != NULL;) {
        assert_true(NUMBER(line) > last);
        last = NUMBER(line);
        s.replayed += strstr(line, "\"replayed\":true") != NULL;
        if (STATUS(line) == 202)
            s.done++;
        else if (strstr(line, "outcome-unknown"))
            s.unknown++;
        else if (strstr(line, "redis-away"))
            s.refused++;
        else if (strstr(line, "queue-full"))
            s.full++;
        else
            s.others++;
    }
    web_reply_done(&a);
    return s;
}

static long peak_kb(const struct web *f)
{
    char path[64], line[256];
    long kb = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status",
                   (int)worker_pid(f->w));
    FILE *status = fopen(path, "re");
    assert_non_null(status);
    while (kb == 0 && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    }
    (void)fclose(status);
    return kb;
}

static void a_hundred_thousand_lines_are_answered_in_order(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    struct buf body = {0};
    char *line, first[64];
    int n = 0;
    web_begin(f, NULL);
    for (int i = 1; i <= MANY; i++) {
        if (i % 1000 == 0)
            buf_str(&body, "{\"typ\":1}\n");
        else
            append_job(&body, i);
    }
    web_ask(f, "POST", JOBS, WEB_NDJSON, body.data, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Content-Type"), "application/x-ndjson");
    for (char *at = body_of(&a); (line = next_line(&at)) != NULL;) {
        n++;
        assert_int_equal(NUMBER(line), n);
        assert_int_equal(STATUS(line), n % 1000 == 0 ? 422 : 202);
        if (n % 1000 != 0)
            assert_int_equal(number_of(line, "\"id\":\"j"), n);
    }
    assert_int_equal(n, MANY);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), MANY - MANY / 1000);
    (void)redis_str(f->r, first, sizeof(first), "LINDEX belt:{q} 0");
    assert_non_null(strstr(first, "\"id\":\"j1\""));
    (void)redis_str(f->r, first, sizeof(first), "LINDEX belt:{q} 5000");
    assert_non_null(strstr(first, "\"id\":\"j5006\""));
#ifndef __SANITIZE_ADDRESS__
    assert_true(peak_kb(f) < RSS_MAX_KB);
#else
    assert_true(peak_kb(f) > 0);
#endif
    web_reply_done(&a);
    buf_done(&body);
}

static void lines_may_have_options_and_keep_their_order(void **state)
{
    static const char body[] =
        "{\"type\":\"t\",\"id\":\"a\"}\r\n"
        "\n"
        "  {\"type\":\"t\",\"id\":\"b\",\"keep\":\"1h\"} \n"
        "{\"type\":\"t\",\"id\":\"c\"}\n"
        "nonsense\n"
        "{\"type\":\"t\",\"id\":\"d\",\"unique\":\"k\"}\n"
        "{\"type\":\"t\",\"id\":\"e\",\"unique\":\"k\"}\n"
        "{\"type\":\"t\",\"id\":\"f\",\"in\":\"1h\"}\n"
        "{\"type\":\"t\",\"id\":\"g\"}";
    static const char *const lines[] = {
        "{\"line\":1,\"id\":\"a\",\"status\":202}",
        "{\"line\":3,\"id\":\"b\",\"status\":202}",
        "{\"line\":4,\"id\":\"c\",\"status\":202}",
        "{\"line\":5,\"type\":\"urn:belt:problem:invalid-json\"",
        "{\"line\":6,\"id\":\"d\",\"status\":202}",
        "{\"line\":7,\"id\":\"d\",\"held\":true,\"status\":202}",
        "{\"line\":8,\"id\":\"f\",\"state\":\"scheduled\",\"status\":202}",
        "{\"line\":9,\"id\":\"g\",\"status\":202}"};
    static const char *const ids[] = {"a", "b", "c", "d", "g"};
    struct web *f = *state;
    struct web_reply a;
    char *line;
    size_t n = 0;
    web_begin(f, NULL);
    web_ask(f, "POST", JOBS, WEB_NDJSON, body, &a);
    assert_int_equal(a.status, 200);
    for (char *at = body_of(&a); (line = next_line(&at)) != NULL; n++) {
        assert_true(n < sizeof(lines) / sizeof(lines[0]));
        if (strncmp(line, lines[n], strlen(lines[n])) != 0)
            fail_msg("%s, not %s", line, lines[n]);
    }
    assert_int_equal(n, sizeof(lines) / sizeof(lines[0]));
    redisReply *r = redis_cmd(f->r, "LRANGE belt:{q} 0 -1");
    assert_int_equal(r->elements, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(r->element[i]->str[7], ids[i][0]);
    freeReplyObject(r);
    web_reply_done(&a);
}

static void a_full_queue_takes_the_first_lines(void **state)
{
    enum { LINES = 9000, ROOM = 1500 };
    struct web *f = *state;
    struct web_reply a;
    struct buf body = {0};
    char *line;
    long n = 0, accepted = -1;
    web_begin(f, NULL);
    redis_do(f->r, "HSET belt:{q}:config max_length %d", ROOM);
    for (int i = 1; i <= LINES; i++)
        append_job(&body, i);
    web_ask(f, "POST", JOBS, WEB_NDJSON, body.data, &a);
    assert_int_equal(a.status, 200);
    for (char *at = body_of(&a); (line = next_line(&at)) != NULL;) {
        assert_int_equal(NUMBER(line), ++n);
        assert_int_equal(STATUS(line), n <= ROOM ? 202 : 429);
        accepted = number_of(line, "\"accepted\":");
    }
    assert_int_equal(n, LINES);
    assert_int_equal(accepted, ROOM);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), ROOM);
    web_reply_done(&a);
    buf_done(&body);
}

static void with_a_key_each_line_comes_once(void **state)
{
    enum { LINES = 2500 };
    struct web *f = *state;
    struct buf body = {0};
    web_begin(f, NULL);
    for (int i = 1; i <= LINES; i++)
        buf_str(&body, "{\"type\":\"t\"}\n");
    struct sum s = ask(f, "Idempotency-Key: k\r\n", body.data);
    assert_int_equal(s.done, LINES);
    assert_int_equal(s.replayed, 0);
    s = ask(f, "Idempotency-Key: k\r\n", body.data);
    assert_int_equal(s.done, LINES);
    assert_int_equal(s.replayed, LINES);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), LINES);
    s = ask(f, "Idempotency-Key: k\r\n",
            "{\"type\":\"t\"}\n{\"type\":\"other\"}\n");
    assert_int_equal(s.replayed, 1);
    assert_int_equal(s.others, 1);
    buf_done(&body);
}

/* ---- what goes wrong half-way ---- */

static bool is_paused(void *arg)
{
    struct web *f = arg;
    redisReply *r = redis_cmd(f->r, "INFO clients");
    bool paused = strstr(r->str, "blocked_clients:0") == NULL;
    freeReplyObject(r);
    return paused;
}

static void make_known(struct web *f)
{
    web_expect(f, "POST", JOBS, WEB_JSON, "{\"type\":\"t\"}", 202, NULL);
    redis_do(f->r, "DEL belt:{q}");
}

/* Sends a request of lines that Redis does not answer. Returns its socket. */
static int send_paused(struct web *f, const char *headers, const char *body)
{
    struct buf text = {0};
    int fd = web_connect(f);
    assert_true(fd >= 0);
    redis_do(f->r, "CLIENT PAUSE 60000 WRITE");
    buf_printf(&text,
               "POST " JOBS " HTTP/1.1\r\nHost: localhost\r\n" WEB_NDJSON
               "%sContent-Length: %zu\r\n\r\n",
               headers, strlen(body));
    buf_str(&text, body);
    assert_true(web_send(fd, text.data, text.len));
    assert_true(wait_until(is_paused, f, WEB_MS));
    buf_done(&text);
    return fd;
}

static void a_lost_connection_is_told_line_by_line(void **state)
{
    enum { LINES = 9000 };
    struct web *f = *state;
    struct web_reply a;
    struct buf body = {0};
    char *line;
    int unknown = 0, refused = 0;
    web_begin(f, NULL);
    make_known(f);
    for (int i = 1; i <= LINES; i++)
        append_job(&body, i);
    int fd = send_paused(f, "", body.data);
    redis_do(f->r, "CLIENT KILL TYPE normal SKIPME yes");
    redis_do(f->r, "CLIENT UNPAUSE");
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 200);
    for (char *at = body_of(&a); (line = next_line(&at)) != NULL;) {
        assert_int_equal(STATUS(line), 503);
        if (strstr(line, "outcome-unknown")) {
            assert_int_equal(refused, 0); /* they come first */
            unknown++;
        } else {
            assert_non_null(strstr(line, "redis-away"));
            refused++;
        }
    }
    assert_int_equal(unknown + refused, LINES);
    assert_true(unknown >= 1 && refused >= 1);
    web_reply_done(&a);
    (void)close(fd);
    /* It goes on with the next one. */
    web_until(f, "/readyz", 200, NULL);
    struct sum s = ask(f, "", "{\"type\":\"t\"}\n");
    assert_int_equal(s.done, 1);
    buf_done(&body);
}

static bool is_stopping(void *arg)
{
    struct web *f = arg;
    return worker_said(f->w, "ev=stop ");
}

static void a_stop_in_the_middle_ends_it(void **state)
{
    struct web *f = *state;
    struct buf body = {0};
    web_begin(f, NULL);
    make_known(f);
    for (int i = 1; i <= 9000; i++)
        append_job(&body, i);
    int fd = send_paused(f, "", body.data);
    worker_signal(f->w, SIGTERM);
    assert_true(wait_until(is_stopping, f, WEB_MS));
    worker_signal(f->w, SIGTERM);
    assert_int_equal(worker_wait(f->w, WEB_MS), 0);
    redis_do(f->r, "CLIENT UNPAUSE");
    (void)close(fd);
    buf_done(&body);
}

static void what_cannot_be_begun_is_refused_as_a_whole(void **state)
{
    static const char *const flags[] = {"--max-lines", "2", "--max-body", "200",
                                        NULL};
    struct web *f = *state;
    char body[512];
    web_begin(f, flags);
    web_expect(f, "POST", JOBS, WEB_NDJSON, "1\n2\n3\n", 413, "--max-lines");
    web_expect(f, "POST", JOBS, WEB_NDJSON, "1\n2\n", 200, "{\"line\":2,");
    web_expect(f, "POST", JOBS, WEB_NDJSON, "", 400, "no line");
    web_expect(f, "POST", JOBS "?x=1", WEB_NDJSON, "1\n", 400, "invalid-query");
    web_expect(f, "POST", JOBS, WEB_NDJSON "Idempotency-Key: \"\r\n", "1\n",
               400, "invalid-header");
    web_expect(f, "POST", JOBS, WEB_NDJSON, " \n\n", 200, "");
    (void)snprintf(body, sizeof(body), "{\"payload\":\"%0*d\",\"type\":\"t\"}",
                   300, 0);
    web_expect(f, "POST", JOBS, WEB_NDJSON, body, 200, "body-too-large");
    redis_kill9(f->r);
    web_until(f, "/readyz", 503, NULL);
    web_expect(f, "POST", JOBS, WEB_NDJSON, "1\n", 503, "redis-away");
}

/* Or the client would send again what has come. */
static void what_could_not_be_told_is_not_pushed(void **state)
{
    static const char *const flags[] = {"--max-pending", "1m", NULL};
    struct web *f = *state;
    struct buf body = {0};
    web_begin(f, flags);
    for (int i = 0; i < 20000; i++)
        append_job(&body, i);
    buf_char(&body, '\0');
    web_expect(f, "POST", JOBS, WEB_NDJSON, body.data, 413, "--max-pending");
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 0);
    buf_done(&body);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hundred_thousand_lines_are_answered_in_order),
        TEST(lines_may_have_options_and_keep_their_order),
        TEST(a_full_queue_takes_the_first_lines),
        TEST(with_a_key_each_line_comes_once),
        TEST(a_lost_connection_is_told_line_by_line),
        TEST(a_stop_in_the_middle_ends_it),
        TEST(what_cannot_be_begun_is_refused_as_a_whole),
        TEST(what_could_not_be_told_is_not_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
