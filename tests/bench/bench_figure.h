#ifndef TESTS_BENCH_BENCH_FIGURE_H
#define TESTS_BENCH_BENCH_FIGURE_H

#include "tests/bench/bench.h"

/* Figures, between those who record them and those who report them. */

struct series {
    const struct section *section; /* borrowed */
    char *name;                    /* owned; figure.name too */
    struct figure figure;
    double *values, *references; /* owned, one for each round */
    size_t count;
};

struct spread {
    double min, median, max;
};

/* To whom figures belong from now on. */
void figures_begin(const struct section *s);

/* Lends the i-th of all until figures_done; NULL: there are no more. */
const struct series *figures_get(size_t i);

/* Fails unless every figure of the section has so many values. */
void figures_check(const struct section *s, size_t rounds);

struct spread series_values(const struct series *s);
struct spread series_ratios(const struct series *s); /* needs a reference */
bool series_meets_goal(const struct series *s);

void figures_done(void);

#endif
