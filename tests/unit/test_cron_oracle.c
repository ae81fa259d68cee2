/*
 * Cron against brute force: random expressions, minute by minute, with the
 * clock of glibc (TZ), so that neither the search, nor the parser, nor GLib is
 * its own judge.
 */
#include "common/job/cron.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum {
    MINUTES = 400 * 1440,
    RULE_MINUTES = 15, /* all changes of these years are on the quarter */
    EXPRESSIONS = 3,   /* for each zone */
    CHAIN = 40,        /* instants compared from each start */
    STARTS = 25
};

static const struct {
    const char *name;
    int64_t from; /* of a change of the clock, or before a year of them */
} zones[] = {
    {"Europe/Berlin", 1767225600},       {"America/New_York", 1767225600},
    {"Australia/Lord_Howe", 1767225600}, {"Africa/Casablanca", 1767225600},
    {"Asia/Kathmandu", 1767225600},      {"Pacific/Apia", 1309478400},
};

/* An expression as sets, to be written as text and matched naively. */
struct sets {
    bool minutes[60], hours[24], days[32], months[13], weekdays[7];
    bool elapsed, either;
};

static uint64_t seed = 20261126;

static unsigned below(unsigned n)
{
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(seed >> 33) % n;
}

/*
 * Writes a random field and sets what it means. restricted: it does not begin
 * with a star.
 */
static void make_field(struct buf *out, bool *set, int min, int max,
                       bool *ret_restricted)
{
    unsigned kind = below(4);

    *ret_restricted = kind >= 2;
    if (kind < 2) { /* * or a step */
        int step = kind == 0 ? 1 : (int)below((unsigned)(max - min) / 2) + 1;
        buf_str(out, "*");
        if (kind == 1)
            buf_printf(out, "/%d", step);
        for (int n = min; n <= max; n += step)
            set[n] = true;
        return;
    }
    for (unsigned i = 0, count = below(3) + 1; i < count; i++) {
        int from = min + (int)below((unsigned)(max - min + 1));
        int to =
            kind == 2 ? from : from + (int)below((unsigned)(max - from + 1));
        buf_str(out, i > 0 ? "," : "");
        if (to > from)
            buf_printf(out, "%d-%d", from, to);
        else
            buf_int(out, from);
        for (int n = from; n <= to; n++)
            set[n] = true;
    }
}

static void make(struct buf *out, struct sets *s)
{
    bool hour, day, weekday, any;

    *s = (struct sets){.elapsed = false};
    make_field(out, s->minutes, 0, 59, &any);
    buf_char(out, ' ');
    make_field(out, s->hours, 0, 23, &hour);
    buf_char(out, ' ');
    make_field(out, s->days, 1, 31, &day);
    buf_char(out, ' ');
    make_field(out, s->months, 1, 12, &any);
    buf_char(out, ' ');
    make_field(out, s->weekdays, 0, 6, &weekday);
    s->elapsed = !hour;
    s->either = day && weekday;
}

/* local: minutes since 1970 of the clock. */
static bool matches(const struct sets *s, int64_t local)
{
    static int64_t known = -1;
    static struct tm tm;
    time_t day = (time_t)(local / 1440 * 86400);

    if (local / 1440 != known) {
        (void)gmtime_r(&day, &tm);
        known = local / 1440;
    }
    bool d = s->days[tm.tm_mday], w = s->weekdays[tm.tm_wday];
    return s->months[tm.tm_mon + 1] && (s->either ? d || w : d && w) &&
           s->hours[local % 1440 / 60] && s->minutes[local % 60];
}

/* The clock of each minute, in minutes since 1970. */
static void read_clock(const char *zone, int64_t from, int64_t *clock_of)
{
    long offset = 0;

    (void)setenv("TZ", zone, 1);
    tzset();
    for (int i = 0; i < MINUTES; i++) {
        if (i % RULE_MINUTES == 0) {
            time_t at = (time_t)(from + (int64_t)i * 60);
            struct tm tm;
            (void)localtime_r(&at, &tm);
            offset = tm.tm_gmtoff;
        }
        clock_of[i] = (from + (int64_t)i * 60 + offset) / 60;
    }
}

/* Which minutes are meant, by the words of cron.h. */
static void mark(const struct sets *s, const int64_t *clock_of, bool *meant)
{
    int64_t high = clock_of[0];

    for (int i = 1; i < MINUTES; i++) {
        meant[i] = s->elapsed && matches(s, clock_of[i]);
        for (; high < clock_of[i]; high++)
            meant[i] = meant[i] || (!s->elapsed && matches(s, high + 1));
    }
}

static int follow(const struct cron *c, const struct zone *z, int64_t from,
                  int start, const bool *meant)
{
    int at = start;

    for (int n = 0; n < CHAIN; n++) {
        int64_t next = cron_next(c, z, (from + (int64_t)at * 60) * 1000);
        for (at++; at < MINUTES && !meant[at];)
            at++;
        if (at == MINUTES)
            return 0;
        if (next != (from + (int64_t)at * 60) * 1000)
            return at;
    }
    return 0;
}

static void check(const char *zone, int64_t from, const int64_t *clock_of,
                  bool *meant)
{
    struct buf spec = {0};
    struct errbuf eb = {""};
    struct sets s;
    struct cron c;
    struct zone *z;

    make(&spec, &s);
    if (cron_parse(spec.data, &c, &eb) != 0) {
        if (strstr(eb.text, "never comes") == NULL)
            fail_msg("%s", eb.text);
        buf_done(&spec);
        return;
    }
    assert_int_equal(zone_open(zone, &z, &eb), 0);
    mark(&s, clock_of, meant);
    for (int i = 1, starts = 0; i < MINUTES; i++) {
        bool changes = clock_of[i] != clock_of[i - 1] + 1;
        if (!changes && (starts * (MINUTES / STARTS) > i || i < 1440))
            continue;
        starts += !changes;
        /* From the day before, and from within an hour that comes twice. */
        int bad =
            follow(&c, z, from, changes && i > 1440 ? i - 1440 : i, meant);
        if (bad == 0)
            bad = follow(&c, z, from, i, meant);
        if (bad == 0)
            bad = follow(&c, z, from, i + 7 < MINUTES ? i + 7 : i, meant);
        if (bad != 0)
            fail_msg("%s in %s: differs at or before %lld", spec.data, zone,
                     (long long)(from + (int64_t)bad * 60));
    }
    zone_free(z);
    buf_done(&spec);
}

static void it_agrees_with_brute_force(void **state)
{
    int64_t *clock_of = mem_new(MINUTES * sizeof(*clock_of));
    bool *meant = mem_new(MINUTES * sizeof(*meant));

    (void)state;
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        read_clock(zones[i].name, zones[i].from, clock_of);
        for (int n = 0; n < EXPRESSIONS; n++)
            check(zones[i].name, zones[i].from, clock_of, meant);
    }
    free(clock_of);
    free(meant);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_brute_force),
    };
    if (argc > 1) /* for longer searches */
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
