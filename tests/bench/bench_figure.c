/*
 * Figures: what was recorded, and the little arithmetic on it.
 *
 * Thread: main.
 */
#include "tests/bench/bench_figure.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static struct series *all; /* owned */
static size_t count;
static const struct section *current;

void figures_begin(const struct section *s)
{
    current = s;
}

const struct series *figures_get(size_t i)
{
    return i < count ? &all[i] : NULL;
}

static struct series *find(const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].section == current && strcmp(all[i].figure.name, name) == 0)
            return &all[i];
    return NULL;
}

static struct series *add(const struct figure *f)
{
    all = mem_resize(all, (count + 1) * sizeof(*all));
    all[count] = (struct series){.section = current, .figure = *f};
    all[count].figure.name = all[count].name = mem_strdup(f->name);
    return &all[count++];
}

void bench_record(struct bench *b, const struct figure *f, double value,
                  double reference)
{
    struct series *s = find(f->name);
    size_t size;

    if (s == NULL)
        s = add(f);
    if (s->count != b->round)
        bench_fail("%s: \"%s\" has %zu values in round %u", current->name,
                   f->name, s->count, b->round + 1);
    if (!isfinite(value) ||
        (f->against != NULL && !(isfinite(reference) && reference > 0)))
        bench_fail("%s: \"%s\" is %g against %g", current->name, f->name, value,
                   reference);
    size = (s->count + 1) * sizeof(double);
    s->values = mem_resize(s->values, size);
    s->references = mem_resize(s->references, size);
    s->values[s->count] = value;
    s->references[s->count++] = reference;
}

void figures_check(const struct section *s, size_t rounds)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].section == s && all[i].count != rounds)
            bench_fail("%s: \"%s\" has %zu values of %zu rounds", s->name,
                       all[i].figure.name, all[i].count, rounds);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t n, double share)
{
    size_t at = (size_t)(share * (double)n);

    assert(n > 0);
    qsort(values, n, sizeof(*values), by_value);
    return values[at < n ? at : n - 1];
}

/* Of values, each divided by its reference if there are any. */
static struct spread spread_of(const double *values, const double *references,
                               size_t n)
{
    double *sorted = mem_new(n * sizeof(*sorted));
    struct spread s;

    for (size_t i = 0; i < n; i++)
        sorted[i] = references != NULL ? values[i] / references[i] : values[i];
    s.median = bench_quantile(sorted, n, 0.5);
    s.min = sorted[0];
    s.max = sorted[n - 1];
    free(sorted);
    return s;
}

struct spread series_values(const struct series *s)
{
    return spread_of(s->values, NULL, s->count);
}

struct spread series_ratios(const struct series *s)
{
    return spread_of(s->values, s->references, s->count);
}

bool series_meets_goal(const struct series *s)
{
    switch (s->figure.goal) {
    case GOAL_RATIO_MIN:
        return series_ratios(s).median >= s->figure.limit;
    case GOAL_RATIO_MAX:
        return series_ratios(s).median <= s->figure.limit;
    case GOAL_VALUE_MAX:
        return series_values(s).median <= s->figure.limit;
    case GOAL_NONE:
        break;
    }
    return true;
}

void figures_done(void)
{
    for (size_t i = 0; i < count; i++) {
        free(all[i].name);
        free(all[i].values);
        free(all[i].references);
    }
    free(all);
    all = NULL;
    count = 0;
}
