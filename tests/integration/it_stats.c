/*
 * Claims about belt stats: rows by minute, sums of them, and percentiles.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define MINUTE_MS INT64_C(60000)

static json_t *ask(const char *const *argv)
{
    struct cli_result r = cli_run(runs_redis, NULL, argv);
    json_error_t e;
    json_t *j = json_loads(r.out, 0, &e);

    if (r.status != 0 || !j)
        fail_msg("status %d: %s%s", r.status, r.out, r.err);
    cli_result_done(&r);
    return j;
}

#define ASK(...)                                                               \
    ask((const char *const[]){"stats", "q", __VA_ARGS__, "--json", NULL})

/* The row that begins at at_ms; the test fails if there is none. */
static const json_t *row_at(const json_t *rows, int64_t at_ms)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        if (json_integer_value(json_object_get(row, "at")) == at_ms)
            return row;
    }
    fail_msg("no row of %" PRId64, at_ms);
    return NULL;
}

static void expect(const json_t *row, const char *name, long long n)
{
    const json_t *value = json_object_get(row, name);

    if (!json_is_integer(value) || json_integer_value(value) != n)
        fail_msg("%s is %lld, not %lld", name, json_integer_value(value), n);
}

static void put(int64_t at_ms, const char *fields)
{
    char command[512];

    snprintf(command, sizeof(command), "HSET belt:{q}:stats:%" PRId64 " %s",
             at_ms / MINUTE_MS, fields);
    redis_do(runs_redis, command);
}

static void minutes_have_rows(void **state)
{
    int64_t now_ms = clock_wall_ms(), at_ms = now_ms - now_ms % MINUTE_MS;

    (void)state;
    put(at_ms - 2 * MINUTE_MS, "pushed 7 started 6 done 5 retried 4 dead 3 "
                               "cancelled 2 expired 1 reaped 8 wait:3 100 "
                               "run:0 1 run:11 1 discarded 9 put_off 10 "
                               "snoozed 11 invalid 12 refused 13");
    put(at_ms - 90 * MINUTE_MS, "pushed 1000");
    json_t *rows = ASK("--minutes", "60");
    assert_int_equal(json_array_size(rows), 60);
    const json_t *row = row_at(rows, at_ms - 2 * MINUTE_MS);
    expect(row, "pushed", 7);
    expect(row, "started", 6);
    expect(row, "done", 5);
    expect(row, "retried", 4);
    expect(row, "dead", 3);
    expect(row, "cancelled", 2);
    expect(row, "expired", 1);
    expect(row, "reaped", 8);
    expect(row, "discarded", 9);
    expect(row, "put_off", 10);
    expect(row, "snoozed", 11);
    expect(row, "invalid", 12);
    expect(row, "refused", 13);
    expect(row, "wait_p50", 6); /* half way from 4 to 8 */
    expect(row, "wait_p99", 8);
    expect(row, "run_p50", 1);
    expect(row, "run_p99", 2028);
    row = row_at(rows, at_ms - 3 * MINUTE_MS);
    expect(row, "pushed", 0);
    assert_true(json_is_null(json_object_get(row, "wait_p50")));
    json_decref(rows);
}

static void rows_add_up(void **state)
{
    int64_t now_ms = clock_wall_ms(), hour_ms = 60 * MINUTE_MS;
    int64_t at_ms = now_ms - now_ms % hour_ms - hour_ms;

    (void)state;
    put(at_ms, "pushed 1 wait:1 50");
    put(at_ms + 59 * MINUTE_MS, "pushed 2 wait:5 50 done x dead -1");
    put(at_ms + 60 * MINUTE_MS, "pushed 4");
    json_t *rows = ASK("--minutes", "1440", "--by", "1h");
    assert_in_range(json_array_size(rows), 24, 25);
    expect(row_at(rows, at_ms), "pushed", 3);
    expect(row_at(rows, at_ms), "done", 0);
    expect(row_at(rows, at_ms), "dead", 0);
    expect(row_at(rows, at_ms), "wait_p50", 2);
    expect(row_at(rows, at_ms), "wait_p95", 30);
    expect(row_at(rows, at_ms + hour_ms), "pushed", 4);
    json_decref(rows);
}

static void a_total_is_for_ever(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:stats pushed 12345 run:16 1");
    json_t *rows = ASK("--total");
    assert_int_equal(json_array_size(rows), 1);
    expect(json_array_get(rows, 0), "pushed", 12345);
    json_decref(rows);
    EXPECT(runs_redis, NULL, 0, "in all", "", "stats", "q", "--total");
    EXPECT(runs_redis, NULL, 0, "1m", "", "stats", "q", "--total");
}

static void people_see_what_happened(void **state)
{
    int64_t now_ms = clock_wall_ms();

    (void)state;
    put(now_ms - 5 * MINUTE_MS, "pushed 31337 run:12 1");
    struct cli_result r = CLI(runs_redis, NULL, "stats", "q");
    size_t lines = 0;
    for (const char *p = r.out; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 2);
    assert_non_null(strstr(r.out, "31337"));
    assert_non_null(strstr(r.out, "3.1s"));
    cli_result_done(&r);
    EXPECT(runs_redis, NULL, 64, "", "whole minutes", "stats", "q", "--by",
           "90s");
    EXPECT(runs_redis, NULL, 64, "", "is not from 1 to 1440", "stats", "q",
           "--minutes", "1441");
    EXPECT(runs_redis, NULL, 64, "", "--total takes no", "stats", "q",
           "--total", "--by", "1h");
    EXPECT(runs_redis, NULL, 64, "", "not the name of a queue", "stats", "/");
}

/* All of them may lie in one minute or in two. */
static bool are_told(void *arg)
{
    json_t *rows = ASK("--minutes", "10", "--by", "24h");
    long long pushed = 0, started = 0, done = 0, dead = 0, waits = 0, runs = 0;
    size_t i;
    json_t *row;

    (void)arg;
    json_array_foreach(rows, i, row)
    {
        pushed += json_integer_value(json_object_get(row, "pushed"));
        started += json_integer_value(json_object_get(row, "started"));
        done += json_integer_value(json_object_get(row, "done"));
        dead += json_integer_value(json_object_get(row, "dead"));
        waits += json_is_integer(json_object_get(row, "wait_p50"));
        runs += json_is_integer(json_object_get(row, "run_p99"));
    }
    json_decref(rows);
    return pushed == 3 && started == 3 && done == 2 && dead == 1 && waits > 0 &&
           runs > 0;
}

static void workers_count_what_they_run(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "ok=builtin:noop", "--handler",
                                   runs_handler("no", "exit 65"), NULL);
    EXPECT(runs_redis, NULL, 0, "", "", "push", "-q", "q", "ok");
    EXPECT(runs_redis, NULL, 0, "", "", "push", "-q", "q", "ok");
    EXPECT(runs_redis, NULL, 0, "", "", "push", "-q", "q", "no");
    assert_true(wait_until(are_told, NULL, RUN_MS));
    runs_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(minutes_have_rows, runs_clear),
        cmocka_unit_test_setup(rows_add_up, runs_clear),
        cmocka_unit_test_setup(a_total_is_for_ever, runs_clear),
        cmocka_unit_test_setup(people_see_what_happened, runs_clear),
        cmocka_unit_test_setup_teardown(workers_count_what_they_run, runs_clear,
                                        runs_over),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
