#ifndef PRODUCER_COMPLAIN_H
#define PRODUCER_COMPLAIN_H

#include "producer/options.h"

/*
 * Messages for people, on stderr: "belt push: " and the text, one line, with
 * control characters escaped. o may be NULL.
 */
void complain(const struct options *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, and returns status: return fail(o, EX_USAGE, "…"); */
int fail(const struct options *o, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
