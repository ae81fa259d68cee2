/*
 * Dates: the proleptic Gregorian calendar, counted in years that begin in
 * March, so that the leap day is the last of its year.
 */
#include "day.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum {
    YEAR_0_TO_1970 = 719468, /* days from 0000-03-01 to 1970-01-01 */
    DAYS_OF_400_YEARS = 146097
};

static int32_t from_date(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int of_march = (month + 9) % 12;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * of_march + 2) / 5 +
           day - 1 - YEAR_0_TO_1970;
}

const char *day_text(int32_t day, char *out)
{
    int32_t n = day + YEAR_0_TO_1970;
    int32_t era = n / DAYS_OF_400_YEARS, left = n % DAYS_OF_400_YEARS;
    int32_t y = (left - left / 1460 + left / 36524 - left / 146096) / 365;
    int32_t of_year = left - (365 * y + y / 4 - y / 100);
    int of_march = (5 * of_year + 2) / 153;
    int d = of_year - (153 * of_march + 2) / 5 + 1;
    int m = of_march < 10 ? of_march + 3 : of_march - 9;
    int year = y + era * 400 + (m <= 2);
    const int part[] = {year / 1000, year / 100, year / 10, year,   -1,
                        m / 10,      m,          -1,        d / 10, d};

    for (int i = 0; i < DAY_TEXT - 1; i++)
        if (part[i] < 0)
            out[i] = '-';
        else
            out[i] = "0123456789"[part[i] % 10];
    out[DAY_TEXT - 1] = '\0';
    return out;
}

static bool looks_like_one(const char *text)
{
    for (int i = 0; i < DAY_TEXT - 1; i++)
        if (i == 4 || i == 7 ? text[i] != '-'
                             : !isdigit((unsigned char)text[i]))
            return false;
    return text[DAY_TEXT - 1] == '\0';
}

int day_parse(const char *text, int32_t *ret_day)
{
    char back[DAY_TEXT];

    if (text == NULL || !looks_like_one(text))
        return -1;
    int year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 +
               (text[2] - '0') * 10 + (text[3] - '0');
    int month = (text[5] - '0') * 10 + (text[6] - '0');
    int day = (text[8] - '0') * 10 + (text[9] - '0');
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31)
        return -1;
    /* 2025-02-30 comes back as another day. */
    int32_t n = from_date(year, month, day);
    if (strcmp(day_text(n, back), text) != 0)
        return -1;
    *ret_day = n;
    return 0;
}
