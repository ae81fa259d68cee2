/*
 * Claims about the ring of lines that a run has written.
 */
#include "worker/run_log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

static bool add(struct run_log *g, const char *text)
{
    return run_log_add(g, LOG_LVL_INFO, "stderr", text, strlen(text), false);
}

/* Whether line i (from 0) of what was taken has this in it. */
static void expect(const struct log_lines *l, unsigned i, const char *text)
{
    size_t at = l->at, n = 0;
    const char *p = NULL;
    for (unsigned k = 0; k <= i; k++)
        p = log_lines_next(l, &at, &n);
    if (memmem(p, n, text, strlen(text)) == NULL)
        fail_msg("%.*s is without %s", (int)n, p, text);
}

static void lines_are_json_with_their_numbers(void **state)
{
    struct log_lines l = {0};
    struct run_log *g = run_log_new(3, 0);
    (void)state;
    assert_true(add(g, "one"));
    assert_false(add(g, "tw\"o"));
    (void)run_log_add(g, LOG_LVL_ERROR, "log", "three", 5, true);
    run_log_take(g, &l);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.first, 1);
    expect(&l, 0, "\"at\":");
    expect(&l, 0,
           ",\"attempt\":3,\"source\":\"stderr\",\"level\":\"info\","
           "\"message\":\"one\"}");
    expect(&l, 1, "\"message\":\"tw\\\"o\"}");
    expect(&l, 2,
           "\"source\":\"log\",\"level\":\"error\",\"message\":"
           "\"three\",\"more\":true}");
    log_lines_done(&l);
    assert_true(add(g, "four")); /* they were taken: told anew */
    run_log_take(g, &l);
    assert_int_equal(l.first, 4);
    assert_int_equal(l.count, 1);
    log_lines_done(&l);
    run_log_free(g);
}

static void what_is_no_text_is_base64(void **state)
{
    struct log_lines l = {0};
    struct run_log *g = run_log_new(1, 0);
    (void)state;
    (void)run_log_add(g, LOG_LVL_INFO, "stderr", "a\xff", 2, false);
    (void)run_log_add(g, LOG_LVL_INFO, "stderr", "\0", 1, false);
    run_log_take(g, &l);
    expect(&l, 0, "\"raw\":\"Yf8=\"}");
    expect(&l, 1, "\"raw\":\"AA==\"}");
    log_lines_done(&l);
    run_log_free(g);
}

static void a_line_is_cut_between_two_characters(void **state)
{
    enum { N = RUN_LOG_MESSAGE_MAX + 1 };
    struct log_lines l = {0};
    struct run_log *g = run_log_new(1, 0);
    char *text = mem_new(N);
    (void)state;
    memset(text, 'x', N);
    memcpy(text + N - 2, "\xc3\xa4", 2);
    (void)run_log_add(g, LOG_LVL_INFO, "log", text, N, false);
    run_log_take(g, &l);
    expect(&l, 0, "\"message\":\"xxx");
    expect(&l, 0, "xxx\"}");
    log_lines_done(&l);
    free(text);
    run_log_free(g);
}

static void the_last_thousand_lines_stay(void **state)
{
    struct log_lines l = {0};
    struct run_log *g = run_log_new(1, 0);
    (void)state;
    for (int i = 1; i <= 300000; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "line %d", i);
        (void)add(g, text);
    }
    run_log_take(g, &l);
    assert_int_equal(l.count, RUN_LOG_LINES);
    assert_int_equal(l.first, 300000 - RUN_LOG_LINES + 1);
    expect(&l, 0, "\"line 299001\"");
    expect(&l, RUN_LOG_LINES - 1, "\"line 300000\"");
    assert_true(l.bytes.len < 2 * RUN_LOG_BYTES);
    log_lines_done(&l);
    run_log_free(g);
}

static void bytes_are_bounded_too(void **state)
{
    static char text[10000];
    struct log_lines l = {0};
    struct run_log *g = run_log_new(1, 0);
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 1000; i++)
        (void)add(g, text);
    run_log_take(g, &l);
    assert_in_range(log_lines_bytes(&l), RUN_LOG_BYTES - 11000, RUN_LOG_BYTES);
    assert_int_equal(l.first + l.count, 1001);
    assert_true(l.bytes.len < 3 * RUN_LOG_BYTES);
    log_lines_done(&l);
    run_log_free(g);
}

/* Whoever has no room loses lines, and knows how many. */
static void all_runs_together_are_bounded(void **state)
{
    enum { RUNS = 80 };
    static char text[10000];
    struct run_log *all[RUNS];
    struct log_lines l[RUNS] = {{0}};
    size_t bytes = 0;
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < RUNS; i++) {
        all[i] = run_log_new(1, 0);
        for (int n = 0; n < 30; n++)
            (void)add(all[i], text);
    }
    for (int i = 0; i < RUNS; i++) {
        run_log_take(all[i], &l[i]);
        bytes += log_lines_bytes(&l[i]);
        assert_int_equal(l[i].first + l[i].count, 31);
    }
    assert_in_range(bytes, RUN_LOG_ALL_BYTES - 11000, RUN_LOG_ALL_BYTES);
    assert_int_equal(l[RUNS - 1].count, 0);
    for (int i = 0; i < RUNS; i++) {
        log_lines_done(&l[i]);
        (void)add(all[i], "there is room again");
        run_log_take(all[i], &l[i]);
        assert_int_equal(l[i].count, 1);
        assert_int_equal(l[i].first, 31);
        log_lines_done(&l[i]);
        run_log_free(all[i]);
    }
}

enum { WRITES = 20000 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < WRITES; i++)
        (void)add(arg, "x");
    return NULL;
}

static void one_thread_adds_and_another_takes(void **state)
{
    struct run_log *g = run_log_new(1, 0);
    pthread_t thread;
    int64_t next = 1;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, write_lines, g), 0);
    while (next <= WRITES) {
        struct log_lines l = {0};
        run_log_take(g, &l);
        assert_true(l.first >= next);
        next = l.first + l.count;
        log_lines_done(&l);
    }
    pthread_join(thread, NULL);
    run_log_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_json_with_their_numbers),
        cmocka_unit_test(what_is_no_text_is_base64),
        cmocka_unit_test(a_line_is_cut_between_two_characters),
        cmocka_unit_test(the_last_thousand_lines_stay),
        cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(all_runs_together_are_bounded),
        cmocka_unit_test(one_thread_adds_and_another_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
