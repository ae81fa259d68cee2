#ifndef PRODUCER_AGE_H
#define PRODUCER_AGE_H

#include <stdint.h>

/*
 * Writes a span for a table: its largest unit that fits, as in "3m", "2d";
 * "0s" for negative ones. Returns out.
 */
const char *age_format(int64_t ms, char out[32]);

#endif
