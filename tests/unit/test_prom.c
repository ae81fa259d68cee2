/*
 * Claims about metrics as text: what promtool refuses is not written.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/prom.h"

static void a_family_has_its_head_and_its_samples(void **state)
{
    struct buf b = {0};
    (void)state;
    prom_family(&b, "belt_x_total", PROM_COUNTER, "How many.");
    prom_int(&b, "belt_x_total", NULL, 7);
    prom_int(&b, "belt_x_total",
             (const struct prom_label[]){
                 {"queue", "q"}, {"state", "ready"}, {NULL, NULL}},
             INT64_C(9007199254740993));
    assert_string_equal(b.data, "# HELP belt_x_total How many.\n"
                                "# TYPE belt_x_total counter\n"
                                "belt_x_total 7\n"
                                "belt_x_total{queue=\"q\",state=\"ready\"} "
                                "9007199254740993\n");
    buf_done(&b);
}

static void values_of_labels_are_escaped(void **state)
{
    struct buf b = {0};
    (void)state;
    prom_int(
        &b, "x",
        (const struct prom_label[]){{"a", "q\"\\\n\x1b\xff"}, {NULL, NULL}}, 1);
    assert_string_equal(b.data, "x{a=\"q\\\"\\\\\\\\n\\\\x1b\\\\xff\"} 1\n");
    buf_done(&b);
}

static void fractions_are_exact(void **state)
{
    static const struct {
        int64_t n, per;
        const char *text;
    } rows[] = {{0, 1000, "x 0\n"},
                {1, 1000000, "x 0.000001\n"},
                {1500, 1000, "x 1.5\n"},
                {-2250, 1000, "x -2.25\n"},
                {-1, 1000, "x -0.001\n"},
                {1000, 1000, "x 1\n"},
                {INT64_MAX, 1000000, "x 9223372036854.775807\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = {0};
        prom_fraction(&b, "x", NULL, rows[i].n, rows[i].per);
        assert_string_equal(b.data, rows[i].text);
        buf_done(&b);
    }
}

static void buckets_add_up(void **state)
{
    static const int64_t le_us[] = {4000, 16000, 4194304000};
    static const uint64_t n[] = {2, 0, 3};
    struct buf b = {0};
    (void)state;
    prom_times(&b, "x", (const struct prom_label[]){{"q", "a"}, {NULL, NULL}},
               le_us, n, 3, 4, 1234567);
    assert_string_equal(b.data, "x_bucket{q=\"a\",le=\"0.004\"} 2\n"
                                "x_bucket{q=\"a\",le=\"0.016\"} 2\n"
                                "x_bucket{q=\"a\",le=\"4194.304\"} 5\n"
                                "x_bucket{q=\"a\",le=\"+Inf\"} 9\n"
                                "x_sum{q=\"a\"} 1.234567\n"
                                "x_count{q=\"a\"} 9\n");
    buf_clear(&b);
    prom_times(&b, "x", NULL, le_us, n, 1, 0, 0);
    assert_string_equal(b.data, "x_bucket{le=\"0.004\"} 2\n"
                                "x_bucket{le=\"+Inf\"} 2\n"
                                "x_sum 0\nx_count 2\n");
    buf_done(&b);
}

static double value(const struct buf *b, const char *name)
{
    const char *s = strstr(b->data, name);
    assert_non_null(s);
    return strtod(s + strlen(name), NULL);
}

static void the_process_is_described(void **state)
{
    struct buf b = {0};
    int64_t all, resident;
    (void)state;
    process_memory(&all, &resident);
    assert_true(resident > 0 && all >= resident);
    prom_process(&b, 1700000000500);
    assert_true(value(&b, "\nprocess_resident_memory_bytes ") >= 4096);
    assert_true(value(&b, "\nprocess_open_fds ") >= 3);
    assert_true(value(&b, "\nprocess_open_fds ") <= 100);
    assert_true(value(&b, "\nprocess_max_fds ") >=
                value(&b, "\nprocess_open_fds "));
    assert_true(value(&b, "\nprocess_cpu_seconds_total ") < 60);
    assert_non_null(strstr(b.data, "\nprocess_start_time_seconds "
                                   "1700000000.5\n"));
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_has_its_head_and_its_samples),
        cmocka_unit_test(values_of_labels_are_escaped),
        cmocka_unit_test(fractions_are_exact),
        cmocka_unit_test(buckets_add_up),
        cmocka_unit_test(the_process_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
