/*
 * Age: spans that people read at a glance.
 *
 * Thread: any.
 */
#include "producer/age.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

const char *age_format(int64_t ms, char out[32])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};
    size_t i = 0;

    if (ms < 0)
        ms = 0;
    while (i < 3 && ms < units[i].ms)
        i++;
    snprintf(out, 32, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
    return out;
}
