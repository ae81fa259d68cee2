/*
 * Claims about the small texts that people write.
 */
#include "common/base/text.h"

#include <string.h>

#include "common/base/ulid.h"
#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void names_are_letters_digits_and_three_signs(void **state)
{
    (void)state;
    char longest[NAME_MAX_LEN + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(text_is_name("mail", 4));
    assert_true(text_is_name("9.a_B-c", 7));
    assert_true(text_is_name(longest, NAME_MAX_LEN));
    assert_false(text_is_name(longest, NAME_MAX_LEN + 1));
    assert_false(text_is_name("", 0));
    assert_false(text_is_name("-mail", 5));
    assert_false(text_is_name("a:b", 3));
    assert_false(text_is_name("a b", 3));
    assert_false(text_is_name("a\0b", 3));
    assert_false(text_is_name("\xc3\xa9", 2));
}

static void ids_may_hold_colons_and_begin_with_any_sign(void **state)
{
    (void)state;
    char longest[ID_MAX_LEN + 1];
    memset(longest, 'Z', sizeof(longest));
    assert_true(text_is_id(":-._", 4));
    assert_true(text_is_id(longest, ID_MAX_LEN));
    assert_false(text_is_id(longest, ID_MAX_LEN + 1));
    assert_false(text_is_id("", 0));
    for (int c = 0; c < 256; c++) {
        char b = (char)c;
        bool good = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                    (c >= 'a' && c <= 'z') ||
                    (c != 0 && strchr("._:-", c) != NULL);
        assert_true(text_is_id(&b, 1) == good);
    }
    assert_false(text_is_id("a/b", 3));
}

static void patterns_of_names_have_a_wildcard(void **state)
{
    (void)state;
    assert_true(text_is_pattern("*", 1));
    assert_true(text_is_pattern("mail.*", 6));
    assert_true(text_is_pattern("[!a-c]?_x", 9));
    assert_false(text_is_pattern("mail", 4));
    assert_false(text_is_pattern("mail!]", 6));
    assert_false(text_is_pattern("a:*", 3));
    assert_false(text_is_pattern("a *", 3));
    assert_false(text_is_pattern("*\0", 2));
    assert_false(text_is_pattern("", 0));
}

static void durations_are_sums_of_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"0s", 0},
        {"500ms", 500},
        {"10s", 10000},
        {"1.5h", 5400000},
        {"1h30m", 5400000},
        {"7d", 604800000},
        {"1d2h3m4s5ms", 93784005},
        {"1m0.25s", 60250},
        {"0.1ms", 1}, /* never becomes "none" */
        {"1.0005s", 1001},
        {"0.333333333d", 28800000},
        {"9223372036854775807ms", INT64_MAX},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        int64_t ms = -1;
        assert_int_equal(text_parse_duration(rows[i].text, &ms, NULL), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void other_durations_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "10",
        "s",
        "-1s",
        "1 s",
        " 1s",
        "1s ",
        "1x",
        "1.h",
        ".5h",
        "1.5",
        "1m1h",
        "1s1s",
        "1ms1m",
        "1e3s",
        "1.0000000000s",
        "+1s",
        "1.5.5s",
        "1S",
        "1hour",
        "00",
        "1h30",
        "106751991168d",
        "9223372036854775808ms",
        "9223372036854775807ms1s", /* wrong order */
        "9223372036854775s900ms",
    };
    for (size_t i = 0; i < LEN(bad); i++) {
        int64_t ms = -1;
        struct errbuf eb = {""};
        assert_int_equal(text_parse_duration(bad[i], &ms, &eb), ERR_INVALID);
        assert_int_equal(ms, -1);
        assert_non_null(strstr(eb.text, bad[i]));
    }
}

static void durations_are_written_with_units(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {1, "1ms"},
        {999, "999ms"},
        {1000, "1s"},
        {1500, "1.5s"},
        {10000, "10s"},
        {90000, "1m30s"},
        {3600000, "1h"},
        {604800000, "7d"},
        {86400001, "1d0.001s"},
        {-1500, "-1.5s"},
        {INT64_MAX, "106751991167d7h12m55.807s"},
        {INT64_MIN, "-106751991167d7h12m55.808s"},
    };
    char out[32];
    for (size_t i = 0; i < LEN(rows); i++)
        assert_string_equal(text_format_duration(rows[i].ms, out),
                            rows[i].text);
}

static void every_written_duration_is_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char out[32];
        int64_t ms = -1, bits = i % 63 + 1;
        int64_t expected = (int64_t)random_below(UINT64_C(1) << bits);
        text_format_duration(expected, out);
        assert_int_equal(text_parse_duration(out, &ms, NULL), 0);
        assert_int_equal(ms, expected);
    }
}

static void sizes_have_binary_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"64k", 65536},
        {"64K", 65536},
        {"10m", 10 << 20},
        {"1g", 1 << 30},
        {"2M", 2 << 20},
        {"3G", INT64_C(3) << 30},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {
        "",           "k",    "-1",
        "1kb",        "1.5g", "1t",
        "1 k",        "0x1",  "9223372036854775808",
        "8589934592g"};
    for (size_t i = 0; i < LEN(good); i++) {
        int64_t n = -1;
        assert_int_equal(text_parse_size(good[i].text, &n, NULL), 0);
        assert_int_equal(n, good[i].bytes);
    }
    for (size_t i = 0; i < LEN(bad); i++) {
        int64_t n = -1;
        struct errbuf eb = {""};
        assert_int_equal(text_parse_size(bad[i], &n, &eb), ERR_INVALID);
        assert_int_equal(n, -1);
        assert_non_null(strstr(eb.text, bad[i]));
    }
}

static int parse_int(const char *s, int64_t min, int64_t max, int64_t *ret_n)
{
    struct errbuf eb = {""};
    int rc = text_parse_int(s, min, max, "--jobs", ret_n, &eb);
    if (rc != 0)
        assert_memory_equal(eb.text, "--jobs: ", 8);
    return rc;
}

static void what_is_no_count_is_taken_for_the_default(void **state)
{
    (void)state;
    assert_int_equal(text_int_or("0", 7), 0);
    assert_int_equal(text_int_or("9223372036854775807", 7), INT64_MAX);
    assert_int_equal(text_int_or("9223372036854775808", 7), 7);
    assert_int_equal(text_int_or("-1", 7), 7);
    assert_int_equal(text_int_or("1x", 7), 7);
    assert_int_equal(text_int_or("", 7), 7);
    assert_int_equal(text_int_or(NULL, 7), 7);
}

static void whole_numbers_within_bounds_are_read(void **state)
{
    (void)state;
    int64_t n = 77;
    assert_int_equal(parse_int("0", 0, 10, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(parse_int("10", 0, 10, &n), 0);
    assert_int_equal(n, 10);
    assert_int_equal(parse_int("-5", -5, 10, &n), 0);
    assert_int_equal(n, -5);
    assert_int_equal(parse_int("9223372036854775807", INT64_MIN, INT64_MAX, &n),
                     0);
    assert_true(n == INT64_MAX);
    assert_int_equal(
        parse_int("-9223372036854775808", INT64_MIN, INT64_MAX, &n), 0);
    assert_true(n == INT64_MIN);
}

static void other_numbers_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1x",
                                      "1.0",
                                      "11",
                                      "-1",
                                      "0x1",
                                      "--1",
                                      "99999999999999999999",
                                      "-9223372036854775808"};
    for (size_t i = 0; i < LEN(bad); i++) {
        int64_t n = 77;
        assert_int_equal(parse_int(bad[i], 0, 10, &n), ERR_INVALID);
        assert_int_equal(n, 77);
    }
}

static void well_formed_utf8_has_no_error(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "plain",
        "exactly8",
        "\x7f\xc2\x80\xdf\xbf",
        "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
        "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
        "long enough for words \xe2\x82\xac and on and on",
    };
    for (size_t i = 0; i < LEN(good); i++)
        assert_int_equal(text_utf8_error(good[i], strlen(good[i])),
                         strlen(good[i]));
}

static void the_first_bad_byte_is_found(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xc0\x80",         /* overlong NUL */
        "\xc1\xbf",         /* overlong */
        "\xc2",             /* cut */
        "\xc2z",            /* continuation missing */
        "\xe0\x9f\xbf",     /* overlong */
        "\xe2\x82",         /* cut */
        "\xe2\x82z",        /* continuation missing */
        "\xed\xa0\x80",     /* surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf1\x80\x80\xc0", /* bad last byte */
        "\xf5\x80\x80\x80", /* never in UTF-8 */
        "\xff",
    };
    for (size_t i = 0; i < LEN(bad); i++)
        for (size_t before = 0; before < 20; before++) {
            char text[32];
            memset(text, 'a', before);
            memcpy(text + before, bad[i], strlen(bad[i]));
            assert_int_equal(text_utf8_error(text, before + strlen(bad[i])),
                             before);
        }
}

static void the_nearest_word_is_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"push", "queues", "jobs", "workers"};
    assert_ptr_equal(text_nearest("push", words, 4), words[0]);
    assert_ptr_equal(text_nearest("psuh", words, 4), words[0]);
    assert_ptr_equal(text_nearest("queue", words, 4), words[1]);
    assert_ptr_equal(text_nearest("job", words, 4), words[2]);
    assert_ptr_equal(text_nearest("warker", words, 4), words[3]);
    assert_null(text_nearest("cancel", words, 4));
    assert_null(text_nearest("push", words, 0));
    char longer[200];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_null(text_nearest(longer, words, 4));
    assert_null(text_nearest("push", (const char *const[]){longer}, 1));
}

/* The numbers are those of date -u -d … +%s%3N. */
static void instants_are_read_with_their_offset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-26T08:30:00Z", 1795681800000},
        {"2026-11-26T09:30:00+01:00", 1795681800000},
        {"2026-11-25 23:00:00-09:30", 1795681800000},
        {"2026-11-26t08:30:00.25z", 1795681800250},
        {"2026-11-26T08:30:00.0019999Z", 1795681800001},
        {"2024-02-29T12:00:00Z", 1709208000000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2100-03-01T00:00:00Z", 4107542400000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"1969-12-31T23:30:00-01:00", 1800000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = -1;
        assert_int_equal(text_parse_instant(rows[i].text, &ms, NULL), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void other_instants_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "now",
        "1795681800000",
        "2026-11-26",
        "2026-11-26T08:30:00",
        "2026-11-26T08:30Z",
        "2026-11-26T08:30:00+1:00",
        "2026-11-26T08:30:00+0100",
        "2026-11-26T08:30:00+24:00",
        "2026-11-26T08:30:00.Z",
        "2026-11-26T08:30:00ZZ",
        "2026-11-26T24:00:00Z",
        "2026-11-26T08:60:00Z",
        "2026-11-26T08:30:61Z",
        "2026-11-31T08:30:00Z",
        "2026-02-29T08:30:00Z",
        "2100-02-29T08:30:00Z",
        "2026-13-01T08:30:00Z",
        "2026-00-01T08:30:00Z",
        "2026-11-00T08:30:00Z",
        "26-11-26T08:30:00Z",
        "-026-11-26T08:30:00Z",
        "2026-11-2 T08:30:00Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct errbuf eb = {""};
        int64_t ms = -1;
        assert_int_equal(text_parse_instant(bad[i], &ms, &eb), ERR_INVALID);
        assert_int_equal(ms, -1);
        assert_non_null(strstr(eb.text, bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_letters_digits_and_three_signs),
        cmocka_unit_test(ids_may_hold_colons_and_begin_with_any_sign),
        cmocka_unit_test(durations_are_sums_of_units),
        cmocka_unit_test(other_durations_are_refused_by_name),
        cmocka_unit_test(durations_are_written_with_units),
        cmocka_unit_test(every_written_duration_is_read_back),
        cmocka_unit_test(instants_are_read_with_their_offset),
        cmocka_unit_test(other_instants_are_refused_by_name),
        cmocka_unit_test(sizes_have_binary_units),
        cmocka_unit_test(whole_numbers_within_bounds_are_read),
        cmocka_unit_test(what_is_no_count_is_taken_for_the_default),
        cmocka_unit_test(other_numbers_are_refused),
        cmocka_unit_test(well_formed_utf8_has_no_error),
        cmocka_unit_test(the_first_bad_byte_is_found),
        cmocka_unit_test(the_nearest_word_is_suggested),
        cmocka_unit_test(patterns_of_names_have_a_wildcard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
