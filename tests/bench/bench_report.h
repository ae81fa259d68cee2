#ifndef TESTS_BENCH_BENCH_REPORT_H
#define TESTS_BENCH_BENCH_REPORT_H

#include <stdio.h>

#include "tests/bench/bench.h"

/* What people read, and what programs read. */

/* Prints the figures of a section as a table. */
void report_section(const struct section *s);

/* What the figures were measured on; redis is the version of the server. */
struct machine {
    char redis[32];
    double load; /* of the minute before the first round */
};
void report_machine(struct machine *m, struct redis *r);

/*
 * Writes all figures, each round's raw values too. Returns 0, or -1 with errno
 * when it cannot.
 */
int report_json(FILE *out, const struct bench *b, const struct machine *m,
                unsigned rounds);

#endif
