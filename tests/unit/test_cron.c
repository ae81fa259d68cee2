/*
 * Cron expressions: what is understood, what is refused and how, and the rules
 * at changes of the clock, each with the dates of a real zone.
 */
#include "common/job/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

/* The first instants after from, as local times of zone, joined by blanks. */
static const char *instants(const char *spec, const char *zone,
                            const char *from_utc, int n)
{
    static char outs[2][1024]; /* two may be compared */
    static unsigned calls;
    char *out = outs[calls++ % 2];
    struct errbuf eb = {""};
    struct cron c;
    struct zone *z;
    int y, mo, d, h, mi, s;
    size_t len = 0;

    if (cron_parse(spec, &c, &eb) != 0 || zone_open(zone, &z, &eb) != 0)
        fail_msg("%s", eb.text);
    assert_int_equal(
        sscanf(from_utc, "%d-%d-%d %d:%d:%d", &y, &mo, &d, &h, &mi, &s), 6);
    struct tm tm = {.tm_year = y - 1900,
                    .tm_mon = mo - 1,
                    .tm_mday = d,
                    .tm_hour = h,
                    .tm_min = mi,
                    .tm_sec = s};
    int64_t at_ms = (int64_t)timegm(&tm) * 1000;
    for (int i = 0; i < n; i++) {
        struct cron_clock k;
        at_ms = cron_next(&c, z, at_ms);
        assert_true(at_ms > 0 && at_ms % 1000 == 0);
        int64_t at = at_ms / 1000;
        cron_clock(at + zone_offset(z, at), &k);
        len += (size_t)snprintf(out + len, sizeof(outs[0]) - len,
                                "%s%02d-%02d %02d:%02d:%02d %s",
                                i > 0 ? ", " : "", k.month, k.day, k.hour,
                                k.minute, k.second, zone_abbreviation(z, at));
    }
    zone_free(z);
    return out;
}

static void forms_of_an_expression(void **state)
{
    (void)state;
    const char *from = "2026-01-01 00:00:00"; /* a Thursday */
    assert_string_equal(instants("*/20 * * * *", "UTC", from, 3),
                        "01-01 00:20:00 UTC, 01-01 00:40:00 UTC, "
                        "01-01 01:00:00 UTC");
    assert_string_equal(instants("*/40 30 1 * * *", "UTC", from, 3),
                        "01-01 01:30:00 UTC, 01-01 01:30:40 UTC, "
                        "01-02 01:30:00 UTC");
    assert_string_equal(
        instants("5,10-12 8-10/2 ? jan,MAR mon", "UTC", from, 5),
        "01-05 08:05:00 UTC, 01-05 08:10:00 UTC, "
        "01-05 08:11:00 UTC, 01-05 08:12:00 UTC, "
        "01-05 10:05:00 UTC");
    assert_string_equal(instants("0 0 * * 7", "UTC", from, 1),
                        instants("@weekly", "UTC", from, 1));
    assert_string_equal(instants("0 0 L * *", "UTC", from, 2),
                        "01-31 00:00:00 UTC, 02-28 00:00:00 UTC");
    assert_string_equal(instants("0 0 ? * FRI#2,SUNL", "UTC", from, 3),
                        "01-09 00:00:00 UTC, 01-25 00:00:00 UTC, "
                        "02-13 00:00:00 UTC");
    assert_string_equal(instants("0 0 * * FRI-SUN", "UTC", from, 4),
                        "01-02 00:00:00 UTC, 01-03 00:00:00 UTC, "
                        "01-04 00:00:00 UTC, 01-09 00:00:00 UTC");
    assert_string_equal(instants("50/5 9 * * *", "UTC", from, 3),
                        "01-01 09:50:00 UTC, 01-01 09:55:00 UTC, "
                        "01-02 09:50:00 UTC");
    assert_string_equal(instants("@every 90s", "UTC", from, 2),
                        "01-01 00:01:30 UTC, 01-01 00:03:00 UTC");
    assert_string_equal(instants("@hourly", "UTC", from, 1),
                        "01-01 01:00:00 UTC");
    assert_string_equal(instants("@yearly", "UTC", from, 1),
                        "01-01 00:00:00 UTC");
    assert_string_equal(instants("@monthly", "UTC", from, 1),
                        "02-01 00:00:00 UTC");
    assert_string_equal(instants("@midnight", "UTC", from, 1),
                        "01-02 00:00:00 UTC");
}

static void days_match_by_either_field_when_both_are_restricted(void **state)
{
    (void)state;
    const char *from = "2026-02-01 00:00:00"; /* a Sunday */
    assert_string_equal(instants("0 0 13 * FRI", "UTC", from, 3),
                        "02-06 00:00:00 UTC, 02-13 00:00:00 UTC, "
                        "02-20 00:00:00 UTC");
    assert_string_equal(instants("0 0 */5 * FRI", "UTC", from, 2),
                        "02-06 00:00:00 UTC, 03-06 00:00:00 UTC");
}

static void rare_days_are_found(void **state)
{
    (void)state;
    assert_string_equal(instants("0 0 29 2 *", "UTC", "2096-03-01 00:00:00", 1),
                        "02-29 00:00:00 UTC");
    /* On a Sunday: after 2088 not before 2128. */
    struct errbuf eb;
    struct cron c;
    struct cron_clock k;
    struct zone *z;
    assert_int_equal(zone_open("UTC", &z, &eb), 0);
    assert_int_equal(cron_parse("0 0 29 2 */7", &c, &eb), 0);
    cron_clock(cron_next(&c, z, 3729196800000) / 1000, &k); /* March of 2088 */
    assert_int_equal(k.year * 10000 + k.month * 100 + k.day, 21280229);
    zone_free(z);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *spec, *text;
    } rows[] = {
        {"* 25 * * *", "hour: \"25\": 25 is not within 0 and 23"},
        {"60 * * * *", "minute: \"60\""},
        {"* * 0 * *", "day of month: \"0\": 0 is too small"},
        {"* * * 13 *", "month: \"13\""},
        {"* * * FEBR *", "month: \"FEBR\": not understood"},
        {"* * * * 8", "day of week: \"8\""},
        {"* * * * MON#6", "day of week: \"MON#6\": behind #"},
        {"x * * * * *", "second: \"x\": not understood"},
        {"*/0 * * * *", "minute: \"*/0\": a step of 0"},
        {"*/60 * * * *", "minute: \"*/60\": 60 is not within"},
        {"5-3 * * * *", "a range ends before it begins"},
        {"1, * * * *", "minute: \"1,\": not understood"},
        {"* * 15W * *", "day of month: \"15W\": W is not known"},
        {"* * * *", "has 4 fields, not five"},
        {"* * * * * * *", "has 7 fields"},
        {"", "has 0 fields"},
        {"@reboot", "\"@reboot\" is none of @yearly"},
        {"@every", "@every: "},
        {"@every 10ms", "not within 1s and 366d"},
        {"@every soon", "@every: "},
        {"0 0 30 2 *", "never comes"},
        {"0 0 31 FEB,APR *", "never comes"},
        {"99999999999999999999 * * * *", "minute"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct errbuf eb = {""};
        struct cron c;
        int rc = cron_parse(rows[i].spec, &c, &eb);
        if (rc != ERR_INVALID || strstr(eb.text, rows[i].text) == NULL)
            fail_msg("%s: %s", rows[i].spec, eb.text);
    }
}

static void a_fixed_time_that_is_left_out_comes_right_behind(void **state)
{
    (void)state;
    assert_string_equal(
        instants("30 2 * * *", "Europe/Berlin", "2026-03-28 00:00:00", 3),
        "03-28 02:30:00 CET, 03-29 03:00:00 CEST, 03-30 02:30:00 CEST");
    /* Six times that are left out are one instant. */
    assert_string_equal(
        instants("*/10 2 * * *", "Europe/Berlin", "2026-03-29 00:00:00", 2),
        "03-29 03:00:00 CEST, 03-30 02:00:00 CEST");
    assert_string_equal(
        instants("0 2,3 * * *", "America/New_York", "2026-03-08 00:00:00", 2),
        "03-08 03:00:00 EDT, 03-09 02:00:00 EDT");
    assert_string_equal(
        instants("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00:00", 2),
        "10-04 02:30:00 +11, 10-05 02:15:00 +11");
}

static void a_fixed_time_that_comes_twice_is_the_first(void **state)
{
    (void)state;
    assert_string_equal(
        instants("30 2 * * *", "Europe/Berlin", "2026-10-24 10:00:00", 2),
        "10-25 02:30:00 CEST, 10-26 02:30:00 CET");
    assert_string_equal(
        instants("*/30 1-2 * * *", "America/New_York", "2026-11-01 04:30:00",
                 5),
        "11-01 01:00:00 EDT, 11-01 01:30:00 EDT, 11-01 02:00:00 EST, "
        "11-01 02:30:00 EST, 11-02 01:00:00 EST");
    assert_string_equal(
        instants("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00:00", 2),
        "04-05 01:45:00 +11, 04-06 01:45:00 +1030");
    /* Asked for from within the second time. */
    assert_string_equal(
        instants("*/15 2 * * *", "Europe/Berlin", "2026-10-25 01:10:00", 1),
        "10-26 02:00:00 CET");
}

static void every_hour_goes_by_elapsed_time(void **state)
{
    (void)state;
    assert_string_equal(
        instants("30 * * * *", "Europe/Berlin", "2026-03-29 00:00:00", 3),
        "03-29 01:30:00 CET, 03-29 03:30:00 CEST, 03-29 04:30:00 CEST");
    assert_string_equal(
        instants("30 * * * *", "Europe/Berlin", "2026-10-25 00:00:00", 3),
        "10-25 02:30:00 CEST, 10-25 02:30:00 CET, 10-25 03:30:00 CET");
    assert_string_equal(instants("*/30 */2 * * *", "America/New_York",
                                 "2026-03-08 05:45:00", 2),
                        "03-08 04:00:00 EDT, 03-08 04:30:00 EDT");
    assert_string_equal(
        instants("0,45 * * * *", "Australia/Lord_Howe", "2026-04-04 14:00:00",
                 4),
        "04-05 01:45:00 +11, 04-05 01:45:00 +1030, 04-05 02:00:00 +1030, "
        "04-05 02:45:00 +1030");
}

static void zones_of_the_world(void **state)
{
    (void)state;
    /* Samoa had no 30th of December in 2011. */
    assert_string_equal(
        instants("0 12 * * *", "Pacific/Apia", "2011-12-29 12:00:00", 4),
        "12-29 12:00:00 -10, 12-31 00:00:00 +14, 12-31 12:00:00 +14, "
        "01-01 12:00:00 +14");
    assert_string_equal(
        instants("0 12 30 12 *", "Pacific/Apia", "2011-12-29 12:00:00", 2),
        "12-31 00:00:00 +14, 12-30 12:00:00 +14");
    assert_string_equal(
        instants("0 */12 * * *", "Pacific/Apia", "2011-12-29 22:30:00", 3),
        "12-31 00:00:00 +14, 12-31 12:00:00 +14, 01-01 00:00:00 +14");
    assert_string_equal(
        instants("0 0 * * *", "Asia/Kathmandu", "2026-01-01 00:00:00", 1),
        "01-02 00:00:00 +0545");
    /* Morocco leaves summer time for Ramadan. */
    assert_string_equal(
        instants("30 2 * * *", "Africa/Casablanca", "2026-02-14 12:00:00", 2),
        "02-15 02:30:00 +01, 02-16 02:30:00 +00");
    assert_string_equal(
        instants("30 2 * * *", "Africa/Casablanca", "2026-03-21 12:00:00", 2),
        "03-22 03:00:00 +01, 03-23 02:30:00 +01");
}

static void a_zone_has_to_exist(void **state)
{
    static const struct {
        const char *name, *text;
        int rc;
    } rows[] = {
        {"Europe/Berln", "did you mean Europe/Berlin?", ERR_MISSING},
        {"europe/berlin", "did you mean Europe/Berlin?", ERR_MISSING},
        {"Kathmandu", "did you mean Asia/Kathmandu?", ERR_MISSING},
        {"Mars/Olympus_Mons", "\"Mars/Olympus_Mons\" is unknown", ERR_MISSING},
        {"Europe", "\"Europe\" is unknown", ERR_MISSING},
        {"tzdata.zi", "is no name of one", ERR_INVALID},
        {"../../../etc/passwd", "is no name of one", ERR_INVALID},
        {"/etc/passwd", "is no name of one", ERR_INVALID},
        {"", "is no name of one", ERR_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct errbuf eb = {""};
        struct zone *z;
        int rc = zone_open(rows[i].name, &z, &eb);
        if (rc != rows[i].rc || strstr(eb.text, rows[i].text) == NULL)
            fail_msg("%s: %d %s", rows[i].name, rc, eb.text);
    }
}

static void without_rules_only_utc_is_known(void **state)
{
    struct errbuf eb = {""};
    struct zone *z;
    (void)state;
    (void)setenv("TZDIR", "/nonexistent", 1);
    assert_int_equal(zone_open("Asia/Tokyo", &z, &eb), ERR_SYSTEM);
    assert_non_null(strstr(eb.text, "install tzdata"));
    assert_int_equal(zone_open("UTC", &z, &eb), 0);
    zone_free(z);
    (void)unsetenv("TZDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_an_expression),
        cmocka_unit_test(days_match_by_either_field_when_both_are_restricted),
        cmocka_unit_test(rare_days_are_found),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_fixed_time_that_is_left_out_comes_right_behind),
        cmocka_unit_test(a_fixed_time_that_comes_twice_is_the_first),
        cmocka_unit_test(every_hour_goes_by_elapsed_time),
        cmocka_unit_test(zones_of_the_world),
        cmocka_unit_test(a_zone_has_to_exist),
        cmocka_unit_test(without_rules_only_utc_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
