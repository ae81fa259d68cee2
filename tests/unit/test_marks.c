/*
 * Claims about the set of ids that are to be cancelled.
 */
#include "worker/marks.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void add(struct marks *m, const char *id)
{
    marks_add(m, id, strlen(id));
}

static void an_empty_set_has_nothing(void **state)
{
    struct marks m = {0};
    (void)state;
    assert_false(marks_has(&m, "a"));
    assert_false(marks_has(&m, ""));
    marks_done(&m);
}

static void what_was_added_is_there_and_nothing_else(void **state)
{
    struct marks m = {0};
    char id[16];
    (void)state;
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(id, sizeof(id), "j%d", 2 * i);
        add(&m, id);
        add(&m, id);
    }
    assert_int_equal(m.count, 5000);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(marks_has(&m, id), i % 2 == 0);
    }
    assert_false(marks_has(&m, "j"));
    assert_false(marks_has(&m, "j00"));
    marks_done(&m);
    assert_false(marks_has(&m, "j0"));
}

/* Anybody may write into the set in Redis. */
static void what_is_no_id_is_passed_over(void **state)
{
    struct marks m = {0};
    char far[66];
    (void)state;
    memset(far, 'a', 65);
    far[65] = '\0';
    marks_add(&m, "", 0);
    marks_add(&m, "a\0b", 3);
    add(&m, "a b");
    add(&m, far);
    assert_int_equal(m.count, 0);
    marks_add(&m, far, 64);
    assert_int_equal(m.count, 1);
    assert_false(marks_has(&m, far));
    marks_done(&m);
}

static void there_is_an_end_to_it(void **state)
{
    struct marks m = {0};
    char id[16];
    (void)state;
    for (int i = 0; i < MARKS_MAX + 10; i++) {
        (void)snprintf(id, sizeof(id), "%d", i);
        add(&m, id);
    }
    assert_int_equal(m.count, MARKS_MAX);
    assert_true(marks_has(&m, "9999"));
    assert_false(marks_has(&m, "10000"));
    marks_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(what_was_added_is_there_and_nothing_else),
        cmocka_unit_test(what_is_no_id_is_passed_over),
        cmocka_unit_test(there_is_an_end_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
