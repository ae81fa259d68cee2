/*
 * Instant: times as RFC 3339 writes them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "report.h"

/* The number of n digits at *at, which moves on; -1: not that many. */
static int digits(const char **at, int n)
{
    int value = 0;

    for (; n > 0; n--, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        value = 10 * value + (**at - '0');
    }
    return value;
}

static bool is_next(const char **at, const char *chars)
{
    for (; *chars != '\0'; chars++)
        if (**at == *chars) {
            (*at)++;
            return true;
        }
    return false;
}

/* "Z", "+01:00": seconds to be taken away. */
static bool read_offset(const char **at, int *ret)
{
    if (is_next(at, "Zz")) {
        *ret = 0;
        return true;
    }
    int sign = **at == '-' ? -1 : 1;
    if (!is_next(at, "+-"))
        return false;
    int hours = digits(at, 2);
    if (hours < 0 || hours > 23 || !is_next(at, ":"))
        return false;
    int minutes = digits(at, 2);
    *ret = sign * (hours * 3600 + minutes * 60);
    return minutes >= 0 && minutes <= 59;
}

static void skip_fraction(const char **at)
{
    if (**at != '.' || (*at)[1] < '0' || (*at)[1] > '9')
        return;
    do
        (*at)++;
    while (**at >= '0' && **at <= '9');
}

int instant_read(const char *text, int64_t *ret)
{
    const char *at = text;
    struct tm tm = {0}, back;
    int offset;

    tm.tm_year = digits(&at, 4) - 1900;
    if (tm.tm_year < -1900 || !is_next(&at, "-"))
        return -1;
    tm.tm_mon = digits(&at, 2) - 1;
    if (!is_next(&at, "-"))
        return -1;
    tm.tm_mday = digits(&at, 2);
    if (!is_next(&at, "Tt "))
        return -1;
    tm.tm_hour = digits(&at, 2);
    if (!is_next(&at, ":"))
        return -1;
    tm.tm_min = digits(&at, 2);
    if (!is_next(&at, ":"))
        return -1;
    tm.tm_sec = digits(&at, 2);
    skip_fraction(&at);
    if (!read_offset(&at, &offset) || *at != '\0')
        return -1;

    /* No 30th of February, no 25th hour: those come back as something else. */
    struct tm same = tm;
    time_t t = timegm(&same);
    if (gmtime_r(&t, &back) == NULL || back.tm_year != tm.tm_year ||
        back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday ||
        back.tm_hour != tm.tm_hour || back.tm_min != tm.tm_min ||
        back.tm_sec != tm.tm_sec)
        return -1;
    *ret = (int64_t)t - offset;
    return 0;
}
