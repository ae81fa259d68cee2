/*
 * Claims about pushes that come together over HTTP: they share script calls,
 * and each is answered for itself; and about those that come again: with an
 * Idempotency-Key a job comes once, whichever server is asked, and whenever.
 *
 * Requests come together for certain when the server is stopped while they are
 * sent.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#define JOBS "/v1/queues/q/jobs"

enum { BURST = 60 };

struct burst {
    int fds[BURST];
    struct web_reply replies[BURST];
};

static void send_one(int fd, const char *headers, const char *body)
{
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "POST " JOBS " HTTP/1.1\r\nHost: localhost\r\n" WEB_JSON
                   "%sContent-Length: %zu\r\n\r\n%s",
                   headers, strlen(body), body);
    assert_true(web_say(fd, text));
}

static bool is_stopped(void *arg)
{
    struct web *f = arg;
    char path[64], state = '?';
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)worker_pid(f->w));
    FILE *stat = fopen(path, "re");
    assert_non_null(stat);
    assert_int_equal(fscanf(stat, "%*d %*s %c", &state), 1);
    (void)fclose(stat);
    return state == 'T';
}

/* Connects, and lets the server see each connection, then stops it. */
static void burst_begin(struct web *f, struct burst *b)
{
    for (int i = 0; i < BURST; i++) {
        assert_true((b->fds[i] = web_connect(f)) >= 0);
        assert_true(web_say(b->fds[i], "GET /livez HTTP/1.1\r\n"
                                       "Host: localhost\r\n\r\n"));
        assert_true(web_take(b->fds[i], false, &b->replies[i]));
        web_reply_done(&b->replies[i]);
    }
    worker_signal(f->w, SIGSTOP);
    assert_true(wait_until(is_stopped, f, WEB_MS));
}

static void burst_end(struct web *f, struct burst *b)
{
    worker_signal(f->w, SIGCONT);
    for (int i = 0; i < BURST; i++) {
        assert_true(web_take(b->fds[i], false, &b->replies[i]));
        (void)close(b->fds[i]);
    }
}

static void burst_done(struct burst *b)
{
    for (int i = 0; i < BURST; i++)
        web_reply_done(&b->replies[i]);
}

static int count(const struct burst *b, int status)
{
    int n = 0;
    for (int i = 0; i < BURST; i++)
        n += b->replies[i].status == status;
    return n;
}

/* Calls of scripts since CONFIG RESETSTAT. */
static long script_calls(struct web *f)
{
    redisReply *r = redis_cmd(f->r, "INFO commandstats");
    const char *at = strstr(r->str, "cmdstat_evalsha:calls=");
    long n = at ? strtol(at + strlen("cmdstat_evalsha:calls="), NULL, 10) : 0;
    freeReplyObject(r);
    return n;
}

/* Makes the server's scripts known to Redis, so that none is called twice. */
static void warm_up(struct web *f)
{
    web_expect(f, "POST", JOBS, WEB_JSON, "{\"type\":\"t\"}", 202, NULL);
    web_expect(f, "POST", JOBS, WEB_JSON, "{\"type\":\"t\",\"keep\":\"1h\"}",
               202, NULL);
    redis_do(f->r, "DEL belt:{q}");
    redis_do(f->r, "CONFIG RESETSTAT");
}

static void those_of_a_turn_share_a_script_call(void **state)
{
    struct web *f = *state;
    struct burst b;
    web_begin(f, NULL);
    warm_up(f);
    burst_begin(f, &b);
    for (int i = 0; i < BURST; i++) {
        char body[64];
        (void)snprintf(body, sizeof(body), "{\"type\":\"t\",\"id\":\"j%d\"}",
                       i);
        send_one(b.fds[i], "", body);
    }
    burst_end(f, &b);
    assert_int_equal(count(&b, 202), BURST);
    for (int i = 0; i < BURST; i++) {
        char location[64];
        (void)snprintf(location, sizeof(location), JOBS "/j%d", i);
        assert_string_equal(web_header(&b.replies[i], "Location"), location);
    }
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), BURST);
    /* A turn sees up to 32 connections when it begins, and more each time. */
    long calls = script_calls(f);
    if (calls < 1 || calls > 4)
        fail_msg("%ld script calls for %d pushes", calls, BURST);
    burst_done(&b);
}

static void a_full_queue_takes_the_first_of_a_call(void **state)
{
    enum { ROOM = 23 };
    struct web *f = *state;
    struct burst b;
    web_begin(f, NULL);
    warm_up(f);
    redis_do(f->r, "HSET belt:{q}:config max_length %d", ROOM);
    burst_begin(f, &b);
    for (int i = 0; i < BURST; i++)
        send_one(b.fds[i], "", "{\"type\":\"t\"}");
    burst_end(f, &b);
    assert_int_equal(count(&b, 202), ROOM);
    assert_int_equal(count(&b, 429), BURST - ROOM);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), ROOM);
    burst_done(&b);
}

static void each_with_options_is_answered_for_itself(void **state)
{
    struct web *f = *state;
    struct burst b;
    int held = 0;
    web_begin(f, NULL);
    warm_up(f);
    burst_begin(f, &b);
    for (int i = 0; i < BURST; i++)
        send_one(b.fds[i], "",
                 i % 3 == 0   ? "{\"type\":\"t\"}"
                 : i % 3 == 1 ? "{\"type\":\"t\",\"keep\":\"1h\"}"
                              : "{\"type\":\"t\",\"unique\":\"k\"}");
    burst_end(f, &b);
    assert_int_equal(count(&b, 202), BURST);
    for (int i = 0; i < BURST; i++)
        held += strstr(b.replies[i].body, "\"held\":true") != NULL;
    assert_int_equal(held, BURST / 3 - 1);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 2 * BURST / 3 + 1);
    burst_done(&b);
}

static void what_a_full_queue_refuses_can_come_later(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    redis_do(f->r, "HSET belt:{q}:config max_length 0");
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"t\"}", 429, "queue-full");
    redis_do(f->r, "HDEL belt:{q}:config max_length");
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"t\"}", 202, "ready");
}

/* ---- keys ---- */

/* Asks for the same again; what it is answered is the Location of the first. */
static void expect_replay(const struct web *f, const char *key,
                          const char *body, const char *location)
{
    struct web_reply a;
    char headers[128];
    (void)snprintf(headers, sizeof(headers), WEB_JSON "Idempotency-Key: %s\r\n",
                   key);
    web_ask(f, "POST", JOBS, headers, body, &a);
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Location"), location);
    assert_string_equal(web_header(&a, "Idempotency-Replayed"), "true");
    web_reply_done(&a);
}

static void a_key_comes_once_from_whichever_server(void **state)
{
    struct web *f = *state, other = {.r = f->r};
    struct web_reply a;
    web_begin(f, NULL);
    web_begin(&other, NULL);
    web_ask(f, "POST", JOBS, WEB_JSON "Idempotency-Key: \"k\"\r\n",
            "{\"type\":\"t\"}", &a);
    assert_int_equal(a.status, 202);
    assert_string_equal(web_header(&a, "Idempotency-Replayed"), "");
    const char *location = web_header(&a, "Location");
    expect_replay(f, "k", "{\"type\":\"t\"}", location);
    expect_replay(&other, "\"k\"", "{\"type\":\"t\"}", location);
    /* And after a restart. */
    web_begin(f, NULL);
    expect_replay(f, "k", "{\"type\":\"t\"}", location);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 1);
    web_reply_done(&a);
    worker_free(other.w);
}

static void a_key_is_for_one_request(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"t\",\"id\":\"j\"}", 202, "ready");
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"u\"}", 422, "\"id\":\"j\"}");
    web_expect(f, "POST", "/v1/push/t?queue=q",
               WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"t\",\"id\":\"j\"}", 422, "key-reused");
    /* A key counts for one queue. */
    web_expect(f, "POST", "/v1/queues/r/jobs",
               WEB_JSON "Idempotency-Key: k\r\n", "{\"type\":\"u\"}", 202,
               "ready");
    /* Of a raw push the query counts too. */
    web_expect(f, "POST", "/v1/push/t?queue=q&in=1h",
               WEB_JSON "Idempotency-Key: l\r\n", "1", 202, "scheduled");
    web_expect(f, "POST", "/v1/push/t?queue=q&in=2h",
               WEB_JSON "Idempotency-Key: l\r\n", "1", 422, "key-reused");
    web_expect(f, "POST", "/v1/push/u?queue=q&in=1h",
               WEB_JSON "Idempotency-Key: l\r\n", "1", 422, "key-reused");
    web_expect(f, "POST", "/v1/push/t?in=1h&queue=q",
               WEB_JSON "Idempotency-Key: l\r\n", "1", 202, "replayed");
    assert_int_equal(redis_int(f->r, "ZCARD belt:{q}:scheduled"), 1);
}

/* Each of them is a part of what the key is for, the query at its longest. */
static void a_key_is_for_all_of_a_query(void **state)
{
#define LONGEST(until)                                                         \
    "/v1/push/t?queue=q&id=j&keep=1h&in=0&at=1&timeout=3s&backoff=1s"          \
    "&until=" until "&on_conflict=skip&max_attempts=3"                         \
    "&expires_at=4000000000000&expires_in=0&front=false&after=i&unique=k"
    struct web *f = *state;
    web_begin(f, NULL);
    for (int i = 0; i < 2; i++)
        web_expect(f, "POST", LONGEST("done"),
                   WEB_JSON "Idempotency-Key: k\r\n", "1", 202,
                   i == 0 ? "\"depth\":1" : "replayed");
    web_expect(f, "POST", LONGEST("started"), WEB_JSON "Idempotency-Key: k\r\n",
               "1", 422, "key-reused");
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 1);
}

static void a_key_counts_for_a_while(void **state)
{
    static const char *const flags[] = {"--idempotency", "2h", NULL};
    struct web *f = *state;
    web_begin(f, flags);
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"t\",\"id\":\"j\"}", 202, "ready");
    redisReply *r = redis_cmd(f->r, "KEYS belt:{q}:once:*");
    assert_int_equal(r->elements, 1);
    long long ms = redis_int(f->r, "PTTL %s", r->element[0]->str);
    assert_true(ms > 7100000 && ms <= 7200000);
    redis_do(f->r, "DEL %s", r->element[0]->str);
    web_expect(f, "POST", JOBS, WEB_JSON "Idempotency-Key: k\r\n",
               "{\"type\":\"t\",\"id\":\"j\"}", 202, "ready");
    freeReplyObject(r);
}

static void of_many_first_ones_at_once_one_is_the_first(void **state)
{
    struct web *f = *state;
    struct burst b;
    int replayed = 0;
    web_begin(f, NULL);
    burst_begin(f, &b);
    for (int i = 0; i < BURST; i++)
        send_one(b.fds[i], "Idempotency-Key: k\r\n", "{\"type\":\"t\"}");
    burst_end(f, &b);
    assert_int_equal(count(&b, 202), BURST);
    for (int i = 0; i < BURST; i++) {
        assert_string_equal(web_header(&b.replies[i], "Location"),
                            web_header(&b.replies[0], "Location"));
        replayed += web_header(&b.replies[i], "Idempotency-Replayed")[0] != 0;
    }
    assert_int_equal(replayed, BURST - 1);
    assert_int_equal(redis_int(f->r, "LLEN belt:{q}"), 1);
    burst_done(&b);
}

/* ---- Redis is away ---- */

static void without_redis_a_push_is_refused_at_once(void **state)
{
    struct web *f = *state;
    struct web_reply a;
    web_begin(f, NULL);
    redis_kill9(f->r);
    web_until(f, "/readyz", 503, NULL);
    int64_t start_ms = clock_ms();
    web_ask(f, "POST", JOBS, WEB_JSON, "{\"type\":\"t\"}", &a);
    assert_int_equal(a.status, 503);
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    assert_non_null(strstr(a.body, "urn:belt:problem:redis-away"));
    assert_true(clock_ms() - start_ms < 2000); /* a deadline is 5 s */
    web_reply_done(&a);
    redis_restart(f->r);
    web_until(f, "/readyz", 200, NULL);
    web_expect(f, "POST", JOBS, WEB_JSON, "{\"type\":\"t\"}", 202, "ready");
}

static void more_than_may_be_pending_is_refused(void **state)
{
    static const char *const flags[] = {"--max-pending", "1m", "--max-body",
                                        "1m", NULL};
    enum { SIZE = 700 * 1000 };
    struct web *f = *state;
    struct web_reply a;
    char *body = malloc(SIZE + 64);
    assert_non_null(body);
    (void)snprintf(body, SIZE + 64, "{\"type\":\"t\",\"payload\":\"%0*d\"}",
                   SIZE, 0);
    web_begin(f, flags);
    warm_up(f);
    redis_do(f->r, "CLIENT PAUSE 60000 WRITE");
    int fds[3];
    char head[256];
    (void)snprintf(head, sizeof(head),
                   "POST " JOBS " HTTP/1.1\r\nHost: localhost\r\n" WEB_JSON
                   "Content-Length: %zu\r\n\r\n",
                   strlen(body));
    int refused = 0;
    for (int i = 0; i < 3; i++) {
        assert_true((fds[i] = web_connect(f)) >= 0);
        assert_true(web_say(fds[i], head) && web_say(fds[i], body));
    }
    /* One or two are held; the last is told that there is no room. */
    assert_true(web_take(fds[2], false, &a));
    assert_int_equal(a.status, 503);
    web_reply_done(&a);
    redis_do(f->r, "CLIENT UNPAUSE");
    for (int i = 0; i < 2; i++) {
        assert_true(web_take(fds[i], false, &a));
        refused += a.status != 202;
        web_reply_done(&a);
    }
    assert_true(refused <= 1);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
    free(body);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_of_a_turn_share_a_script_call),
        TEST(a_full_queue_takes_the_first_of_a_call),
        TEST(each_with_options_is_answered_for_itself),
        TEST(what_a_full_queue_refuses_can_come_later),
        TEST(a_key_comes_once_from_whichever_server),
        TEST(a_key_is_for_one_request),
        TEST(a_key_is_for_all_of_a_query),
        TEST(a_key_counts_for_a_while),
        TEST(of_many_first_ones_at_once_one_is_the_first),
        TEST(without_redis_a_push_is_refused_at_once),
        TEST(more_than_may_be_pending_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
