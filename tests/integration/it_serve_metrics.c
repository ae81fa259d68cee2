/*
 * Claims about GET /metrics of belt serve: the fleet's numbers are those of
 * Redis, its own those of its answers, nobody can make series, and Prometheus'
 * own tool is content.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/http_fixture.h"
#include "tests/support/metrics.h"
#include "tests/unit/unit.h"

static char *scrape(const struct web *f)
{
    struct web_reply a;
    web_ask(f, "GET", "/metrics", NULL, NULL, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    char *text = mem_printf("\n%s", a.body);
    web_reply_done(&a);
    return text;
}

/* The value of a sample; the test fails if there is none, or two. */
static double sample(const char *text, const char *name)
{
    char *line = mem_printf("\n%s ", name);
    const char *found = strstr(text, line);
    if (found == NULL || strstr(found + 1, line) != NULL)
        fail_msg("%s: %s in%s", name, found == NULL ? "not" : "twice", text);
    double n = strtod(found + strlen(line), NULL);
    free(line);
    return n;
}

static void expect(const char *text, const char *name, double value)
{
    double n = sample(text, name);
    if (n < value || n > value)
        fail_msg("%s: %g, not %g", name, n, value);
}

#define JOBS(state) "belt_queue_jobs{queue=\"q\",state=\"" state "\"}"

static void the_fleet_is_as_redis_has_it(void **state)
{
    struct web *f = *state;
    redis_do(f->r, "SADD belt:queues q other");
    redis_do(f->r, "RPUSH belt:{q} %s x y",
             "{\"type\":\"x\",\"created_at\":1000}");
    redis_do(f->r, "ZADD belt:{q}:scheduled 9999999999999 a");
    redis_do(f->r, "ZADD belt:{q}:retry 9999999999999 a 9999999999999 b");
    redis_do(f->r, "ZADD belt:{q}:dead 1 a 1 b 1 c 1 d");
    redis_do(f->r, "ZADD belt:{q}:leases 9999999999999 w.1");
    redis_do(f->r, "RPUSH belt:{q}:active:w.1 a b c d e");
    redis_do(f->r, "HSET belt:{q}:config paused 1 max_length 3000000000");
    redis_do(f->r, "HSET belt:{q}:stats pushed 100 done 80 dead 4 refused 3 "
                   "reaped 2");
    redis_do(f->r, "ZADD belt:{q}:cron:due 1000 night");
    redis_do(f->r, "ZADD belt:workers 9999999999999 w 5 gone");
    redis_do(f->r, "HSET belt:worker:w threads 8 busy 3");
    redis_do(f->r, "HSET belt:worker:gone threads 8 busy 3");
    web_begin(f, NULL);
    char *text = scrape(f);
    expect(text, "belt_redis_up", 1);
    expect(text, "belt_queues", 2);
    expect(text, JOBS("ready"), 3);
    expect(text, JOBS("scheduled"), 1);
    expect(text, JOBS("retry"), 2);
    expect(text, JOBS("dead"), 4);
    expect(text, JOBS("active"), 5);
    expect(text, "belt_queue_jobs{queue=\"other\",state=\"ready\"}", 0);
    expect(text, "belt_queue_paused{queue=\"q\"}", 1);
    expect(text, "belt_queue_paused{queue=\"other\"}", 0);
    expect(text, "belt_queue_limit_jobs{queue=\"q\"}", 3e9);
    assert_null(strstr(text, "\nbelt_queue_limit_jobs{queue=\"other\"}"));
    expect(text, "belt_queue_enqueued_total{queue=\"q\"}", 100);
    expect(text, "belt_queue_finished_total{queue=\"q\",outcome=\"done\"}", 80);
    expect(text, "belt_queue_finished_total{queue=\"q\",outcome=\"dead\"}", 4);
    expect(text, "belt_queue_refused_total{queue=\"q\"}", 3);
    expect(text, "belt_queue_reaped_total{queue=\"q\"}", 2);
    expect(text, "belt_workers", 1);
    expect(text, "belt_fleet_threads{state=\"busy\"}", 3);
    expect(text, "belt_fleet_threads{state=\"idle\"}", 5);
    assert_true(sample(text, "belt_queue_latency_seconds{queue=\"q\"}") > 1e9);
    assert_true(sample(text, "belt_cron_late_seconds{queue=\"q\"}") > 1e9);
    expect(text, "belt_queue_latency_seconds{queue=\"other\"}", 0);
    expect(text, "belt_cron_late_seconds{queue=\"other\"}", 0);
    free(text);
}

static void requests_are_counted_by_route(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    for (int i = 0; i < 3; i++)
        web_expect(f, "GET", "/livez", NULL, NULL, 200, NULL);
    web_expect(f, "GET", "/v1/queues/a", NULL, NULL, 404, NULL);
    web_expect(f, "GET", "/v1/queues/b", NULL, NULL, 404, NULL);
    web_expect(f, "GET", "/made/up", NULL, NULL, 404, NULL);
    web_expect(f, "GET", "/made/up/2", NULL, NULL, 404, NULL);
    char *text = scrape(f);
    expect(text,
           "belt_http_requests_total{route=\"/livez\",method=\"GET\","
           "code=\"200\"}",
           3);
    expect(text,
           "belt_http_requests_total{route=\"/v1/queues/{queue}\","
           "method=\"GET\",code=\"404\"}",
           2);
    expect(text,
           "belt_http_requests_total{route=\"other\",method=\"other\","
           "code=\"404\"}",
           2);
    expect(text,
           "belt_http_request_duration_seconds_count{route=\"/livez\","
           "method=\"GET\"}",
           3);
    assert_null(strstr(text, "made"));
    free(text);
}

static void other_queues_than_so_many_have_no_series(void **state)
{
    struct web *f = *state;
    redis_do(f->r, "SADD belt:queues a b c");
    web_begin(f, (const char *[]){"--metrics-queues", "2", NULL});
    char *text = scrape(f);
    expect(text, "belt_queues", 3);
    expect(text, "belt_queue_jobs{queue=\"b\",state=\"ready\"}", 0);
    assert_null(strstr(text, "queue=\"c\""));
    free(text);
}

static void without_redis_its_own_are_there(void **state)
{
    struct web *f = *state;
    web_begin(f, NULL);
    redis_kill9(f->r);
    web_until(f, "/readyz", 503, NULL);
    char *text = scrape(f);
    expect(text, "belt_redis_up", 0);
    assert_true(sample(text, "process_open_fds") > 3);
    assert_null(strstr(text, "belt_queues"));
    free(text);
    redis_restart(f->r);
}

static void a_key_of_another_type_takes_only_the_fleet_away(void **state)
{
    struct web *f = *state;
    redis_do(f->r, "SADD belt:queues q");
    redis_do(f->r, "SET belt:{q}:retry x");
    web_begin(f, NULL);
    char *text = scrape(f);
    expect(text, "belt_fleet_up", 0);
    free(text);
    redis_do(f->r, "DEL belt:{q}:retry");
    text = scrape(f);
    expect(text, "belt_fleet_up", 1);
    free(text);
}

static void every_family_is_documented_and_right(void **state)
{
    struct web *f = *state;
    redis_do(f->r, "RPUSH belt:{q} x");
    redis_do(f->r, "SADD belt:queues q");
    redis_do(f->r, "HSET belt:{q}:config max_length 7");
    web_begin(f, NULL);
    web_expect(f, "GET", "/livez", NULL, NULL, 200, NULL);
    char *text = scrape(f);
    assert_non_null(strstr(text, "\nbelt_queue_limit_jobs{"));
    assert_ptr_equal(metrics_breach(text + 1), NULL);
    free(text);
}

#define STORY(name)                                                            \
    cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_fleet_is_as_redis_has_it),
        STORY(requests_are_counted_by_route),
        STORY(other_queues_than_so_many_have_no_series),
        STORY(without_redis_its_own_are_there),
        STORY(a_key_of_another_type_takes_only_the_fleet_away),
        STORY(every_family_is_documented_and_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
