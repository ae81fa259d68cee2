#ifndef COMMON_JOB_CRON_H
#define COMMON_JOB_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/job/zone.h"

/*
 * A cron expression, and the instants that it means.
 *
 *     [second] minute hour day-of-month month day-of-week
 *
 * Five fields, or six with the second in front; each a list of *, N, N-M,
 * any of them with /STEP (N/STEP is N to the end). Months and days have their
 * English names of three letters too; 0 and 7 are both Sunday; ? is *. L is
 * the last day of the month, FRI#2 its second Friday, FRIL its last. When day
 * of month and day of week are both restricted, that is, neither begins with
 * *, a day needs to match one of them only (as in Vixie's cron), else both.
 * Or @yearly @annually @monthly @weekly @daily @midnight @hourly, or @every D
 * with a duration, as in "@every 90s": so long after the last one.
 *
 * The local clock at changes of daylight saving time: an expression whose
 * hour begins with * (every hour, or every n-th) means every instant at which
 * the clock shows a time that matches: none in an hour that is left out, both
 * in one that comes twice. Any other one means for each time that matches the
 * first instant at which the clock shows that time or a later one: so what is
 * left out comes right behind it, once, and what comes twice counts the first
 * time.
 *
 * Instants are milliseconds since 1970. Any thread.
 */
#define CRON_SPEC_MAX_LEN 255
#define CRON_EVERY_MIN_MS 1000

struct cron {
    int64_t every_ms; /* of @every, else 0, and the rest counts */
    uint64_t seconds, minutes;
    uint32_t hours, days, months; /* bit n for n; months from 1 */
    uint8_t weekdays;             /* bit 0: Sunday */
    uint8_t nth[7];               /* of a weekday: bit n: the n-th, 0: last */
    bool last_day;
    bool either;  /* day of month or day of week, not both */
    bool elapsed; /* the hour begins with * */
};

/*
 * ERR_INVALID names the field and the text. What never comes, as the 30th of
 * February, is refused.
 */
int cron_parse(const char *text, struct cron *ret, struct errbuf *eb);

/*
 * The first instant after after_ms, from 1970 on; -1 if there is none before
 * the year 10000.
 */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms);

/* A date and time as a clock shows it. */
struct cron_clock {
    int year, month, day, hour, minute, second;
    int weekday; /* 0: Sunday */
};

/* local: seconds since 1970 as if the clock showed UTC. */
void cron_clock(int64_t local, struct cron_clock *ret);

/* Whether some day of some year matches: cron_parse asks. */
bool cron_ever(const struct cron *c);

#endif
