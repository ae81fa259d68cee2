/*
 * Claims about periodic jobs over HTTP.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/serve_admin.h"

#define CRON "/v1/queues/q/cron"
#define NIGHTLY CRON "/nightly"
#define ENTRY                                                                  \
    "{\"spec\":\"30 2 * * *\",\"tz\":\"Europe/Berlin\",\"type\":\"report\","   \
    "\"payload\":{\"to\": \"ops\"},\"keep\":\"1h\",\"jitter\":60000,"          \
    "\"overlap\":\"skip\",\"max_attempts\":3,\"backoff\":\"10s\"}"

static struct redis *redis(void)
{
    return web.r;
}

static const char *entry(void)
{
    static char text[1024];

    return redis_str(redis(), text, sizeof(text), "HGET belt:{q}:cron nightly");
}

static void an_entry_is_put_read_and_changed(void **state)
{
    (void)state;
    const json_t *v = ask("PUT", NIGHTLY, ENTRY, 201);
    assert_string_equal(last_header("Location"), NIGHTLY);
    TEXT(v, "nightly", "name");
    TEXT(v, "active", "state");
    TEXT(v, "http", "source");
    INT(v, 60000, "jitter");
    TEXT(v, "skip", "overlap");
    INT(v, 3600000, "entry", "keep");
    INT(v, 3, "entry", "max_attempts");
    TEXT(v, NULL, "running");
    assert_int_equal(json_array_size(AT(v, "upcoming")), 5);
    assert_non_null(strstr(json_string_value(AT(v, "upcoming", "0", "local")),
                           " 02:30:00 CE"));
    assert_non_null(strstr(entry(), "\"payload\":{\"to\": \"ops\"}"));
    assert_int_equal(redis_int(redis(), "ZCARD belt:{q}:cron:due"), 1);
    assert_int_equal(redis_int(redis(), "SISMEMBER belt:queues q"), 1);
    v = ask("PUT", NIGHTLY,
            "{\"spec\":\"@hourly\",\"type\":\"report\",\"paused\":true}", 200);
    assert_string_equal(last_header("Location"), "");
    TEXT(v, "paused", "state");
    TEXT(v, "UTC", "tz");
    TEXT(v, NULL, "next");
    assert_int_equal(redis_int(redis(), "ZCARD belt:{q}:cron:due"), 0);
    v = ask("GET", NIGHTLY "?next=2", NULL, 200);
    TEXT(v, "@hourly", "spec");
    assert_int_equal(json_array_size(AT(v, "upcoming")), 2);
    expect_problem(ask("GET", NIGHTLY "?next=1001", NULL, 400), "invalid-query",
                   NULL);
}

/* What GET says is the entry can be put there again. */
static void an_entry_goes_round(void **state)
{
    char before[1024];

    (void)state;
    char *text =
        json_dumps(AT(ask("PUT", NIGHTLY, ENTRY, 201), "entry"), JSON_COMPACT);
    snprintf(before, sizeof(before), "%s", entry());
    (void)ask("PUT", NIGHTLY, text, 200);
    *strstr(before, ",\"updated_at\"") = '\0';
    assert_non_null(strstr(before, "\"backoff\""));
    TEXT(ask("GET", NIGHTLY, NULL, 200), "Europe/Berlin", "tz");
    assert_non_null(strstr(entry(), "\"backoff\":"));
    assert_non_null(strstr(entry(), "\"max_attempts\":3"));
    assert_non_null(strstr(entry(), "\"keep\":3600000"));
    free(text);
}

static void an_entry_that_is_wrong_is_not_put(void **state)
{
    static const struct {
        const char *body, *pointer;
    } wrong[] = {
        {"{}", "/spec"},
        {"{\"spec\":\"@daily\"}", "/type"},
        {"{\"spec\":\"61 * * * *\",\"type\":\"x\"}", "/spec"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"tz\":\"Mars/Base\"}", "/tz"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"overlap\":\"no\"}", "/overlap"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"catch_up\":1}", "/catch_up"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"jitter\":\"2d\"}", "/jitter"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"times\":0}", "/times"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"keep\":-1}", "/keep"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"backoff\":\"soon\"}",
         "/backoff"},
        {"{\"spec\":\"@daily\",\"type\":\"x\",\"jitter\":5,\"expires\":5}",
         "/expires"},
        {"{\"schedule\":\"@daily\",\"type\":\"x\"}", "/schedule"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_problem(ask("PUT", NIGHTLY, wrong[i].body, 422), "invalid-body",
                       wrong[i].pointer);
    expect_problem(ask("PUT", NIGHTLY, "{\"spec\"}", 400), "invalid-json",
                   NULL);
    expect_problem(ask("PUT", CRON "/-x", ENTRY, 400), "invalid-path", NULL);
    assert_int_equal(redis_int(redis(), "DBSIZE"), 0);
}

static void an_entry_is_paused_resumed_and_removed(void **state)
{
    static const char *const posts[] = {"/run", "/pause", "/resume"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), NIGHTLY "%s", posts[i]);
        expect_problem(ask("POST", path, NULL, 404), "not-found", NULL);
    }
    expect_problem(ask("GET", NIGHTLY, NULL, 404), "not-found", NULL);
    expect_problem(ask("DELETE", NIGHTLY, NULL, 404), "not-found", NULL);
    (void)ask("PUT", NIGHTLY, ENTRY, 201);
    TEXT(ask("POST", NIGHTLY "/pause", NULL, 200), "paused", "state");
    assert_int_equal(redis_int(redis(), "ZCARD belt:{q}:cron:due"), 0);
    TEXT(ask("POST", NIGHTLY "/resume", NULL, 200), "active", "state");
    assert_int_equal(redis_int(redis(), "ZCARD belt:{q}:cron:due"), 1);
    assert_null(ask("DELETE", NIGHTLY, NULL, 204));
    assert_int_equal(redis_int(redis(), "EXISTS belt:{q}:cron"), 0);
    assert_int_equal(redis_int(redis(), "EXISTS belt:{q}:cron:due"), 0);
}

static void a_run_out_of_turn_is_a_job(void **state)
{
    char id[128], where[160];

    (void)state;
    (void)ask("PUT", NIGHTLY, ENTRY, 201);
    const json_t *v = ask("POST", NIGHTLY "/run", NULL, 202);
    snprintf(id, sizeof(id), "%s", json_string_value(AT(v, "id")));
    snprintf(where, sizeof(where), "/v1/queues/q/jobs/%s", id);
    assert_string_equal(last_header("Location"), where);
    assert_int_equal(redis_int(redis(), "LLEN belt:{q}"), 1);
    v = ask("POST", NIGHTLY "/run", NULL, 409); /* it skips meanwhile */
    expect_problem(v, "held", NULL);
    TEXT(v, id, "holder");
    TEXT(ask("GET", NIGHTLY, NULL, 200), id, "running");
    assert_int_equal(redis_int(redis(), "LLEN belt:{q}"), 1);
    (void)ask("PUT", CRON "/often", "{\"spec\":\"@every 1h\",\"type\":\"x\"}",
              201);
    redis_do(redis(), "HSET belt:{q}:config max_length 1");
    v = ask("POST", CRON "/often/run", NULL, 429);
    expect_problem(v, "queue-full", NULL);
    assert_string_equal(last_header("Retry-After"), "1");
}

/* Writes the entry all the time; nobody else uses that client meanwhile. */
static void *write_on(void *arg)
{
    atomic_bool *over = arg;

    for (int i = 0; !atomic_load(over); i++)
        redis_do(redis(), "HSET belt:{q}:cron nightly %s%d%s",
                 "{\"spec\":\"@daily\",\"type\":\"x\",\"payload\":", i, "}");
    return NULL;
}

/* Each time that the entry was read, it is another one before it is written. */
static void who_loses_each_race_is_told(void **state)
{
    atomic_bool over = false;
    pthread_t thread;
    struct web_reply a = {0};
    int64_t deadline_ms = clock_ms() + WEB_MS;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, write_on, &over), 0);
    do {
        web_reply_done(&a);
        web_ask(&web, "PUT", NIGHTLY, WEB_JSON, ENTRY, &a);
    } while (a.status < 400 && clock_ms() < deadline_ms);
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(a.status, 409);
    assert_non_null(strstr(a.body, "urn:belt:problem:conflict"));
    web_reply_done(&a);
}

static void entries_come_in_pages(void **state)
{
    char path[512] = CRON "?limit=100";
    int count = 0, pages = 0;
    bool seen[400] = {false};

    (void)state;
    redis_do(redis(), "EVAL %s 0",
             "for i = 1, 300 do redis.call('HSET', 'belt:{q}:cron', 'e' .. i, "
             "'{\"spec\":\"@daily\",\"type\":\"x\",\"payload\":\"' .. "
             "string.rep('y', 100) .. '\"}') end "
             "redis.call('HSET', 'belt:{q}:cron', 'bad', 'no entry')");
    for (bool more = true; more; pages++) {
        const json_t *v = ask("GET", path, NULL, 200), *row;
        size_t i;
        json_array_foreach(AT(v, "cron"), i, row)
        {
            const char *name = json_string_value(AT(row, "name"));
            int k = *name == 'e' ? atoi(name + 1) : 0;
            TEXT(row, k > 0 ? "not due" : "invalid", "state");
            count += !seen[k];
            seen[k] = true;
        }
        const char *link = last_header("Link"), *end = strchr(link, '>');
        more = *link != '\0';
        if (more)
            snprintf(path, sizeof(path), CRON "%.*s", (int)(end - link - 1),
                     link + 1);
    }
    assert_int_equal(count, 301);
    assert_in_range(pages, 3, 4);
    TEXT(ask("GET", CRON "/bad", NULL, 200), "invalid", "state");
    expect_problem(ask("POST", CRON "/bad/run", NULL, 400), "invalid", NULL);
    assert_null(ask("DELETE", CRON "/bad", NULL, 204));
    expect_problem(ask("GET", CRON "?cursor=eA", NULL, 400), "invalid-query",
                   NULL);
}

#define CLAIM(name) cmocka_unit_test_setup(name, admin_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(an_entry_is_put_read_and_changed),
        CLAIM(an_entry_goes_round),
        CLAIM(an_entry_that_is_wrong_is_not_put),
        CLAIM(an_entry_is_paused_resumed_and_removed),
        CLAIM(a_run_out_of_turn_is_a_job),
        CLAIM(who_loses_each_race_is_told),
        CLAIM(entries_come_in_pages),
    };

    return cmocka_run_group_tests(tests, admin_begin, admin_end);
}
