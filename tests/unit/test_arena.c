/*
 * Claims about arenas.
 */
#include "common/base/arena.h"

#include <stdint.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { PIECES = 1000 };

static void pieces_do_not_overlap_and_are_aligned(void **state)
{
    struct arena a = {0};
    unsigned char *pieces[PIECES];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PIECES; i++) {
            size_t n = (size_t)(i * 7919 % 6000); /* some are big */
            pieces[i] = arena_cut(&a, n);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % sizeof(int64_t), 0);
            memset(pieces[i], i % 256, n);
        }
        for (int i = 0; i < PIECES; i++)
            for (size_t k = 0; k < (size_t)(i * 7919 % 6000); k++)
                assert_int_equal(pieces[i][k], i % 256);
        arena_clear(&a);
    }
    arena_done(&a);
}

/* Returns how many blocks there are when so much was used and cleared. */
static unsigned blocks_after(struct arena *a, size_t bytes)
{
    for (size_t i = 0; i < bytes / 100; i++)
        assert_non_null(arena_cut(a, 100));
    arena_clear(a);
    return a->spare;
}

static void memory_is_kept_for_the_next_use_within_a_bound(void **state)
{
    struct arena a = {0};

    (void)state;
    unsigned some = blocks_after(&a, ARENA_KEEP_BYTES / 4);
    assert_true(some > 1);
    assert_int_equal(blocks_after(&a, ARENA_KEEP_BYTES / 4), some);
    unsigned most = blocks_after(&a, ARENA_KEEP_BYTES * 2);
    assert_in_range(most, some, 5 * some);
    assert_int_equal(blocks_after(&a, ARENA_KEEP_BYTES * 20), most);
    arena_done(&a);
}

static void a_small_use_between_big_ones_gives_little_back(void **state)
{
    struct arena a = {0};

    (void)state;
    unsigned some = blocks_after(&a, ARENA_KEEP_BYTES / 2);
    assert_in_range(blocks_after(&a, 100), some - some / 8, some);
    for (int i = 0; i < 200; i++)
        (void)blocks_after(&a, 100);
    assert_int_equal(a.spare, 1);
    arena_done(&a);
}

static void big_pieces_are_never_kept(void **state)
{
    struct arena a = {0};

    (void)state;
    memset(arena_cut(&a, 1000 * 1000), 'x', 1000 * 1000);
    assert_non_null(a.big);
    arena_clear(&a);
    assert_null(a.big);
    assert_int_equal(a.spare, 0);
    arena_done(&a);
}

static void too_much_is_no_memory(void **state)
{
    struct arena a = {0};

    (void)state;
    assert_null(arena_cut(&a, SIZE_MAX));
    assert_null(arena_cut(&a, SIZE_MAX - 8));
    assert_null(arena_cut(&a, SIZE_MAX / 2));
    assert_non_null(arena_cut(&a, 8));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap_and_are_aligned),
        cmocka_unit_test(memory_is_kept_for_the_next_use_within_a_bound),
        cmocka_unit_test(a_small_use_between_big_ones_gives_little_back),
        cmocka_unit_test(big_pieces_are_never_kept),
        cmocka_unit_test(too_much_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
