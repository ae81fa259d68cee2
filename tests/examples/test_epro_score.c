/*
 * Claims about the parts of examples/epro that need no database: the published
 * cut-offs, instants, texts.
 */
#include <string.h>

#include "examples/epro/clean.h"
#include "examples/epro/report.h"
#include "examples/epro/score.h"
#include "tests/unit/unit.h"

/* 2025-01-01T00:00:00Z */
enum { YEAR = 1735689600 };

/* ---- score ---- */

static const struct instrument *by_name(const char *name)
{
    return instrument_find(name, strlen(name));
}

/* Kroenke, Spitzer, Williams 2001: 0-4, 5-9, 10-14, 15-19, 20-27. */
static void phq9_has_its_published_cut_offs(void **state)
{
    static const char *const names[] = {"minimal", "mild", "moderate",
                                        "moderately severe", "severe"};
    const struct instrument *phq9 = by_name("PHQ-9");

    (void)state;
    for (unsigned total = 0; total <= 27; total++)
        assert_string_equal(instrument_severity(phq9, total),
                            names[total < 20 ? total / 5 : 4]);
    assert_int_equal(phq9->items, 9);
}

/* Spitzer, Kroenke, Williams, Loewe 2006: 0-4, 5-9, 10-14, 15-21. */
static void gad7_has_its_published_cut_offs(void **state)
{
    static const char *const names[] = {"minimal", "mild", "moderate",
                                        "severe"};
    const struct instrument *gad7 = by_name("GAD-7");

    (void)state;
    for (unsigned total = 0; total <= 21; total++)
        assert_string_equal(instrument_severity(gad7, total),
                            names[total < 15 ? total / 5 : 3]);
    assert_int_equal(gad7->items, 7);
}

static void item_9_of_phq9_needs_no_sum_to_raise_an_alert(void **state)
{
    const struct instrument *phq9 = by_name("PHQ-9"), *gad7 = by_name("GAD-7");
    const unsigned none[] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    const unsigned only9[] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    const unsigned at19[] = {3, 3, 3, 3, 3, 3, 1, 0, 0};
    const unsigned at20[] = {3, 3, 3, 3, 3, 3, 2, 0, 0};
    const unsigned both[] = {3, 3, 3, 3, 3, 3, 0, 0, 2};
    const unsigned at14[] = {2, 2, 2, 2, 2, 2, 2};
    const unsigned at15[] = {2, 2, 2, 2, 2, 2, 3};

    (void)state;
    assert_string_equal(instrument_alert(phq9, none), "");
    assert_string_equal(instrument_alert(phq9, only9), "item 9");
    assert_string_equal(instrument_alert(phq9, at19), "");
    assert_string_equal(instrument_alert(phq9, at20), "severe");
    assert_string_equal(instrument_alert(phq9, both), "severe, item 9");
    assert_int_equal(instrument_total(phq9, both), 20);
    assert_string_equal(instrument_alert(gad7, at14), "");
    assert_string_equal(instrument_alert(gad7, at15), "severe");
}

static void instruments_are_known_by_any_spelling(void **state)
{
    (void)state;
    assert_ptr_equal(by_name("phq9"), by_name("PHQ-9"));
    assert_ptr_equal(by_name(" PHQ 9 "), by_name("PHQ-9"));
    assert_ptr_equal(by_name("PHQ\u20119"), by_name("PHQ-9"));
    assert_ptr_equal(by_name("gad_7"), by_name("GAD-7"));
    assert_null(by_name("PHQ-8"));
    assert_null(by_name("PHQ-99"));
    assert_null(by_name("PHQ"));
    assert_null(by_name(""));
}

/* ---- times and texts ---- */

static void instants_are_those_of_rfc_3339(void **state)
{
    static const struct {
        const char *text;
        int64_t at;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2025-01-01T00:00:00Z", YEAR},
        {"2025-01-01t00:00:00.123456z", YEAR},
        {"2025-01-01 01:30:00+01:30", YEAR},
        {"2024-12-31T18:00:00-06:00", YEAR},
        {"2024-02-29T12:00:00Z", 1709208000},
    };
    static const char *const bad[] = {
        "",
        "now",
        "2025-01-01",
        "2025-01-01T00:00:00",
        "2025-01-01T00:00Z",
        "2025-1-1T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:61Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00+1:00",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00+01:60",
        "2025-01-01T00:00:00Z ",
        "-1-01-01T00:00:00Z",
        "-01-01T00:00:00Z",
        "20250101T000000Z",
        "1735689600",
    };
    int64_t at;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(instant_read(good[i].text, &at), 0);
        assert_int_equal(at, good[i].at);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (instant_read(bad[i], &at) == 0)
            fail_msg("'%s' was taken for an instant", bad[i]);
}

static void expect_clean(const char *in, size_t size, size_t max,
                         enum clean wanted, const char *text, size_t count)
{
    char out[256];
    size_t n;

    assert_int_equal(clean_text(in, size, max, out, &n), wanted);
    if (wanted == CLEAN_NO_UTF8)
        return;
    assert_int_equal(n, count);
    if (wanted == CLEAN_OK)
        assert_string_equal(out, text);
}

static void texts_are_cleaned_by_characters(void **state)
{
    static const char turned[] = {'a', '\xe2', '\x80', '\xae', 'b'};
#define CLEAN(in, ...) expect_clean(in, sizeof(in) - 1, __VA_ARGS__)
    (void)state;
    CLEAN("", 5, CLEAN_OK, "", 0);
    CLEAN(" \t\n ", 5, CLEAN_OK, "", 0);
    CLEAN("  a b  ", 3, CLEAN_OK, "a b", 3);
    CLEAN("a\nb", 3, CLEAN_OK, "a\nb", 3);
    CLEAN("\u00a0ü\u3000", 1, CLEAN_OK, "ü", 1);
    CLEAN("a\0b\a\x7f", 2, CLEAN_OK, "ab", 2);
    expect_clean(turned, sizeof(turned), 2, CLEAN_OK, "ab", 2);
    CLEAN("😴😴", 2, CLEAN_OK, "😴😴", 2);
    CLEAN("😴😴😴", 2, CLEAN_TOO_LONG, NULL, 3);
    CLEAN("a    ", 1, CLEAN_OK, "a", 1);
    CLEAN("a    b", 5, CLEAN_TOO_LONG, NULL, 6);
    CLEAN("\xff", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xc3", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xc0\x80", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xed\xa0\x80", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xf4\x90\x80\x80", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xe0\x80\x80", 5, CLEAN_NO_UTF8, NULL, 0);
#undef CLEAN
}

static void quotes_show_the_beginning(void **state)
{
    char out[QUOTED_MAX];

    (void)state;
    assert_string_equal(clean_quote("PHQ\n\a8", 6, out), "\"PHQ8\"");
    const char *forty = "1234567890123456789012345678901234567890";
    assert_string_equal(clean_quote(forty, 40, out),
                        "\"1234567890123456789012345678901234567890\"");
    const char *more = "12345678901234567890123456789012345678901";
    assert_string_equal(clean_quote(more, 41, out),
                        "\"1234567890123456789012345678901234567890…\"");
    char wide[4 * 50 + 1] = "";
    for (int i = 0; i < 50; i++)
        strcat(wide, "😴");
    assert_int_equal(strlen(clean_quote(wide, 200, out)), 160 + 2 + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phq9_has_its_published_cut_offs),
        cmocka_unit_test(gad7_has_its_published_cut_offs),
        cmocka_unit_test(item_9_of_phq9_needs_no_sum_to_raise_an_alert),
        cmocka_unit_test(instruments_are_known_by_any_spelling),
        cmocka_unit_test(instants_are_those_of_rfc_3339),
        cmocka_unit_test(texts_are_cleaned_by_characters),
        cmocka_unit_test(quotes_show_the_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
