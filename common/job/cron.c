/*
 * Cron: from an expression to the next instant.
 *
 * The search is on the local clock, day by day, and then from its time to the
 * instant by the zone's rules. Neither loop has more turns than there are days
 * in HORIZON_YEARS: every expression that cron_parse lets through comes within
 * forty years (a 29th of February on a certain weekday, around 2100).
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/cron.h"

#include <assert.h>

enum { HORIZON_YEARS = 60, CYCLE_YEARS = 28 };

#define DAY_S 86400LL
#define HORIZON_S (HORIZON_YEARS * 366 * DAY_S)
#define END_S (253402300800LL - 2 * DAY_S) /* the year 10000, in any zone */
#define STEP_S (400 * DAY_S) /* how far it looks for a change of the rules */

static const int8_t month_days[] = {31, 28, 31, 30, 31, 30,
                                    31, 31, 30, 31, 30, 31};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in(int year, int month)
{
    return month_days[month - 1] + (month == 2 && is_leap(year));
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;

    return q - (a % b < 0);
}

/* Days since 1970 of a date in the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    /* From March on, so that the leap day is the last of its year. */
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9;

    return 365 * y + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) +
           (153 * m + 2) / 5 + day - 1 - 719468;
}

/* A day that the search stands on. */
struct date {
    int64_t days; /* since 1970 */
    int year, month, day, weekday;
};

static void date_of(int64_t days, struct date *d)
{
    int year = (int)(1970 + floor_div(days * 400, 146097));

    while (days_of(year, 1, 1) > days)
        year--;
    while (days_of(year + 1, 1, 1) <= days)
        year++;
    int rest = (int)(days - days_of(year, 1, 1));
    int month = 1;
    for (; rest >= days_in(year, month); month++)
        rest -= days_in(year, month);
    *d = (struct date){.days = days,
                       .year = year,
                       .month = month,
                       .day = rest + 1,
                       .weekday = (int)(days + 4 - 7 * floor_div(days + 4, 7))};
}

void cron_clock(int64_t local, struct cron_clock *ret)
{
    int64_t days = floor_div(local, DAY_S);
    int s = (int)(local - days * DAY_S);
    struct date d;

    date_of(days, &d);
    *ret = (struct cron_clock){.year = d.year,
                               .month = d.month,
                               .day = d.day,
                               .hour = s / 3600,
                               .minute = s / 60 % 60,
                               .second = s % 60,
                               .weekday = d.weekday};
}

static void next_day(struct date *d)
{
    d->days++;
    d->weekday = (d->weekday + 1) % 7;
    if (++d->day <= days_in(d->year, d->month))
        return;
    d->day = 1;
    if (++d->month <= 12)
        return;
    d->month = 1;
    d->year++;
}

static bool day_matches(const struct cron *c, const struct date *d)
{
    int last = days_in(d->year, d->month);
    unsigned nth = c->nth[d->weekday];

    if ((c->months >> d->month & 1) == 0)
        return false;
    bool of_month =
        (c->days >> d->day & 1) != 0 || (c->last_day && d->day == last);
    bool of_week = (c->weekdays >> d->weekday & 1) != 0 ||
                   (nth >> ((d->day - 1) / 7 + 1) & 1) != 0 ||
                   ((nth & 1) != 0 && d->day + 7 > last);
    return c->either ? of_month || of_week : of_month && of_week;
}

/* The first second of a day, at or after from, or -1. */
static int time_from(const struct cron *c, int from)
{
    for (int t = from; t < DAY_S;) {
        int h = t / 3600, m = t / 60 % 60, s = t % 60;
        if ((c->hours >> h & 1) == 0) {
            t = (h + 1) * 3600;
        } else if ((c->minutes >> m & 1) == 0 || c->seconds >> s == 0) {
            t = (t / 60 + 1) * 60;
        } else {
            return t + __builtin_ctzll(c->seconds >> s);
        }
    }
    return -1;
}

/* The first local time at or after from, and before limit; else limit. */
static int64_t local_from(const struct cron *c, int64_t from, int64_t limit)
{
    struct date d;
    int rest = (int)(from - floor_div(from, DAY_S) * DAY_S);

    for (date_of(floor_div(from, DAY_S), &d); d.days * DAY_S < limit;
         next_day(&d), rest = 0) {
        int t = day_matches(c, &d) ? time_from(c, rest) : -1;
        if (t >= 0)
            return d.days * DAY_S + t < limit ? d.days * DAY_S + t : limit;
    }
    return limit;
}

bool cron_ever(const struct cron *c)
{
    struct date d;
    int64_t end = days_of(2001 + CYCLE_YEARS, 1, 1);

    for (date_of(days_of(2001, 1, 1), &d); d.days < end; next_day(&d)) {
        if (day_matches(c, &d))
            return true;
    }
    return false;
}

/* Every instant whose local time matches, rule by rule of the zone. */
static int64_t next_elapsed(const struct cron *c, const struct zone *z,
                            int64_t from, int64_t end)
{
    while (from < end) {
        int64_t offset = zone_offset(z, from);
        int64_t until = zone_next_change(z, from, from + STEP_S);
        int64_t at = local_from(c, from + offset, until + offset) - offset;
        if (at < until)
            return at;
        from = until;
    }
    return -1;
}

/* The latest that the local clock has shown at or before an instant. */
static int64_t high_water(const struct zone *z, int64_t at)
{
    int64_t high = at + zone_offset(z, at);

    for (int64_t from = at - 2 * DAY_S; from <= at;) {
        int64_t until = zone_next_change(z, from, at + 1);
        int64_t shown = until - 1 + zone_offset(z, until - 1);
        high = shown > high ? shown : high;
        from = until;
    }
    return high;
}

/* The first instant after after at which the clock shows local or later. */
static int64_t instant_of(const struct zone *z, int64_t local, int64_t after)
{
    int64_t from = local - DAY_S > after ? local - DAY_S : after + 1;

    for (;;) {
        int64_t at = local - zone_offset(z, from);
        int64_t until = zone_next_change(z, from, local + 2 * DAY_S);
        if (at <= from)
            return from;
        if (at < until)
            return at;
        assert(until < local + 2 * DAY_S); /* offsets are less than a day */
        from = until;
    }
}

static int64_t next_fixed(const struct cron *c, const struct zone *z,
                          int64_t after, int64_t end)
{
    int64_t high = high_water(z, after);
    int64_t local = local_from(c, high + 1, end);

    return local < end ? instant_of(z, local, after) : -1;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms)
{
    int64_t after = floor_div(after_ms, 1000);

    if (after >= END_S)
        return -1;
    if (after < 0)
        after_ms = after = 0;
    if (c->every_ms > 0)
        return after_ms + c->every_ms;
    int64_t end = after + HORIZON_S < END_S ? after + HORIZON_S : END_S;
    int64_t at = c->elapsed ? next_elapsed(c, z, after + 1, end)
                            : next_fixed(c, z, after, end);
    return at < 0 ? -1 : at * 1000;
}
