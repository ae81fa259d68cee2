/*
 * Cron entries: what is read, what is made, and which ticks follow from an
 * entry that was due.
 */
#include "common/job/cron_entry.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

#define T0 1767225600000LL /* 2026-01-01 00:00:00 */
#define MIN 60000LL
#define HOUR (60 * MIN)

static struct cron_entry *parse(const char *json)
{
    struct cron_entry *e = NULL;
    struct errbuf eb = {""};

    if (cron_entry_parse("n", json, strlen(json), &e, &eb) != 0)
        fail_msg("%s: %s", json, eb.text);
    return e;
}

static void an_entry_is_read(void **state)
{
    (void)state;
    struct cron_entry *e =
        parse("{\"spec\":\"0 2 * * *\",\"tz\":\"Europe/Berlin\",\"type\":\"t\","
              "\"payload\":{\"a\": 1},\"jitter\":5,\"overlap\":\"skip\","
              "\"catch_up\":\"all\",\"catch_up_limit\":7,\"paused\":true,"
              "\"times\":3,\"max_attempts\":4,\"timeout\":6,"
              "\"backoff\":\"exponential\",\"keep\":8,\"expires\":9,"
              "\"source\":\"cli\",\"updated_at\":10,\"mine\":[1]}");
    assert_string_equal(e->zone, "Europe/Berlin");
    assert_int_equal(e->payload.len, 8);
    assert_int_equal(e->overlap, CRON_SKIP);
    assert_int_equal(e->catch_up, CRON_ALL);
    assert_int_equal(e->catch_up_limit_ms, 7);
    assert_int_equal(e->times, 3);
    assert_true(e->paused);
    cron_entry_free(e);
    e = parse("{\"type\":\"t\",\"spec\":\"@daily\",\"times\":null}");
    assert_string_equal(e->zone, "UTC");
    assert_int_equal(e->catch_up, CRON_LAST);
    assert_int_equal(e->catch_up_limit_ms, HOUR);
    assert_int_equal(e->times, -1);
    cron_entry_free(e);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"{\"type\":\"t\"}", "spec: missing"},
        {"{\"spec\":\"@daily\"}", "type: missing"},
        {"{\"spec\":\"@dayly\",\"type\":\"t\"}", "@dayly"},
        {"{\"spec\":5,\"type\":\"t\"}", "spec: 5: not understood"},
        {"{\"spec\":\"@daily\",\"type\":\"\\u0007\"}", "type"},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"times\":0}", "times: 0"},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"overlap\":\"x\"}", "overlap: "},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"paused\":1}", "paused: 1"},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"jitter\":-1}", "jitter: -1"},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"backoff\":\"x\"}", "backoff"},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"type\":\"u\"}", "type: twice"},
        {"{\"spec\":\"@daily\",\"type\":\"t\",\"jitter\":9,\"expires\":9}",
         "expires: 9: not more than the jitter"},
        {"{\"spec\":\"@daily\",\"type\":\"t\"", ""},
        {"[]", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cron_entry *e;
        struct errbuf eb = {""};
        int rc =
            cron_entry_parse("n", rows[i].json, strlen(rows[i].json), &e, &eb);
        if (rc != ERR_INVALID || strstr(eb.text, rows[i].text) == NULL)
            fail_msg("%s: %d %s", rows[i].json, rc, eb.text);
    }
}

static void a_name_leaves_room_for_ids(void **state)
{
    char id[ID_MAX_LEN + 1], name[CRON_NAME_MAX_LEN + 2] = "";
    struct cron_entry *e = parse("{\"type\":\"t\",\"spec\":\"@daily\"}");

    (void)state;
    memset(name, 'n', CRON_NAME_MAX_LEN + 1);
    assert_false(cron_is_name(name, CRON_NAME_MAX_LEN + 1));
    assert_true(cron_is_name(name, CRON_NAME_MAX_LEN));
    assert_false(cron_is_name(".x", 2));
    assert_false(cron_is_name("a:b", 3));
    assert_false(cron_is_name("", 0));
    memcpy(e->name, name, CRON_NAME_MAX_LEN);
    cron_job_id(e, 9999999999999, id);
    assert_true(text_is_id(id, strlen(id)));
    assert_non_null(strstr(id, ":9999999999999"));
    cron_run_id(e, id);
    assert_int_equal(strlen(id), ID_MAX_LEN);
    assert_true(text_is_id(id, strlen(id)));
    cron_entry_free(e);
}

static void a_wish_becomes_an_entry(void **state)
{
    struct cron_wish w = {.spec = "30 2 * * *",
                          .zone = "Europe/Berlin",
                          .type = "report",
                          .payload = {"[1, 2]", 6},
                          .overlap = "skip",
                          .catch_up_limit_ms = -1,
                          .times = 5,
                          .keep_ms = 7,
                          .backoff = "[1,2]",
                          .source = "cli",
                          .updated_at_ms = 9};
    struct cron_entry *e, *again;
    struct errbuf eb = {""};
    struct buf b = {0};
    (void)state;
    assert_int_equal(cron_entry_make("n", &w, &e, &eb), 0);
    assert_string_equal(
        e->raw,
        "{\"spec\":\"30 2 * * *\",\"tz\":\"Europe/Berlin\",\"type\":"
        "\"report\",\"payload\":[1, 2],\"overlap\":\"skip\",\"times\":5,"
        "\"backoff\":[1,2],\"keep\":7,\"source\":\"cli\","
        "\"updated_at\":9}");
    struct job_change change[] = {{"times", "4"}, {"paused", "true"}};
    cron_entry_rewrite(e, change, 2, &b);
    again = parse(b.data);
    assert_int_equal(again->times, 4);
    assert_true(again->paused);
    assert_true(cron_entry_same(e, again));
    w.zone = "Europe/Berln";
    cron_entry_free(again);
    assert_int_equal(cron_entry_make("n", &w, &again, &eb), ERR_MISSING);
    assert_non_null(strstr(eb.text, "Europe/Berlin"));
    w.zone = "UTC";
    assert_int_equal(cron_entry_make("n", &w, &again, &eb), 0);
    assert_false(cron_entry_same_ticks(e, again));
    assert_false(cron_entry_same(e, again));
    cron_entry_free(again);
    cron_entry_free(e);
    buf_done(&b);
}

static void a_job_has_what_the_entry_says(void **state)
{
    struct buf b = {0};
    (void)state;
    struct cron_entry *e =
        parse("{\"spec\":\"@daily\",\"type\":\"t\",\"payload\":{\"a\": 1},"
              "\"overlap\":\"skip\",\"max_attempts\":4,\"timeout\":6,"
              "\"backoff\":[5],\"keep\":8,\"expires\":9}");
    cron_job(e, "cron:n:100", 100, 103, &b);
    assert_string_equal(
        b.data,
        "{\"id\":\"cron:n:100\",\"type\":\"t\",\"payload\":{\"a\": 1},"
        "\"created_at\":103,\"max_attempts\":4,\"timeout\":6,\"backoff\":[5],"
        "\"keep\":8,\"expires_at\":109,\"unique\":\"cron:n\","
        "\"meta\":{\"cron\":\"n\",\"due\":100}}");
    buf_done(&b);
    cron_entry_free(e);
}

/* ---- plans ---- */

#define PLAIN "\"type\":\"t\",\"spec\":\"* * * * *\""

/* The minutes behind T0 of the ticks, and "> " the next one. */
static const char *plan(const char *json, int64_t due_ms, int64_t now_ms)
{
    static char out[2048];
    struct cron_plan p;
    struct cron_entry *e = parse(json);
    struct zone *z;
    struct errbuf eb;
    size_t len = 0;

    assert_int_equal(zone_open("UTC", &z, &eb), 0);
    cron_plan(e, z, due_ms, now_ms, &p);
    for (unsigned i = 0; i < p.count; i++)
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%lld ",
                                (long long)((p.ticks[i] - T0) / MIN));
    (void)snprintf(out + len, sizeof(out) - len, "> %lld",
                   (long long)((p.next_ms - T0) / MIN));
    cron_entry_free(e);
    zone_free(z);
    return out;
}

static void what_is_in_time_is_pushed(void **state)
{
    (void)state;
    assert_string_equal(plan("{" PLAIN "}", T0, T0 - 1), "> 0");
    assert_string_equal(plan("{" PLAIN "}", T0, T0), "0 > 1");
    assert_string_equal(plan("{" PLAIN ",\"catch_up\":\"none\"}", T0, T0 + 59),
                        "0 > 1");
}

static void what_was_missed_is_made_up_for_as_the_entry_says(void **state)
{
    int64_t now = T0 + 5 * MIN + 30000;
    (void)state;
    assert_string_equal(plan("{" PLAIN "}", T0, now), "5 > 6");
    assert_string_equal(plan("{" PLAIN ",\"catch_up\":\"none\"}", T0, now),
                        "5 > 6");
    assert_string_equal(plan("{" PLAIN ",\"catch_up\":\"all\"}", T0, now),
                        "0 1 2 3 4 5 > 6");
    assert_string_equal(
        plan("{" PLAIN ",\"catch_up\":\"all\",\"overlap\":\"skip\"}", T0, now),
        "5 > 6");
    assert_string_equal(
        plan("{" PLAIN ",\"catch_up\":\"all\",\"times\":2}", T0, now),
        "4 5 > 6");
    assert_string_equal(plan("{" PLAIN
                             ",\"catch_up\":\"all\",\"catch_up_limit\":180000}",
                             T0, now),
                        "3 4 5 > 6");
}

static void an_old_tick_is_not_made_up_for(void **state)
{
    (void)state;
    /* Once a day, and ten minutes or two hours late. */
    const char *daily = "{\"type\":\"t\",\"spec\":\"@daily\"}";
    const char *none =
        "{\"type\":\"t\",\"spec\":\"@daily\",\"catch_up\":\"none\"}";
    assert_string_equal(plan(daily, T0, T0 + 10 * MIN), "0 > 1440");
    assert_string_equal(plan(daily, T0, T0 + 2 * HOUR), "> 1440");
    assert_string_equal(plan(none, T0, T0 + MIN), "0 > 1440");
    assert_string_equal(plan(none, T0, T0 + MIN + 1), "> 1440");
}

static void a_job_that_would_expire_is_not_pushed(void **state)
{
    (void)state;
    assert_string_equal(plan("{" PLAIN
                             ",\"catch_up\":\"all\",\"expires\":150000}",
                             T0, T0 + 5 * MIN),
                        "3 4 5 > 6");
}

static void at_most_a_hundred_are_made_up_for(void **state)
{
    struct cron_plan p;
    struct zone *z;
    struct errbuf eb;
    static const char *const specs[] = {"* * * * * *", "@every 1s"};
    (void)state;
    assert_int_equal(zone_open("UTC", &z, &eb), 0);
    for (int i = 0; i < 2; i++) {
        char json[128];
        (void)snprintf(json, sizeof(json),
                       "{\"type\":\"t\",\"spec\":\"%s\",\"catch_up\":\"all\"}",
                       specs[i]);
        struct cron_entry *e = parse(json);
        /* Ten years of seconds, and a few more than a hundred. */
        for (int64_t due = T0 - 3650 * 24 * HOUR; due < T0;
             due += 3650 * 24 * HOUR - 150000) {
            cron_plan(e, z, due, T0, &p);
            assert_int_equal(p.count, 100);
            for (int64_t k = 0; k < 100; k++)
                assert_int_equal(p.ticks[k], T0 - (99 - k) * 1000);
            assert_int_equal(p.next_ms, T0 + 1000);
        }
        cron_entry_free(e);
    }
    zone_free(z);
}

static void few_ticks_in_a_long_time_are_all_found(void **state)
{
    (void)state;
    /* 101 and more were missed, but few are within the limit. */
    assert_string_equal(
        plan("{\"type\":\"t\",\"spec\":\"@hourly\",\"catch_up\":\"all\","
             "\"catch_up_limit\":10000000}",
             T0 - 1000 * HOUR, T0 + MIN),
        "-120 -60 0 > 60");
}

static void jitter_delays_a_tick_the_same_for_all(void **state)
{
    struct cron_plan p;
    struct zone *z;
    struct errbuf eb;
    bool differ = false;
    (void)state;
    struct cron_entry *e = parse("{" PLAIN ",\"jitter\":30000}");
    assert_int_equal(zone_open("UTC", &z, &eb), 0);
    int64_t first = cron_claim_ms(e, T0) - T0;
    for (int64_t t = T0; t < T0 + HOUR; t += MIN) {
        int64_t late = cron_claim_ms(e, t) - t;
        assert_true(late >= 0 && late <= 30000);
        assert_int_equal(late, cron_claim_ms(e, t) - t);
        differ = differ || late != first;
    }
    assert_true(differ && first > 0);
    cron_plan(e, z, T0, T0 + first - 1, &p);
    assert_int_equal(p.count, 0);
    assert_int_equal(p.next_ms, T0);
    assert_int_equal(p.claim_ms, T0 + first);
    cron_plan(e, z, T0, T0 + first, &p);
    assert_int_equal(p.count, 1);
    assert_int_equal(p.next_ms, T0 + MIN);
    zone_free(z);
    cron_entry_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_name_leaves_room_for_ids),
        cmocka_unit_test(a_wish_becomes_an_entry),
        cmocka_unit_test(a_job_has_what_the_entry_says),
        cmocka_unit_test(what_is_in_time_is_pushed),
        cmocka_unit_test(what_was_missed_is_made_up_for_as_the_entry_says),
        cmocka_unit_test(an_old_tick_is_not_made_up_for),
        cmocka_unit_test(a_job_that_would_expire_is_not_pushed),
        cmocka_unit_test(at_most_a_hundred_are_made_up_for),
        cmocka_unit_test(few_ticks_in_a_long_time_are_all_found),
        cmocka_unit_test(jitter_delays_a_tick_the_same_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
