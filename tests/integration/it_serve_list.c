/*
 * Claims about listings of jobs over HTTP: their pages lose nothing of what
 * stays in a set, whatever goes meanwhile, and end in time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

#define FAR_FUTURE "9999999999999"
#define JOBS "/v1/queues/q/jobs"

enum { SEEN_MAX = 1000, ID_MAX = 32 };

static struct web *web; /* one for the program, emptied for each test */

static int start(void **state)
{
    void *made;

    (void)web_setup(&made);
    *state = web = made;
    web_begin(web, NULL);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    redis_do(web->r, "FLUSHALL");
    return 0;
}

/* ---- pages ---- */

struct page {
    json_t *all; /* owned: the answer */
    json_t *jobs;
    char *next; /* owned: what Link says, as a path; NULL: the end */
};

static void page_done(struct page *p)
{
    json_decref(p->all);
    free(p->next);
}

/* The way to the next page, as a client resolves it. */
static char *next_of(const struct web_reply *a)
{
    const char *link = web_header(a, "Link");
    const char *end = strstr(link, ">; rel=\"next\"");

    if (link[0] == '\0')
        return NULL;
    assert_true(link[0] == '<' && link[1] == '?' && end != NULL);
    return mem_printf(JOBS "%.*s", (int)(end - link - 1), link + 1);
}

static void get(const char *path, struct page *ret)
{
    struct web_reply a;

    web_ask(web, "GET", path, NULL, NULL, &a);
    if (a.status != 200)
        fail_msg("%s: %d %s", path, a.status, a.body);
    ret->all = json_loads(a.body, 0, NULL);
    if (!ret->all)
        fail_msg("%s: no JSON: %s", path, a.body);
    ret->jobs = json_object_get(ret->all, "jobs");
    ret->next = next_of(&a);
    assert_true(json_is_array(ret->jobs));
    const json_t *cursor = json_object_get(ret->all, "cursor");
    assert_true(ret->next ? json_is_string(cursor) : json_is_null(cursor));
    web_reply_done(&a);
}

static const char *id_at(const struct page *p, size_t i)
{
    const char *id =
        json_string_value(json_object_get(json_array_get(p->jobs, i), "id"));

    return id ? id : "?";
}

/* What all pages from path on had, in order. */
struct seen {
    char ids[SEEN_MAX][ID_MAX];
    size_t count, pages;
};

static void note(struct seen *s, const struct page *p)
{
    s->pages++;
    for (size_t i = 0; i < json_array_size(p->jobs); i++) {
        assert_true(s->count < SEEN_MAX);
        snprintf(s->ids[s->count++], ID_MAX, "%s", id_at(p, i));
    }
}

/* between is called behind each page but the last, with its ids. */
static void get_all(const char *path, struct seen *ret,
                    void (*between)(const struct page *p))
{
    char *next = mem_strdup(path);

    *ret = (struct seen){0};
    while (next) {
        struct page p;
        get(next, &p);
        note(ret, &p);
        if (p.next && between)
            between(&p);
        free(next);
        next = p.next ? mem_strdup(p.next) : NULL;
        page_done(&p);
    }
}

static size_t times_seen(const struct seen *s, const char *id)
{
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        n += strcmp(s->ids[i], id) == 0;
    return n;
}

/* n jobs "id000" and on, all with this score in the set. */
static void fill(const char *set, const char *score, int n)
{
    for (int i = 0; i < n; i++)
        redis_do(web->r,
                 "ZADD belt:{q}:%s %s "
                 "{\"id\":\"id%03d\",\"type\":\"t%d\",\"payload\":[1.50]}",
                 set, score, i, i % 2);
}

static void expect_each_once(const struct seen *s, int n)
{
    char id[ID_MAX];

    assert_int_equal(s->count, n);
    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "id%03d", i);
        if (times_seen(s, id) != 1)
            fail_msg("%s: %zu times", id, times_seen(s, id));
    }
}

/* ---- claims ---- */

static void a_row_is_as_belt_jobs_shows_it(void **state)
{
    static const char row[] =
        "{\"queue\":\"q\",\"jobs\":[\n{\"id\":\"a\",\"type\":\"t\",\"attempt\":"
        "2,"
        "\"created_at\":7,\"at\":5,\"bytes\":97,\"lane\":null,"
        "\"error\":\"exit: no\",\"job\":{\"id\":\"a\",\"type\":\"t\","
        "\"created_at\":7,\"attempt\":2,\"error\":{\"class\":\"exit\","
        "\"message\":\"no\"},\"n\":1.50},\"raw\":null}\n],\"scanned\":1,"
        "\"cursor\":null}\n";
    struct web_reply a;

    (void)state;
    redis_do(web->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"a\",\"type\":\"t\",\"created_at\":7,\"attempt\":2,"
             "\"error\":{\"class\":\"exit\",\"message\":\"no\"},\"n\":1.50}");
    web_ask(web, "GET", JOBS "?state=dead", NULL, NULL, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, row);
    web_reply_done(&a);
}

static void each_state_is_listed(void **state)
{
    static const char *const states[] = {"ready", "active", "scheduled",
                                         "retry", "dead"};

    (void)state;
    redis_do(web->r, "RPUSH belt:{q} %s", "{\"id\":\"ready\",\"type\":\"t\"}");
    redis_do(web->r, "ZADD belt:{q}:leases " FAR_FUTURE " w.1");
    redis_do(web->r, "RPUSH belt:{q}:active:w.1 %s",
             "{\"id\":\"active\",\"type\":\"t\"}");
    for (int i = 2; i < 5; i++)
        redis_do(web->r, "ZADD belt:{q}:%s 5 {\"id\":\"%s\",\"type\":\"t\"}",
                 states[i], states[i]);
    for (int i = 0; i < 5; i++) {
        char *path = mem_printf(JOBS "?state=%s", states[i]);
        struct page p;
        get(path, &p);
        assert_int_equal(json_array_size(p.jobs), 1);
        assert_string_equal(id_at(&p, 0), states[i]);
        assert_null(p.next);
        page_done(&p);
        free(path);
    }
    web_expect(web, "GET", JOBS, NULL, NULL, 200, "\"id\":\"ready\"");
    web_expect(web, "GET", JOBS "?state=active", NULL, NULL, 200,
               "\"lane\":\"w.1\"");
    web_expect(
        web, "GET", "/v1/queues/other/jobs", NULL, NULL, 200,
        "{\"queue\":\"other\",\"jobs\":[],\"scanned\":0,\"cursor\":null}");
}

/* All of one instant, so that only members tell them apart. */
static void pages_of_a_set_have_each_job_once(void **state)
{
    static const char *const sets[] = {"scheduled", "retry", "dead"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        char *path = mem_printf(JOBS "?state=%s&limit=33", sets[i]);
        struct seen s;
        fill(sets[i], "1785000000000", 250);
        get_all(path, &s, NULL);
        expect_each_once(&s, 250);
        assert_true(s.pages == 8); /* 7 of 33, and the rest */
        free(path);
    }
}

/* Jobs of the page are taken out, the last one too, which the place is by. */
static void take_out(const struct page *p)
{
    for (size_t i = 0; i < json_array_size(p->jobs); i++) {
        char *member = json_dumps(
            json_object_get(json_array_get(p->jobs, i), "job"), JSON_COMPACT);
        redisReply *r = redis_cmd(web->r, "ZREM belt:{q}:dead %s", member);
        assert_int_equal(r->integer, 1);
        freeReplyObject(r);
        free(member);
    }
}

static void nothing_is_passed_over_when_jobs_go(void **state)
{
    struct seen s;
    char id[ID_MAX];

    (void)state;
    for (int i = 0; i < 120; i++) {
        snprintf(id, sizeof(id), "id%03d", i);
        redis_do(web->r, "ZADD belt:{q}:dead %d {\"id\":\"%s\",\"type\":\"t\"}",
                 1000 + i / 50, id);
    }
    get_all(JOBS "?state=dead&limit=10", &s, take_out);
    expect_each_once(&s, 120);
    assert_string_equal(s.ids[0], "id119"); /* the newest first */
    assert_true(redis_int(web->r, "ZCARD belt:{q}:dead") < 20);
}

static void add_more(const struct page *p)
{
    static int n;

    (void)p;
    redis_do(web->r, "ZADD belt:{q}:retry 1 {\"id\":\"new%d\",\"type\":\"t\"}",
             n++);
}

static void nothing_comes_twice_when_jobs_come(void **state)
{
    struct seen s;

    (void)state;
    fill("retry", "1785000000000", 60);
    get_all(JOBS "?state=retry&limit=7", &s, add_more);
    expect_each_once(&s, 60);
}

/* Longer than what a cursor keeps of a member. */
static void long_members_have_places_too(void **state)
{
    struct buf pad = {0};
    struct seen s;

    (void)state;
    for (int i = 0; i < 3000; i++)
        buf_char(&pad, 'x');
    for (int i = 0; i < 20; i++)
        redis_do(web->r,
                 "ZADD belt:{q}:retry 5 "
                 "{\"id\":\"id%03d\",\"type\":\"t\",\"payload\":\"%s\"}",
                 i, pad.data);
    get_all(JOBS "?state=retry&limit=3", &s, NULL);
    expect_each_once(&s, 20);
    buf_done(&pad);
}

static void a_type_may_be_a_pattern(void **state)
{
    struct seen s;
    struct page p;

    (void)state;
    fill("dead", "5", 50);
    get_all(JOBS "?state=dead&limit=4&type=t%2A", &s, NULL);
    expect_each_once(&s, 50);
    get_all(JOBS "?state=dead&limit=4&type=%5Bt%5D1", &s, NULL);
    assert_int_equal(s.count, 25);
    get(JOBS "?state=dead&type=none", &p);
    assert_int_equal(json_array_size(p.jobs), 0);
    assert_int_equal(json_integer_value(json_object_get(p.all, "scanned")), 50);
    page_done(&p);
}

static void what_is_no_envelope_is_shown_as_one(void **state)
{
    struct page p;

    (void)state;
    redis_do(web->r, "RPUSH belt:{q} %b", "no\xff", (size_t)3);
    get(JOBS, &p);
    const json_t *row = json_array_get(p.jobs, 0);
    assert_true(json_is_null(json_object_get(row, "id")));
    assert_string_equal(json_string_value(json_object_get(row, "raw")),
                        "no\xef\xbf\xbd");
    assert_true(json_is_string(json_object_get(row, "error")));
    page_done(&p);
}

/* ---- lists ---- */

static void ready_is_paged_from_the_head(void **state)
{
    struct seen s;

    (void)state;
    for (int i = 0; i < 130; i++)
        redis_do(web->r, "RPUSH belt:{q} {\"id\":\"id%03d\",\"type\":\"t\"}",
                 i);
    get_all(JOBS "?limit=20", &s, NULL);
    expect_each_once(&s, 130);
    assert_string_equal(s.ids[0], "id000");
    assert_string_equal(s.ids[129], "id129");
    assert_true(s.pages == 7);
}

static void active_is_paged_lane_by_lane(void **state)
{
    struct seen s;

    (void)state;
    for (int i = 0; i < 30; i++) {
        redis_do(web->r, "ZADD belt:{q}:leases %d w.%d", 9000 - i % 3, i % 3);
        redis_do(
            web->r,
            "RPUSH belt:{q}:active:w.%d {\"id\":\"id%03d\",\"type\":\"t\"}",
            i % 3, i);
    }
    get_all(JOBS "?state=active&limit=4", &s, NULL);
    expect_each_once(&s, 30);
    assert_string_equal(s.ids[0], "id000");
    assert_string_equal(s.ids[10], "id001");
}

/* ---- bounds ---- */

/* A few MiB each: neither the answer nor what is read of Redis has them all. */
static void a_page_ends_when_it_is_big(void **state)
{
    enum { EACH = 3 << 20, COUNT = 4 };
    struct buf job = {0};
    struct seen s;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        buf_clear(&job);
        buf_printf(&job, "{\"id\":\"id%03d\",\"type\":\"t\",\"payload\":\"", i);
        while (job.len < EACH)
            buf_str(&job, "0123456789abcdef0123456789abcdef");
        buf_str(&job, "\"}");
        redis_do(web->r, "RPUSH belt:{q} %b", job.data, job.len);
        redis_do(web->r, "ZADD belt:{q}:dead 5 %b", job.data, job.len);
    }
    get_all(JOBS, &s, NULL);
    expect_each_once(&s, COUNT);
    assert_true(s.pages == 2);
    get_all(JOBS "?state=dead", &s, NULL);
    expect_each_once(&s, COUNT);
    assert_true(s.pages == 2);
    buf_done(&job);
}

static void a_page_ends_when_much_was_looked_at(void **state)
{
    struct page p;
    struct seen s;

    (void)state;
    redis_do(web->r, "EVAL %s 0",
             "for i = 1, 10500 do redis.call('RPUSH', 'belt:{q}', "
             "'{\"id\":\"a' .. i .. '\",\"type\":\"t\"}') end "
             "redis.call('RPUSH', 'belt:{q}', "
             "'{\"id\":\"id000\",\"type\":\"rare\"}')");
    get(JOBS "?type=rare", &p);
    assert_int_equal(json_array_size(p.jobs), 0);
    assert_int_equal(json_integer_value(json_object_get(p.all, "scanned")),
                     10000);
    assert_non_null(p.next); /* there is more, though nothing was found yet */
    page_done(&p);
    get_all(JOBS "?type=rare", &s, NULL);
    expect_each_once(&s, 1);
    assert_true(s.pages == 2);
}

static void a_query_that_is_wrong_is_told(void **state)
{
    static const struct {
        const char *query, *text;
    } rows[] = {
        {"?state=done", "done: not ready, active"},
        {"?limit=0", "limit"},
        {"?limit=1001", "limit"},
        {"?limit=x", "limit"},
        {"?colour=red", "colour"},
        {"?cursor=", "cursor"},
        {"?cursor=!!", "cursor"},
        {"?cursor=cmVhZHkgeA", "cursor"},          /* ready x */
        {"?cursor=cmVhZHkgLTEg", "cursor"},        /* ready -1 */
        {"?cursor=ZGVhZCA1ICogMSBkIHg", "cursor"}, /* of dead */
        {"?state=dead&cursor=ZGVhZCA1", "cursor"}, /* dead 5 */
        {"?state=dead&cursor=ZGVhZCBuYW4_ICogMSBkIHg",
         "cursor"}, /* not a score */
        {"?state=dead&cursor=ZGVhZCA1ICogKDEgZCB4",
         "cursor"}, /* not a number */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *path = mem_printf(JOBS "%s", rows[i].query);
        web_expect(web, "GET", path, NULL, NULL, 400, "invalid-query");
        web_expect(web, "GET", path, NULL, NULL, 400, rows[i].text);
        free(path);
    }
    /* A place need not be there any more */
    web_expect(web, "GET", JOBS "?state=dead&cursor=ZGVhZCA1ICogMSBkIHg", NULL,
               NULL, 200, "\"jobs\":[]");
}

#define CLAIM(test) cmocka_unit_test_setup(test, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_row_is_as_belt_jobs_shows_it),
        CLAIM(each_state_is_listed),
        CLAIM(pages_of_a_set_have_each_job_once),
        CLAIM(nothing_is_passed_over_when_jobs_go),
        CLAIM(nothing_comes_twice_when_jobs_come),
        CLAIM(long_members_have_places_too),
        CLAIM(a_type_may_be_a_pattern),
        CLAIM(what_is_no_envelope_is_shown_as_one),
        CLAIM(ready_is_paged_from_the_head),
        CLAIM(active_is_paged_lane_by_lane),
        CLAIM(a_page_ends_when_it_is_big),
        CLAIM(a_page_ends_when_much_was_looked_at),
        CLAIM(a_query_that_is_wrong_is_told),
    };

    return cmocka_run_group_tests(tests, start, web_teardown);
}
