/*
 * Claims about the window: short jobs travel in numbers, long ones are not
 * hoarded.
 */
#include "worker/window.h"

#include <stdbool.h>

#include "tests/unit/unit.h"

enum { SECOND_US = 1000 * 1000 };

static void measured(struct window *w, int64_t run_us, int times)
{
    for (int i = 0; i < times; i++)
        window_done(w, run_us, 0);
}

static void nothing_measured_means_one_for_each_thread(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    assert_int_equal(window_size(&w, 0, 0, 0), 4);
    assert_int_equal(window_size(&w, SECOND_US, 0, 60 * SECOND_US), 4);
}

static void it_holds_what_the_pool_does_in_20_ms(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, 1000, 1);
    /* 4 that run, and 4 threads × 20 jobs ahead */
    assert_in_range(window_size(&w, 0, 0, 0), 84, 85);
}

static void and_in_two_round_trips(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, 1000, 1);
    assert_in_range(window_size(&w, 10000, 0, 0), 164, 165);
}

static void long_jobs_are_not_hoarded(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, SECOND_US, 1);
    assert_int_equal(window_size(&w, 100, 0, 0), 4);
    window_init(&w, 64, 1000);
    measured(&w, 60LL * SECOND_US, 1);
    assert_int_equal(window_size(&w, 100, 0, 0), 64);
}

static void it_is_bounded(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, 0, 1);
    assert_int_equal(window_size(&w, 0, 0, 0), 1000);
    assert_int_equal(window_size(&w, 1000LL * SECOND_US, 0, 0), 1000);
}

static void big_ones_are_fewer(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 10000);
    measured(&w, 0, 1);
    assert_int_equal(window_size(&w, 0, 200, 0), 1004);
    assert_int_equal(window_size(&w, 0, 4096, 0), 1004);
    assert_int_equal(window_size(&w, 0, 8192, 0), 4 + 512);
    assert_int_equal(window_size(&w, 0, WINDOW_BYTES, 0), 5);
    assert_int_equal(window_size(&w, 0, SIZE_MAX, 0), 4);
}

/* A pool that ends n jobs of next to nothing every ms, never idle. */
static void pace(struct window *w, unsigned n)
{
    int64_t now_us = 0;
    window_busy(w, now_us);
    for (unsigned ms = 0; ms < 200; ms++) {
        now_us += 1000;
        for (unsigned i = 0; i < n; i++)
            window_done(w, 1, now_us);
    }
}

static unsigned size_now(const struct window *w, int64_t rtt_us)
{
    return window_size(w, rtt_us, 0, w->last_done_us);
}

static void near_redis_a_thousand_jobs_of_nothing_are_enough(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 10000);
    measured(&w, 0, 1);
    assert_int_equal(size_now(&w, 0), 1004);
    window_trip(&w, 100, 1);
    pace(&w, 300);
    assert_int_equal(size_now(&w, 3000), 1004);
}

static void far_away_it_is_what_really_ends_in_two_round_trips(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 10000);
    window_trip(&w, 10000, 1);
    pace(&w, 300);
    assert_in_range(size_now(&w, 10000), 5990, 6010);
    window_trip(&w, 5000, 2);
    assert_in_range(size_now(&w, 10000), 2990, 3010);
    measured(&w, SECOND_US, 100);
    assert_in_range(size_now(&w, 10000), 4, 5);
}

static void answers_that_had_to_wait_make_redis_no_farther(void **state)
{
    struct window w;
    int64_t now_us = 1;
    (void)state;
    window_init(&w, 4, 10000);
    pace(&w, 300);
    for (; now_us < 60 * SECOND_US; now_us += SECOND_US / 2) {
        bool waited = now_us / SECOND_US % 4 != 0;
        window_trip(&w, waited ? 20000 : 100, now_us);
        assert_int_equal(size_now(&w, 20000), 1004);
    }
    for (int i = 0; i < 40; i++, now_us += SECOND_US / 2) /* all of them */
        window_trip(&w, 10000, now_us);
    assert_in_range(size_now(&w, 10000), 5990, 6010);
}

static void the_pace_is_that_of_a_busy_pool(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 10000);
    window_trip(&w, 10000, 1);
    for (int64_t s = 1; s < 20; s++) { /* idle most of the time */
        window_busy(&w, s * SECOND_US);
        for (int i = 0; i < 1000; i++)
            window_done(&w, 1, s * SECOND_US + 4000);
    }
    assert_int_equal(size_now(&w, 10000), 5004);
    for (int64_t t = 40 * SECOND_US; t < 41 * SECOND_US; t += 1000) {
        window_busy(&w, t + 900); /* the loop is what it waits for */
        for (int i = 0; i < 300; i++)
            window_done(&w, 1, t + 1000);
    }
    assert_in_range(size_now(&w, 10000), 5990, 6010);
}

static void there_is_room_for_every_thread(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 16, 1);
    assert_int_equal(window_size(&w, 0, 0, 0), 16);
    measured(&w, 1, 1);
    assert_int_equal(window_size(&w, 0, 0, 0), 16);
}

static void a_pool_that_is_stuck_shrinks_it(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, 10, 100);
    assert_int_equal(window_size(&w, 0, 0, 0), 1000);
    unsigned before = 1000;
    for (int64_t t = 1000; t <= 2 * SECOND_US; t *= 2) {
        unsigned now = window_size(&w, 0, 0, t);
        assert_true(now <= before);
        before = now;
    }
    assert_int_equal(before, 4);
    window_done(&w, 10, 2 * SECOND_US);
    assert_int_equal(window_size(&w, 0, 0, 2 * SECOND_US), 1000);
}

static void an_idle_pool_is_not_stuck(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, 10, 100);
    assert_int_equal(window_size(&w, 0, 0, 60LL * SECOND_US), 4);
    window_busy(&w, 60LL * SECOND_US);
    assert_int_equal(window_size(&w, 0, 0, 60LL * SECOND_US), 1000);
}

static void it_follows_the_service_time(void **state)
{
    struct window w;
    (void)state;
    window_init(&w, 4, 1000);
    measured(&w, 100, 100);
    window_done(&w, 10000, 0); /* one exception does not empty it */
    assert_in_range(window_size(&w, 0, 0, 0), 80, 200);
    measured(&w, SECOND_US, 100);
    assert_int_equal(window_size(&w, 0, 0, 0), 4);
    measured(&w, 100, 400);
    assert_in_range(window_size(&w, 0, 0, 0), 700, 805);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_measured_means_one_for_each_thread),
        cmocka_unit_test(it_holds_what_the_pool_does_in_20_ms),
        cmocka_unit_test(and_in_two_round_trips),
        cmocka_unit_test(long_jobs_are_not_hoarded),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(near_redis_a_thousand_jobs_of_nothing_are_enough),
        cmocka_unit_test(big_ones_are_fewer),
        cmocka_unit_test(far_away_it_is_what_really_ends_in_two_round_trips),
        cmocka_unit_test(answers_that_had_to_wait_make_redis_no_farther),
        cmocka_unit_test(the_pace_is_that_of_a_busy_pool),
        cmocka_unit_test(there_is_room_for_every_thread),
        cmocka_unit_test(a_pool_that_is_stuck_shrinks_it),
        cmocka_unit_test(an_idle_pool_is_not_stuck),
        cmocka_unit_test(it_follows_the_service_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
