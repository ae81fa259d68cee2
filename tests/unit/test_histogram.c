/*
 * Claims about how waits and runs are counted and told.
 */
#include "worker/histogram.h"

#include <string.h>

#include "tests/unit/unit.h"

static int64_t told(const struct settle_count *counts, unsigned n,
                    const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(counts[i].name, name) == 0)
            return counts[i].n;
    return -1;
}

static void bucket_is_the_power_above(void **state)
{
    static const struct {
        int64_t us;
        unsigned bucket;
    } rows[] = {{INT64_MIN, 0},
                {-5, 0},
                {0, 0},
                {999, 0},
                {1000, 1},
                {1999, 1},
                {2000, 2},
                {3999, 2},
                {4000, 3},
                {1023999, 10},
                {1024000, 11},
                {(1LL << 30) * 1000 - 1, 30},
                {(1LL << 30) * 1000, 31},
                {INT64_MAX, 31}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(histogram_bucket(rows[i].us), rows[i].bucket);
}

static void what_was_told_is_not_told_again(void **state)
{
    struct settle_count counts[TIMES_COUNTS];
    struct times t = {0}, out;
    unsigned n;

    (void)state;
    histogram_add(&t.wait, 5000);
    histogram_add(&t.wait, 5900);
    histogram_add(&t.run, 600);
    t.runs = 2;
    n = times_tell(&t, counts, &out);
    assert_int_equal(n, 4);
    assert_int_equal(told(counts, n, "started"), 2);
    assert_int_equal(told(counts, n, "wait:3"), 2);
    assert_int_equal(told(counts, n, "wait_ms"), 10);
    assert_int_equal(told(counts, n, "run:0"), 1);
    assert_int_equal(out.runs, 2);
    assert_int_equal(t.runs, 0);
    assert_int_equal(times_tell(&t, counts, &out), 0);
}

static void parts_of_a_millisecond_are_kept(void **state)
{
    struct settle_count counts[TIMES_COUNTS];
    struct times t = {0}, out;
    int64_t sum = 0;

    (void)state;
    for (int i = 0; i < 10; i++) {
        histogram_add(&t.run, 600);
        unsigned n = times_tell(&t, counts, &out);
        int64_t ms = told(counts, n, "run_ms");
        sum += ms > 0 ? ms : 0;
        if (i % 2 == 1 && ms > 0) { /* and what comes back is whole */
            times_give_back(&t, &out);
            n = times_tell(&t, counts, &out);
            assert_int_equal(told(counts, n, "run_ms"), ms);
            assert_int_equal(told(counts, n, "run:0"), 1);
        }
    }
    assert_int_equal(sum, 6);
}

static void every_counter_fits(void **state)
{
    struct settle_count counts[TIMES_COUNTS];
    struct times t = {0}, out;

    (void)state;
    for (int k = 0; k < HISTOGRAM_BUCKETS; k++) {
        histogram_add(&t.wait, (k > 0 ? 1LL << (k - 1) : 0) * 1000);
        histogram_add(&t.run, (k > 0 ? 1LL << (k - 1) : 0) * 1000);
    }
    t.runs = 32;
    assert_int_equal(times_tell(&t, counts, &out), TIMES_COUNTS);
    assert_int_equal(told(counts, TIMES_COUNTS, "wait:31"), 1);
    assert_int_equal(told(counts, TIMES_COUNTS, "run:0"), 1);
    histogram_add(&t.run, INT64_MAX - 5);
    histogram_add(&t.run, INT64_MAX - 5);
    assert_true(t.run.sum_us > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_is_the_power_above),
        cmocka_unit_test(what_was_told_is_not_told_again),
        cmocka_unit_test(parts_of_a_millisecond_are_kept),
        cmocka_unit_test(every_counter_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
