/*
 * The arithmetic of figures, and that what is wrong ends the program.
 *
 * Thread: main.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/bench/bench_figure.h"
#include "tests/bench/fails.h"

static const struct section section = {.name = "section"};

static const struct series *record(const struct figure *f, const double *values,
                                   const double *references, unsigned n)
{
    struct bench b = {0};

    figures_begin(&section);
    for (; b.round < n; b.round++)
        bench_record(&b, f, values[b.round], references[b.round]);
    return figures_get(0);
}

static void a_ratio_is_of_the_same_round(void **state)
{
    static const double values[] = {10, 90, 20, 40, 30},
                        references[] = {10, 30, 40, 10, 30};
    struct figure f = {.name = "x", .unit = "s", .against = "y"};
    const struct series *s = record(&f, values, references, 5);
    struct spread v = series_values(s), r = series_ratios(s);

    (void)state;
    assert_true(v.min == 10 && v.median == 30 && v.max == 90);
    assert_true(r.min == 0.5 && r.median == 1 && r.max == 4);
    assert_true(s->values[1] == 90); /* still in the order of the rounds */
    figures_done();
}

static bool meets(enum goal goal, double limit)
{
    static const double values[] = {3, 1, 2}, references[] = {2, 2, 2};
    struct figure f = {"x", "s", "y", goal, limit};
    bool met = series_meets_goal(record(&f, values, references, 3));

    figures_done();
    return met;
}

static void goals_are_about_the_median(void **state)
{
    (void)state;
    assert_true(meets(GOAL_RATIO_MIN, 1) && !meets(GOAL_RATIO_MIN, 1.01));
    assert_true(meets(GOAL_RATIO_MAX, 1) && !meets(GOAL_RATIO_MAX, 0.99));
    assert_true(meets(GOAL_VALUE_MAX, 2) && !meets(GOAL_VALUE_MAX, 1.99));
    assert_true(meets(GOAL_NONE, 0));
}

static const struct figure compared = {
    .name = "x", .unit = "s", .against = "y"};

static void record_infinite(struct bench *b)
{
    bench_record(b, &compared, INFINITY, 1);
}

static void record_against_nothing(struct bench *b)
{
    bench_record(b, &compared, 1, 0);
}

static void record_twice(struct bench *b)
{
    bench_record(b, &compared, 1, 1);
    bench_record(b, &compared, 1, 1);
}

static void forget_a_round(struct bench *b)
{
    bench_record(b, &compared, 1, 1);
    figures_check(&section, 2);
}

static void nonsense_is_refused(void **state)
{
    struct bench b = {0};

    (void)state;
    figures_begin(&section);
    assert_true(fails(record_infinite, &b));
    assert_true(fails(record_against_nothing, &b));
    assert_true(fails(record_twice, &b));
    assert_true(fails(forget_a_round, &b));
}

static void quantiles_are_values_that_were_there(void **state)
{
    double values[100];

    (void)state;
    for (int i = 0; i < 100; i++)
        values[i] = 99 - i;
    assert_true(bench_quantile(values, 100, 0.5) == 50);
    assert_true(bench_quantile(values, 100, 0.99) == 99);
    assert_true(bench_quantile(values, 100, 1) == 99);
    assert_true(bench_quantile(values, 1, 0.5) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ratio_is_of_the_same_round),
        cmocka_unit_test(goals_are_about_the_median),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(quantiles_are_values_that_were_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
