/*
 * Claims about queues and workers over HTTP: what is shown is there, what is
 * changed holds, and nobody sees what a token does not allow.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "producer/serve/tokens.h"
#include "tests/integration/serve_admin.h"

#define Q "/v1/queues/q"

static struct redis *redis(void)
{
    return web.r;
}

/* ---- queues ---- */

static void a_queue_is_shown_with_what_is_in_it(void **state)
{
    (void)state;
    redis_do(redis(), "RPUSH belt:{q} a b c");
    redis_do(redis(), "ZADD belt:{q}:scheduled 1 a 2 b");
    redis_do(redis(), "ZADD belt:{q}:retry 1 a");
    redis_do(redis(), "ZADD belt:{q}:dead 1 a 2 b 3 c 4 d");
    redis_do(redis(), "HSET belt:{q}:config max_length 7");
    const json_t *v = ask("GET", Q, NULL, 200);
    TEXT(v, "q", "queue");
    INT(v, 3, "ready");
    INT(v, 2, "scheduled");
    INT(v, 1, "retry");
    INT(v, 4, "dead");
    INT(v, 0, "active");
    INT(v, 7, "max_length");
    INT(v, 7, "bounds", "max_length");
    TEXT(v, NULL, "bounds", "max_bytes");
    INT(v, 100000, "bounds", "dead_max");
    assert_int_equal(json_array_size(AT(v, "bounds_set")), 1);
    TEXT(v, "max_length", "bounds_set", "0");
}

static void a_queue_that_nobody_knows_is_not_found(void **state)
{
    (void)state;
    expect_problem(ask("GET", Q, NULL, 404), "not-found", NULL);
    redis_do(redis(), "SADD belt:queues q");
    INT(ask("GET", Q, NULL, 200), 0, "ready");
    redis_do(redis(), "DEL belt:queues");
    redis_do(redis(), "HSET belt:{q}:config version 1");
    INT(ask("GET", Q, NULL, 200), 0, "ready");
    expect_problem(ask("GET", Q "?x=1", NULL, 400), "invalid-query", NULL);
}

/* All pages; checks that the names are n001 and so on. Returns how many. */
static int walk_pages(const char *first)
{
    char path[512], want[16];
    int names = 0, pages = 0;

    snprintf(path, sizeof(path), "%s", first);
    for (bool more = true; more; pages++) {
        const json_t *v = ask("GET", path, NULL, 200), *row;
        size_t i;
        json_array_foreach(AT(v, "queues"), i, row)
        {
            snprintf(want, sizeof(want), "n%03d", ++names);
            TEXT(row, want, "queue");
            INT(row, names == 150 ? 1 : 0, "ready");
        }
        const char *link = last_header("Link"), *end = strchr(link, '>');
        more = *link != '\0';
        if (more)
            snprintf(path, sizeof(path), "/v1/queues%.*s",
                     (int)(end - link - 1), link + 1);
    }
    assert_int_equal(pages, 4);
    return names;
}

static void queues_come_in_pages_by_name(void **state)
{
    (void)state;
    redis_do(redis(), "EVAL %s 0",
             "for i = 1, 250 do redis.call('SADD', 'belt:queues', "
             "string.format('n%03d', i)) end "
             "redis.call('SADD', 'belt:queues', 'no name')");
    redis_do(redis(), "RPUSH belt:{n150} a");
    assert_int_equal(walk_pages("/v1/queues?limit=70"), 250);
    expect_problem(ask("GET", "/v1/queues?limit=0", NULL, 400), "invalid-query",
                   NULL);
    expect_problem(ask("GET", "/v1/queues?cursor=!", NULL, 400),
                   "invalid-query", NULL);
}

/* ---- bounds ---- */

static void bounds_are_set_and_taken_away(void **state)
{
    char text[64];

    (void)state;
    const json_t *v = ask("PATCH", Q,
                          "{\"max_length\":1000,\"max_bytes\":\"64k\","
                          "\"dead_max_age\":\"10d\",\"dead_max\":null}",
                          200);
    INT(v, 1000, "bounds", "max_length");
    INT(v, 65536, "bounds", "max_bytes");
    INT(v, 864000000, "bounds", "dead_max_age");
    INT(v, 100000, "bounds", "dead_max");
    assert_int_equal(json_array_size(AT(v, "bounds_set")), 3);
    assert_int_equal(redis_int(redis(), "SISMEMBER belt:queues q"), 1);
    assert_int_equal(redis_int(redis(), "HEXISTS belt:{q}:config dead_max"), 0);
    assert_string_equal(redis_str(redis(), text, sizeof(text),
                                  "HGET belt:{q}:config max_bytes"),
                        "65536");
    assert_string_equal(
        redis_str(redis(), text, sizeof(text), "HGET belt:{q}:config version"),
        "1");
    v = ask("PATCH", Q, "{\"max_length\":null,\"max_bytes\":\"none\"}", 200);
    TEXT(v, NULL, "bounds", "max_length");
    INT(v, 864000000, "bounds", "dead_max_age");
    TEXT(v, "dead_max_age", "bounds_set", "0");
    assert_int_equal(redis_int(redis(), "HEXISTS belt:{q}:config max_length"),
                     0);
}

static void bounds_that_are_none_change_nothing(void **state)
{
    (void)state;
    const json_t *v = ask("PATCH", Q,
                          "{\"max_length\":1,\"dead_max\":0,\"max_bytes\":1.5,"
                          "\"dead_max_age\":\"soon\",\"max_byte\":3,"
                          "\"dead_max_bytes\":[]}",
                          422);
    expect_problem(v, "invalid-body", "/dead_max");
    expect_problem(v, "invalid-body", "/max_bytes");
    expect_problem(v, "invalid-body", "/dead_max_age");
    expect_problem(v, "invalid-body", "/max_byte");
    expect_problem(v, "invalid-body", "/dead_max_bytes");
    assert_int_equal(json_array_size(AT(v, "errors")), 5);
    expect_problem(ask("PATCH", Q, "{\"max_length\":1", 400), "invalid-json",
                   NULL);
    expect_problem(ask("PATCH", Q, "[1]", 400), "invalid-json", NULL);
    assert_int_equal(redis_int(redis(), "DBSIZE"), 0);
    redis_do(redis(), "SET belt:{q}:config x");
    assert_true(json_integer_value(
                    AT(ask("PATCH", Q, "{\"max_length\":1}", 500), "status")) ==
                500);
}

/* ---- pauses ---- */

static struct worker *start_worker(void)
{
    struct worker *w = worker_start(
        redis(), NULL,
        (const char *const[]){"--queues", "q", "--handler", "x=builtin:noop",
                              "--threads=2", "--lease=3s", NULL});

    assert_true(worker_is_up(w, 1));
    return w;
}

static void a_pause_is_over_when_the_workers_comply(void **state)
{
    struct worker *w = start_worker();
    char text[64];

    (void)state;
    const json_t *v = ask("POST", Q "/pause",
                          "{\"for\":\"10m\",\"reason\":\"moving house\"}", 200);
    TEXT(v, "paused", "state");
    assert_true(json_is_true(AT(v, "complied")));
    INT(v, 0, "waiting");
    json_int_t until = json_integer_value(AT(v, "paused_until"));
    redis_do(redis(), "RPUSH belt:{q} %s", "{\"id\":\"j\",\"type\":\"x\"}");
    v = ask("GET", Q, NULL, 200);
    assert_true(json_is_true(AT(v, "paused")));
    INT(v, until, "paused_until");
    INT(v, until - 600000, "paused_at");
    TEXT(v, "127.0.0.1", "paused_by");
    TEXT(v, "moving house", "paused_reason");
    INT(v, 1, "ready");
    INT(v, 1, "workers");
    TEXT(ask("POST", Q "/resume", NULL, 200), "resumed", "state");
    TEXT(ask("POST", Q "/resume", NULL, 200), "not paused", "state");
    assert_true(queue_at_rest(redis(), "q", WEB_MS));
    assert_int_equal(queue_stat(redis(), "q", "done"), 1);
    assert_string_equal(
        redis_str(redis(), text, sizeof(text), "HGET belt:{q}:config paused"),
        "(nil)");
    worker_free(w);
}

static void lanes_that_have_not_heard_are_named(void **state)
{
    (void)state;
    redis_do(redis(), "ZADD belt:{q}:leases 9999999999999 deaf.1.a");
    const json_t *v = ask("POST", Q "/pause?wait=0", NULL, 202);
    TEXT(v, "pausing", "state");
    assert_true(json_is_false(AT(v, "complied")));
    INT(v, 1, "waiting");
    TEXT(v, "deaf.1.a", "lanes", "0");
    TEXT(v, NULL, "paused_until");
    v = ask("POST", Q "/pause?wait=10s", "{\"for\":50}", 200);
    TEXT(v, "resumed", "state");
    assert_true(json_is_false(AT(v, "complied")));
}

static void pauses_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    expect_problem(ask("POST", Q "/pause?wait=2h", NULL, 400), "invalid-query",
                   NULL);
    expect_problem(ask("POST", Q "/pause", "{\"for\":\"-1\"}", 422),
                   "invalid-body", "/for");
    expect_problem(ask("POST", Q "/pause", "{\"reason\":7,\"fo\":1}", 422),
                   "invalid-body", "/fo");
    assert_int_equal(redis_int(redis(), "DBSIZE"), 0);
}

static bool is_paused(void *arg)
{
    (void)arg;
    return redis_int(redis(), "HEXISTS belt:{q}:config paused") == 1;
}

/* The last one for its server. */
static void a_stop_does_not_wait_for_lanes(void **state)
{
    struct web_reply a;
    int64_t began_ms = clock_ms();

    (void)state;
    redis_do(redis(), "ZADD belt:{q}:leases 9999999999999 deaf.1.a");
    int fd = web_connect(&web);
    assert_true(web_say(fd, "POST " Q "/pause?wait=60 HTTP/1.1\r\n"
                            "Host: localhost\r\n\r\n"));
    assert_true(wait_until(is_paused, NULL, WEB_MS));
    worker_signal(web.w, SIGTERM);
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 202);
    assert_int_equal(worker_wait(web.w, WEB_MS), 0);
    assert_true(clock_ms() - began_ms < 50 * 1000);
    web_reply_done(&a);
    (void)close(fd);
}

/* ---- stats ---- */

static void what_was_counted_is_told_by_the_minute(void **state)
{
    (void)state;
    redis_do(redis(), "HSET belt:{q}:stats done 5 dead 2 wait:4 3");
    redis_do(redis(), "EVAL %s 0",
             "local m = math.floor(redis.call('TIME')[1] / 60) "
             "for i = 0, 9 do redis.call('HSET', 'belt:{q}:stats:' .. "
             "string.format('%d', m - i), 'done', '3') end");
    const json_t *v = ask("GET", Q "/stats?total=true", NULL, 200), *row;
    INT(v, 5, "stats", "0", "done");
    INT(v, 2, "stats", "0", "dead");
    INT(v, 12, "stats", "0", "wait_p50");
    v = ask("GET", Q "/stats?minutes=5&by=5m", NULL, 200);
    json_int_t done = 0;
    size_t i;
    json_array_foreach(AT(v, "stats"), i, row) done +=
        json_integer_value(AT(row, "done"));
    assert_true(done >= 12 && done <= 15); /* a minute may have begun */
    v = ask("GET", Q "/stats?minutes=3", NULL, 200);
    assert_int_equal(json_array_size(AT(v, "stats")), 3);
    expect_problem(ask("GET", Q "/stats?by=90", NULL, 400), "invalid-query",
                   NULL);
    expect_problem(ask("GET", Q "/stats?minutes=9999", NULL, 400),
                   "invalid-query", NULL);
    expect_problem(ask("GET", Q "/stats?total=1&minutes=5", NULL, 400),
                   "invalid-query", NULL);
}

/* ---- workers ---- */

static void workers_are_shown(void **state)
{
    struct worker *w = start_worker();

    (void)state;
    web_until(&web, "/v1/workers", 200, "\"queues\":\"q\"");
    const json_t *v = ask("GET", "/v1/workers", NULL, 200);
    assert_int_equal(json_array_size(AT(v, "workers")), 1);
    TEXT(v, "q", "workers", "0", "queues");
    TEXT(v, "running", "workers", "0", "state");
    INT(v, worker_pid(w), "workers", "0", "pid");
    INT(v, 2, "workers", "0", "threads");
    assert_true(json_is_false(AT(v, "more")));
    worker_free(w);
}

/* ---- tokens ---- */

static void begin_with_tokens(char header[256])
{
    struct buf token = {0};
    struct errbuf eb = {""};
    char path[256];

    snprintf(path, sizeof(path), "%s/tokens", redis_dir(redis()));
    if (tokens_add(path, "ops-mail", "read,operate", "mail.*", &token, &eb) !=
        0)
        fail_msg("%s", eb.text);
    while (token.len > 0 && token.data[token.len - 1] == '\n')
        token.data[--token.len] = '\0';
    snprintf(header, 256, "Authorization: Bearer %s\r\n", token.data);
    buf_done(&token);
    web_begin(&web, (const char *const[]){"--tokens", path, NULL});
}

static void a_token_sees_its_queues_alone(void **state)
{
    char header[256], with_json[512];

    (void)state;
    redis_do(redis(), "SADD belt:queues mail.a mail.b pay");
    redis_do(redis(), "EVAL %s 0",
             "for _, w in ipairs({'one', 'two'}) do "
             "redis.call('ZADD', 'belt:workers', 9999999999999, w) "
             "redis.call('HSET', 'belt:worker:' .. w, 'queues', "
             "w == 'one' and 'pay,mail.a' or 'pay') end");
    begin_with_tokens(header);
    snprintf(with_json, sizeof(with_json), "%s%s", header, WEB_JSON);
    struct web_reply a;
    web_ask(&web, "GET", "/v1/queues", header, NULL, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"mail.a\""));
    assert_non_null(strstr(a.body, "\"mail.b\""));
    assert_null(strstr(a.body, "\"pay\""));
    web_reply_done(&a);
    web_ask(&web, "GET", "/v1/workers", header, NULL, &a);
    assert_non_null(strstr(a.body, "\"worker\":\"one\""));
    assert_non_null(strstr(a.body, "\"queues\":\"mail.a\""));
    assert_null(strstr(a.body, "pay"));
    assert_null(strstr(a.body, "\"two\""));
    web_reply_done(&a);
    web_expect(&web, "GET", "/v1/queues/pay", header, NULL, 403, "forbidden");
    web_expect(&web, "POST", "/v1/queues/pay/pause", header, NULL, 403, NULL);
    web_expect(&web, "POST", "/v1/queues/mail.a/pause", with_json, "{}", 200,
               NULL);
    web_expect(&web, "GET", "/v1/queues/mail.a", header, NULL, 200,
               "\"paused_by\":\"ops-mail\"");
    web_expect(&web, "GET", "/v1/queues", NULL, NULL, 401, "unauthorized");
}

#define CLAIM(name) cmocka_unit_test_setup(name, admin_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_queue_is_shown_with_what_is_in_it),
        CLAIM(a_queue_that_nobody_knows_is_not_found),
        CLAIM(queues_come_in_pages_by_name),
        CLAIM(bounds_are_set_and_taken_away),
        CLAIM(bounds_that_are_none_change_nothing),
        CLAIM(a_pause_is_over_when_the_workers_comply),
        CLAIM(lanes_that_have_not_heard_are_named),
        CLAIM(pauses_that_make_no_sense_are_refused),
        CLAIM(what_was_counted_is_told_by_the_minute),
        CLAIM(workers_are_shown),
        CLAIM(a_stop_does_not_wait_for_lanes),
        CLAIM(a_token_sees_its_queues_alone), /* with a server of its own */
    };

    return cmocka_run_group_tests(tests, admin_begin, admin_end);
}
