#ifndef EXAMPLES_MONITOR_DAY_H
#define EXAMPLES_MONITOR_DAY_H

#include <stdint.h>

/* Dates as whole days since 1970-01-01, and as text: "2026-06-30". */
enum { DAY_TEXT = 11 };

/* Returns 0, or -1 if text is no date of the calendar. */
int day_parse(const char *text, int32_t *ret_day);

/* Writes DAY_TEXT bytes, for years from 0 to 9999, and returns out. */
const char *day_text(int32_t day, char *out);

#endif
