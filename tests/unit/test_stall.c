/* Claims about when a worker is taken to make no progress. */
#include "tests/unit/unit.h"
#include "worker/watchdog.h"

enum { LIMIT = 1000 };

static void what_stands_for_the_limit_is_a_stall(void **state)
{
    struct stall s = {0};
    (void)state;
    assert_false(stall_lasts(&s, true, 7, 5000, LIMIT));
    assert_false(stall_lasts(&s, true, 7, 5999, LIMIT));
    assert_true(stall_lasts(&s, true, 7, 6000, LIMIT));
    assert_true(stall_lasts(&s, true, 7, 9000, LIMIT));
    /* What moves then ends it, whichever way the number goes. */
    assert_false(stall_lasts(&s, true, 6, 9001, LIMIT));
    assert_false(stall_lasts(&s, true, 6, 10000, LIMIT));
    assert_true(stall_lasts(&s, true, 6, 10001, LIMIT));
}

static void what_need_not_move_may_stand(void **state)
{
    struct stall s = {0};
    (void)state;
    assert_false(stall_lasts(&s, true, 7, 5000, LIMIT));
    assert_false(stall_lasts(&s, false, 7, 5999, LIMIT));
    assert_false(stall_lasts(&s, false, 7, 99000, LIMIT));
    /* The time counts from when it has to, not from when it last moved. */
    assert_false(stall_lasts(&s, true, 7, 99001, LIMIT));
    assert_false(stall_lasts(&s, true, 7, 100000, LIMIT));
    assert_true(stall_lasts(&s, true, 7, 100001, LIMIT));
}

static void nothing_moved_yet_counts_too(void **state)
{
    struct stall s = {0};
    (void)state;
    assert_false(stall_lasts(&s, true, 0, 5000, LIMIT));
    assert_true(stall_lasts(&s, true, 0, 6000, LIMIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_for_the_limit_is_a_stall),
        cmocka_unit_test(what_need_not_move_may_stand),
        cmocka_unit_test(nothing_moved_yet_counts_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
