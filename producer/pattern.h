#ifndef PRODUCER_PATTERN_H
#define PRODUCER_PATTERN_H

#include "common/base/buf.h"

/*
 * Appends what errors of one kind have in common: numbers, words of
 * hexadecimal digits, UUIDs, ULIDs and other long words with digits in them
 * become #, what stands in quotes becomes *. At most PATTERN_MAX bytes. Any
 * thread.
 */
#define PATTERN_MAX 200
void pattern_append(struct buf *out, const char *text, size_t n);

#endif
