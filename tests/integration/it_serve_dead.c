/*
 * Claims about dead jobs over HTTP: pages miss none while some go, and what is
 * requeued or deleted is what was meant, a bounded number a call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/serve_admin.h"

#define DEAD "/v1/queues/q/dead"

enum { MANY = 2000, SAME_MS = 7 };

static struct redis *redis(void)
{
    return web.r;
}

/* j1 died first; SAME_MS of them in each millisecond; every third one is a
 * sum. pad: before the id, so that many begin the same. */
static void fill(int n, const char *pad)
{
    redis_do(redis(), "EVAL %s 0 %d %d %s",
             "for i = 1, tonumber(ARGV[1]) do "
             "local at = 1700000000000 + math.floor(i / ARGV[2]) "
             "redis.call('ZADD', 'belt:{q}:dead', at, string.format("
             "'{%s\"id\":\"j%d\",\"type\":\"%s\",\"payload\":%d,\"attempt\":3,"
             "\"error\":{\"class\":\"exit\",\"message\":\"code %d of %d\","
             "\"at\":%d}}', ARGV[3], i, i % 3 == 0 and 'sum' or 'mail', i, "
             "i % 2, i, at)) end",
             n, SAME_MS, pad);
}

static int dead(void)
{
    return (int)redis_int(redis(), "ZCARD belt:{q}:dead");
}

static int ready(void)
{
    return (int)redis_int(redis(), "LLEN belt:{q}");
}

/* The path of the page that Link names. */
static bool next_page(const char *path, char *out, size_t size)
{
    const char *link = last_header("Link"), *end = strchr(link, '>');

    if (*link == '\0')
        return false;
    snprintf(out, size, "%s%.*s", path, (int)(end - link - 1), link + 1);
    return true;
}

/* ---- pages ---- */

/*
 * Walks through all pages; between them the job at every third place of the
 * page goes, and new ones die. Each that is there all the time comes once, or
 * at least once where twice_is_right.
 */
static void walk(int n, bool twice_is_right)
{
    unsigned char *seen = calloc((size_t)n + 1, 1);
    char path[2048] = DEAD "?limit=60", id[32];
    bool more = true;

    for (int pages = 0; more; pages++) {
        char gone[64][4096];
        int gone_count = 0;
        const json_t *v = ask("GET", path, NULL, 200), *row;
        size_t i;
        json_array_foreach(AT(v, "jobs"), i, row)
        {
            int k = atoi(json_string_value(AT(row, "id")) + 1);
            assert_in_range(k, 1, n);
            if (seen[k]++ > 0 && !twice_is_right)
                fail_msg("j%d came twice", k);
            snprintf(id, sizeof(id), "j%d", k);
            TEXT(row, id, "job", "id");
            INT(row, 1700000000000 + k / SAME_MS, "at");
            if (i % 3 == 0 || i == 59) { /* the last one, too */
                char *text = json_dumps(AT(row, "job"), JSON_COMPACT);
                snprintf(gone[gone_count++], sizeof(gone[0]), "%s", text);
                free(text);
            }
        }
        more = next_page(DEAD, path, sizeof(path));
        for (int g = 0; g < gone_count; g++)
            assert_int_equal(
                redis_int(redis(), "ZREM belt:{q}:dead %s", gone[g]), 1);
        redis_do(redis(), "ZADD belt:{q}:dead 1800000000000 new%d", pages);
        assert_true(pages < 100);
    }
    for (int k = 1; k <= n; k++) {
        if (seen[k] == 0)
            fail_msg("j%d did not come", k);
    }
    free(seen);
}

static void pages_have_each_once_though_jobs_go(void **state)
{
    (void)state;
    fill(MANY, "");
    walk(MANY, false);
}

static void pages_miss_none_of_those_that_begin_the_same(void **state)
{
    (void)state;
    fill(500, "\"meta\":{\"of\":\"the same sender as always, every time\"},");
    walk(500, true);
}

static void a_page_that_nobody_touches_goes_on_exactly(void **state)
{
    char path[2048] = DEAD "?limit=7";
    int count = 0;

    (void)state;
    fill(500, "\"meta\":{\"of\":\"the same sender as always, every time\"},");
    for (bool more = true; more;) {
        const json_t *v = ask("GET", path, NULL, 200), *row;
        size_t i;
        json_array_foreach(AT(v, "jobs"), i, row) count++;
        more = next_page(DEAD, path, sizeof(path));
    }
    assert_int_equal(count, 500);
}

static void filters_hold_and_go_on(void **state)
{
    char path[2048] = DEAD "?type=s*&error=exit%3A%20code%201*&limit=100";
    int count = 0;

    (void)state;
    fill(MANY, "");
    for (bool more = true; more;) {
        const json_t *v = ask("GET", path, NULL, 200), *row;
        size_t i;
        json_array_foreach(AT(v, "jobs"), i, row)
        {
            TEXT(row, "sum", "type");
            count++;
        }
        more = next_page(DEAD, path, sizeof(path));
        if (more)
            assert_non_null(strstr(path, "error=exit%3A%20code%201%2A"));
    }
    assert_int_equal(count, 333); /* odd multiples of three up to 2000 */
    const json_t *v =
        ask("GET", DEAD "?until=2023-11-14T22:13:20.001Z", NULL, 200);
    assert_int_equal(json_array_size(AT(v, "jobs")), 2 * SAME_MS - 1);
    TEXT(v, NULL, "cursor");
}

/* What may be large is cut into pages by bytes, too. */
static void a_page_is_bounded_by_its_bytes(void **state)
{
    (void)state;
    redis_do(redis(), "EVAL %s 0",
             "for i = 1, 30 do redis.call('ZADD', 'belt:{q}:dead', i, "
             "'{\"id\":\"j' .. i .. '\",\"type\":\"x\",\"payload\":\"' .. "
             "string.rep('a', 1000000) .. '\"}') end");
    const json_t *v = ask("GET", DEAD "?limit=30", NULL, 200);
    size_t n = json_array_size(AT(v, "jobs"));
    assert_in_range(n, 8, 10);
    assert_true(json_is_string(AT(v, "cursor")));
    v = ask("GET", DEAD "?type=y", NULL, 200); /* of which there is none */
    assert_int_equal(json_array_size(AT(v, "jobs")), 0);
    TEXT(v, NULL, "cursor");
    redis_do(redis(), "EVAL %s 0",
             "for i = 1, 9 do redis.call('ZADD', 'belt:{q}:dead', i, "
             "'{\"id\":\"k' .. i .. '\",\"type\":\"x\",\"payload\":\"' .. "
             "string.rep('a', 1000000) .. '\"}') end");
    v = ask("GET", DEAD "?type=y", NULL, 200);
    assert_in_range(json_integer_value(AT(v, "scanned")), 33, 38);
    assert_true(json_is_string(AT(v, "cursor")));
    redis_do(redis(), "UNLINK belt:{q}:dead");
}

static void a_page_shows_no_more_than_an_id_in_its_address(void **state)
{
    (void)state;
    redis_do(redis(), "ZADD belt:{q}:dead 1 %s 2 %s",
             "{\"id\":\"01M8BDPCCV1TEYRKXJC7M8NB6V\",\"type\":\"x\","
             "\"payload\":\"secret\"}",
             "{\"id\":\"01M8BDPCCV1TEYRKXJC7M8NB6W\",\"type\":\"x\","
             "\"payload\":\"secret\"}");
    (void)ask("GET", DEAD "?limit=1", NULL, 200);
    assert_true(strlen(last_header("Link")) > 40);
    assert_null(strstr(last_header("Link"), "c2VjcmV0"));
    assert_null(strstr(last_header("Link"), "NlY3JldC"));
    assert_null(strstr(last_header("Link"), "zZWNyZXQ"));
}

static void what_is_asked_wrongly_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "?limit=0",    "?limit=1001", "?cursor=%7e%7e", "?cursor=YQ",
        "?since=soon", "?until=x",    "?color=red",     "?type=a&type=b"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), DEAD "%s", wrong[i]);
        expect_problem(ask("GET", path, NULL, 400), "invalid-query", NULL);
    }
}

static void what_is_no_envelope_is_shown_as_such(void **state)
{
    (void)state;
    redis_do(redis(), "ZADD belt:{q}:dead 5 %s", "no \x1b[31mjob");
    const json_t *v = ask("GET", DEAD, NULL, 200);
    TEXT(v, NULL, "jobs", "0", "job");
    TEXT(v, "no \x1b[31mjob", "jobs", "0", "raw");
    INT(v, 5, "jobs", "0", "at");
}

/* ---- the summary ---- */

static void kinds_of_dead_jobs_are_counted(void **state)
{
    (void)state;
    fill(MANY, "");
    const json_t *v = ask("GET", DEAD "/summary", NULL, 200);
    assert_int_equal(json_array_size(AT(v, "groups")), 2);
    INT(v, 1334, "groups", "0", "count");
    TEXT(v, "mail", "groups", "0", "type");
    TEXT(v, "exit: code # of #", "groups", "0", "error");
    INT(v, 1700000000000, "groups", "0", "first_at");
    INT(v, 1700000000000 + MANY / SAME_MS, "groups", "0", "last_at");
    TEXT(v, "q/j2000", "groups", "0", "example");
    INT(v, 666, "groups", "1", "count");
    INT(v, MANY, "scanned");
    assert_true(json_is_true(AT(v, "complete")));
    v = ask("GET", DEAD "/summary?type=sum", NULL, 200);
    assert_int_equal(json_array_size(AT(v, "groups")), 1);
}

/* ---- requeue and delete ---- */

static void counts(const json_t *v, int done, int left, int missing)
{
    INT(v, done, "done");
    INT(v, left, "left");
    INT(v, missing, "missing");
}

static void which_jobs_has_to_be_said(void **state)
{
    static const struct {
        const char *body, *pointer;
    } wrong[] = {
        {"{}", ""},
        {"", ""},
        {"{\"all\":false}", ""},
        {"{\"ids\":[]}", "/ids"},
        {"{\"ids\":[\"a\"],\"all\":true}", "/ids"},
        {"{\"ids\":[\"a\"],\"type\":\"x\"}", "/ids"},
        {"{\"ids\":[\"a\",\"b c\"]}", "/ids/1"},
        {"{\"ids\":\"a\"}", "/ids"},
        {"{\"all\":1}", "/all"},
        {"{\"all\":true,\"limit\":10001}", "/limit"},
        {"{\"since\":\"soon\"}", "/since"},
        {"{\"all\":true,\"cursor\":\"x\"}", "/cursor"},
        {"{\"all\":true,\"typ\":\"x\"}", "/typ"},
        {"{\"all\":true,\"all\":true}", "/all"},
    };

    (void)state;
    fill(10, "");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        expect_problem(ask("POST", DEAD "/requeue", wrong[i].body, 422),
                       "invalid-body", wrong[i].pointer);
        expect_problem(ask("POST", DEAD "/delete", wrong[i].body, 422),
                       "invalid-body", wrong[i].pointer);
    }
    expect_problem(
        ask("POST", DEAD "/delete", "{\"all\":true,\"raw\":true}", 422),
        "invalid-body", "/raw");
    expect_problem(ask("POST", DEAD "/delete", "{\"all\":tru}", 400),
                   "invalid-json", NULL);
    expect_problem(ask("POST", DEAD "/requeue?all=1", "{}", 400),
                   "invalid-query", NULL);
    assert_int_equal(dead(), 10);
}

static void ids_are_requeued_and_deleted(void **state)
{
    char job[512];

    (void)state;
    fill(10, "");
    counts(ask("POST", DEAD "/requeue",
               "{\"ids\":[\"j3\",\"j9\",\"j3\",\"j77\"]}", 200),
           2, 0, 1);
    assert_int_equal(dead(), 8);
    assert_string_equal(
        redis_str(redis(), job, sizeof(job), "LINDEX belt:{q} 0"),
        "{\"id\":\"j3\",\"type\":\"sum\",\"payload\":3}");
    counts(ask("POST", DEAD "/delete", "{\"ids\":[\"j1\",\"j10\"]}", 200), 2, 0,
           0);
    assert_int_equal(dead(), 6);
    assert_int_equal(ready(), 2);
}

static void a_filter_says_which_and_a_dry_run_changes_nothing(void **state)
{
    (void)state;
    fill(90, "");
    const json_t *v = ask("POST", DEAD "/requeue",
                          "{\"type\":\"sum\",\"dry_run\":true}", 200);
    counts(v, 30, 0, 0);
    assert_true(json_is_true(AT(v, "dry_run")));
    assert_int_equal(dead(), 90);
    counts(ask("POST", DEAD "/requeue", "{\"type\":\"sum\"}", 200), 30, 0, 0);
    assert_int_equal(ready(), 30);
    counts(ask("POST", DEAD "/delete", "{\"error\":\"exit: code 1*\"}", 200),
           30, 0, 0);
    assert_int_equal(dead(), 30);
}

/*
 * One call after the other; what was requeued dies again between them, and is
 * left: it is dead since the first call.
 */
static void a_call_is_bounded_and_the_next_goes_on(void **state)
{
    char body[2048] = "{\"all\":true,\"limit\":300}";
    int done = 0, calls = 0;

    (void)state;
    fill(MANY, "");
    for (bool more = true; more; calls++) {
        const json_t *v = ask("POST", DEAD "/requeue", body, 200);
        INT(v, calls < 6 ? 300 : 200, "done");
        done += (int)json_integer_value(AT(v, "done"));
        more = json_is_true(AT(v, "more"));
        if (more)
            snprintf(body, sizeof(body),
                     "{\"all\":true,\"limit\":300,\"cursor\":\"%s\"}",
                     json_string_value(AT(v, "cursor")));
        else
            TEXT(v, NULL, "cursor");
        redis_do(redis(), "EVAL %s 0",
                 "for i = 1, 50 do redis.call('ZADD', 'belt:{q}:dead', "
                 "1800000000000, redis.call('LINDEX', 'belt:{q}', -i)) end");
    }
    assert_int_equal(done, MANY);
    assert_int_equal(ready(), MANY);
    assert_in_range(dead(), 50, 50 * calls);
}

/* A job whose unique key is held stays, and why is said. */
static void what_cannot_be_requeued_is_left(void **state)
{
    (void)state;
    redis_do(redis(), "ZADD belt:{q}:dead 1 %s 2 %s",
             "{\"id\":\"a\",\"type\":\"x\",\"unique\":{\"key\":\"k\"}}",
             "no envelope");
    redis_do(redis(), "SET belt:{q}:unique:k other");
    const json_t *v = ask("POST", DEAD "/requeue", "{\"all\":true}", 200);
    counts(v, 0, 2, 0);
    assert_false(json_is_true(AT(v, "more")));
    assert_int_equal(json_array_size(AT(v, "problems")), 2);
    TEXT(v, "no envelope: byte 0: expected an object", "problems", "0", "why");
    TEXT(v, "a", "problems", "1", "id");
    TEXT(v, "other holds its unique key", "problems", "1", "why");
    assert_int_equal(dead(), 2);
    counts(ask("POST", DEAD "/delete", "{\"all\":true}", 200), 2, 0, 0);
    assert_int_equal(dead(), 0);
}

static void what_redis_refuses_is_told(void **state)
{
    (void)state;
    redis_do(redis(), "SET belt:{q}:dead x");
    const json_t *v = ask("GET", DEAD, NULL, 500);
    assert_non_null(strstr(json_string_value(AT(v, "detail")), "WRONGTYPE"));
    v = ask("POST", DEAD "/delete", "{\"all\":true}", 500);
    assert_non_null(strstr(json_string_value(AT(v, "detail")), "WRONGTYPE"));
}

#define CLAIM(name) cmocka_unit_test_setup(name, admin_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(pages_have_each_once_though_jobs_go),
        CLAIM(pages_miss_none_of_those_that_begin_the_same),
        CLAIM(a_page_that_nobody_touches_goes_on_exactly),
        CLAIM(filters_hold_and_go_on),
        CLAIM(a_page_is_bounded_by_its_bytes),
        CLAIM(a_page_shows_no_more_than_an_id_in_its_address),
        CLAIM(what_is_asked_wrongly_is_refused),
        CLAIM(what_is_no_envelope_is_shown_as_such),
        CLAIM(kinds_of_dead_jobs_are_counted),
        CLAIM(which_jobs_has_to_be_said),
        CLAIM(ids_are_requeued_and_deleted),
        CLAIM(a_filter_says_which_and_a_dry_run_changes_nothing),
        CLAIM(a_call_is_bounded_and_the_next_goes_on),
        CLAIM(what_cannot_be_requeued_is_left),
        CLAIM(what_redis_refuses_is_told),
    };

    return cmocka_run_group_tests(tests, admin_begin, admin_end);
}
