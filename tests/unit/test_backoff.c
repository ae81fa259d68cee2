/*
 * Back-off: the formulas at exact points, the bounds of the jitter, and what
 * a policy in an envelope may say.
 *
 * Thread: main.
 */
#include "common/job/backoff.h"

#include <string.h>

#include "common/base/buf.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const double almost_one = 1 - 1e-12;

static int parse(const char *text, struct backoff *b, struct errbuf *eb)
{
    return backoff_parse((struct json_span){.p = text, .len = strlen(text)}, b,
                         eb);
}

static struct backoff policy(const char *text)
{
    struct backoff b;
    struct errbuf eb = {""};

    if (parse(text, &b, &eb) != 0)
        fail_msg("%s: %s", text, eb.text);
    return b;
}

static void default_is_15_s_and_the_fourth_power(void **state)
{
    static const int64_t want_ms[] = {0, 16000, 31000, 96000, 271000, 640000};
    struct backoff b;

    (void)state;
    assert_int_equal(backoff_parse((struct json_span){0}, &b, NULL), 0);
    for (int64_t n = 1; n <= 5; n++)
        assert_int_equal(backoff_delay(&b, n, 0), want_ms[n]);
    assert_int_equal(backoff_delay(&b, 12, 0), (15 + 20736) * 1000);
    assert_int_equal(backoff_delay(&b, 13, 0), BACKOFF_CAP_MS);
    b = policy("\"default\"");
    assert_int_equal(backoff_delay(&b, 3, 0), 96000);
    b = policy("{\"kind\":\"default\"}");
    assert_int_equal(backoff_delay(&b, 3, 0), 96000);
}

static void default_jitter_adds_a_tenth_and_10_s_at_most(void **state)
{
    struct backoff b = policy("\"default\"");

    (void)state;
    for (int64_t n = 1; n <= 11; n++) {
        const int64_t least = (15 + n * n * n * n) * 1000;
        const int64_t most = least + least / 10 + 10000;
        assert_in_range(backoff_delay(&b, n, 0.5), least, most);
        assert_in_range(backoff_delay(&b, n, almost_one), most - 1, most);
    }
    /* 20751 s * 1.1 + 10 s is beyond six hours. */
    assert_int_equal(backoff_delay(&b, 12, almost_one), BACKOFF_CAP_MS);
    assert_int_equal(backoff_delay(&b, INT64_MAX, almost_one), BACKOFF_CAP_MS);
}

static void exponential_grows_by_its_factor_to_its_max(void **state)
{
    struct backoff b = policy("{\"kind\":\"exponential\",\"base\":1000,"
                              "\"factor\":2,\"max\":3600000}");

    (void)state;
    assert_int_equal(backoff_delay(&b, 1, 0), 500);
    assert_int_equal(backoff_delay(&b, 2, 0), 1000);
    assert_int_equal(backoff_delay(&b, 2, 0.5), 1500);
    assert_int_equal(backoff_delay(&b, 12, 0), 2048000 / 2);
    assert_int_equal(backoff_delay(&b, 13, 0), 3600000 / 2);
    assert_int_equal(backoff_delay(&b, INT64_MAX, 0), 3600000 / 2);
    b = policy("{\"kind\":\"exponential\",\"base\":1000,\"factor\":1.5}");
    assert_int_equal(backoff_delay(&b, 3, 0), 2250 / 2);
    b = policy("{\"kind\":\"exponential\",\"base\":700,\"factor\":1}");
    assert_int_equal(backoff_delay(&b, INT64_MAX, 0), 350);
}

static void exponential_jitter_is_half_of_the_delay(void **state)
{
    struct backoff b = policy("\"exponential\"");

    (void)state;
    for (int64_t n = 1; n <= 40; n++) {
        const int64_t fixed = backoff_delay(&b, n, 0);
        assert_in_range(backoff_delay(&b, n, 0.3), fixed, 2 * fixed);
        assert_in_range(backoff_delay(&b, n, almost_one), 2 * fixed - 1,
                        2 * fixed);
    }
    assert_int_equal(backoff_delay(&b, 1, 0), 500);
    assert_int_equal(backoff_delay(&b, 40, 0), BACKOFF_CAP_MS / 2);
}

static void fixed_and_list_have_no_jitter(void **state)
{
    struct backoff b = policy("{\"kind\":\"fixed\",\"delay\":5000}");

    (void)state;
    assert_int_equal(backoff_delay(&b, 1, almost_one), 5000);
    assert_int_equal(backoff_delay(&b, INT64_MAX, 0), 5000);
    b = policy("[1000, 5000,60000]");
    assert_int_equal(backoff_delay(&b, 1, almost_one), 1000);
    assert_int_equal(backoff_delay(&b, 2, 0), 5000);
    assert_int_equal(backoff_delay(&b, 3, 0.5), 60000);
    assert_int_equal(backoff_delay(&b, 4, 0), 60000);
    assert_int_equal(backoff_delay(&b, INT64_MAX, 0), 60000);
    b = policy("[0]");
    assert_int_equal(backoff_delay(&b, 7, almost_one), 0);
}

static void a_list_holds_64_delays_and_no_more(void **state)
{
    struct buf text = {0};
    struct backoff b;
    struct errbuf eb = {""};

    (void)state;
    buf_str(&text, "[0");
    for (int64_t i = 1; i < BACKOFF_LIST_MAX; i++) {
        buf_char(&text, ',');
        buf_int(&text, i);
    }
    const size_t len = text.len;
    buf_char(&text, ']');
    b = policy(text.data);
    assert_int_equal(b.count, BACKOFF_LIST_MAX);
    assert_int_equal(backoff_delay(&b, 100, 0), BACKOFF_LIST_MAX - 1);
    text.len = len;
    buf_str(&text, ",9]");
    assert_int_equal(parse(text.data, &b, &eb), ERR_INVALID);
    assert_string_equal(eb.text, "backoff: more than 64 delays");
    buf_done(&text);
}

static void a_bad_policy_is_refused_with_what_is_wrong(void **state)
{
    static const char *const cases[][2] = {
        {"7", "not a string, object or array"},
        {"true", "not a string, object or array"},
        {"\"linear\"", "not default, exponential or fixed"},
        {"\"fixed\"", "delay is missing"},
        {"{}", "kind is missing"},
        {"{\"base\":5}", "kind is missing"},
        {"{\"kind\":3}", "not default, exponential or fixed"},
        {"{\"kind\":\"fixed\"}", "delay is missing"},
        {"{\"kind\":\"fixed\",\"delay\":5,\"max\":9}", "max does not belong"},
        {"{\"kind\":\"exponential\",\"delay\":5}", "delay does not belong"},
        {"{\"kind\":\"default\",\"base\":5}", "base does not belong"},
        {"{\"kind\":\"exponential\",\"maxx\":5}", "a member other than"},
        {"{\"kind\":\"fixed\",\"delay\":1,\"delay\":2}", "delay twice"},
        {"{\"kind\":\"fixed\",\"delay\":-1}", "delay is not a whole number"},
        {"{\"kind\":\"fixed\",\"delay\":1.0}", "delay is not a whole number"},
        {"{\"kind\":\"fixed\",\"delay\":null}", "delay is not a whole number"},
        {"{\"kind\":\"fixed\",\"delay\":31622400001}", "delay is not a whole"},
        {"{\"kind\":\"exponential\",\"base\":0}", "base is not a whole"},
        {"{\"kind\":\"exponential\",\"max\":0}", "max is not a whole"},
        {"{\"kind\":\"exponential\",\"factor\":0.9}", "factor is not a plain"},
        {"{\"kind\":\"exponential\",\"factor\":1e2}", "factor is not a plain"},
        {"{\"kind\":\"exponential\",\"factor\":-2}", "factor is not a plain"},
        {"{\"kind\":\"exponential\",\"factor\":1001}", "factor is not a plain"},
        {"{\"kind\":\"exponential\",\"factor\":\"2\"}", "factor is not"},
        {"[]", "an empty list"},
        {"[1,\"2\"]", "a delay is not a whole number"},
        {"[1,2.5]", "a delay is not a whole number"},
        {"[99999999999999999999]", "a delay is not a whole number"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct backoff b = {.count = 77};
        struct errbuf eb = {""};
        assert_int_equal(parse(cases[i][0], &b, &eb), ERR_INVALID);
        if (strncmp(eb.text, "backoff: ", 9) != 0 ||
            strncmp(eb.text + 9, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: \"%s\"", cases[i][0], eb.text);
        assert_int_equal(b.count, 77);
    }
}

static void members_are_known_by_their_decoded_name(void **state)
{
    struct backoff b =
        policy("{\"k\\u0069nd\":\"\\u0066ixed\",\"del\\u0061y\":12}");

    (void)state;
    assert_int_equal(b.kind, BACKOFF_FIXED);
    assert_int_equal(backoff_delay(&b, 1, 0), 12);
}

static void put_off_doubles_from_1_s_and_stays_below_60_s(void **state)
{
    static const int64_t least_ms[] = {0,    1000,  2000,  4000,
                                       8000, 16000, 30000, 30000};

    (void)state;
    for (int64_t n = 1; n <= 7; n++) {
        assert_int_equal(backoff_put_off(n, 0), least_ms[n]);
        assert_in_range(backoff_put_off(n, almost_one), 2 * least_ms[n] - 1,
                        2 * least_ms[n]);
    }
    assert_int_equal(backoff_put_off(INT64_MAX, 0), 30000);
    assert_in_range(backoff_put_off(INT64_MAX, almost_one), 59999, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_is_15_s_and_the_fourth_power),
        cmocka_unit_test(default_jitter_adds_a_tenth_and_10_s_at_most),
        cmocka_unit_test(exponential_grows_by_its_factor_to_its_max),
        cmocka_unit_test(exponential_jitter_is_half_of_the_delay),
        cmocka_unit_test(fixed_and_list_have_no_jitter),
        cmocka_unit_test(a_list_holds_64_delays_and_no_more),
        cmocka_unit_test(a_bad_policy_is_refused_with_what_is_wrong),
        cmocka_unit_test(members_are_known_by_their_decoded_name),
        cmocka_unit_test(put_off_doubles_from_1_s_and_stays_below_60_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
