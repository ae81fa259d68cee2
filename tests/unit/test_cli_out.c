/*
 * Claims about rows that go into memory: the same that go to stdout.
 */
#include <string.h>

#include "producer/out.h"
#include "tests/unit/unit.h"

static const struct column columns[] = {
    {"id", FOR_ALL, false},
    {"age", FOR_PEOPLE, true},
    {"at", FOR_PROGRAMS, true},
    {"error", FOR_ALL, false},
    {0},
};

static void add_row(struct out *out, const char *id, int64_t at_ms,
                    const char *error)
{
    out_str(out, id);
    out_str(out, "3m");
    out_int(out, at_ms);
    out_str(out, error);
    assert_true(out_row(out));
}

static void assert_rows(enum out_format format, int n, const char *expected)
{
    const struct options o = {.format = format};
    struct buf b = {0};

    buf_str(&b, "<");
    struct out *out = out_new_to(&o, columns, &b);
    if (n > 0)
        add_row(out, "a", INT64_MAX, NULL);
    if (n > 1)
        add_row(out, "b\"", 5, "x\ty\xff");
    out_end(out);
    buf_str(&b, ">");
    assert_string_equal(b.data, expected);
    buf_done(&b);
}

static void rows_can_be_written_into_memory(void **state)
{
    (void)state;
    assert_rows(OUT_JSON, 0, "<[]>");
    assert_rows(OUT_JSON, 1,
                "<[\n{\"id\":\"a\",\"at\":9223372036854775807,"
                "\"error\":null}\n]>");
    assert_rows(OUT_JSON, 2,
                "<[\n{\"id\":\"a\",\"at\":9223372036854775807,"
                "\"error\":null},\n"
                "{\"id\":\"b\\\"\",\"at\":5,"
                "\"error\":\"x\\ty\xef\xbf\xbd\"}\n]>");
    assert_rows(OUT_NDJSON, 0, "<>");
    assert_rows(OUT_NDJSON, 1,
                "<{\"id\":\"a\",\"at\":9223372036854775807,"
                "\"error\":null}\n>");
    assert_rows(OUT_TSV, 0, "<id\tat\terror\n>");
    assert_rows(OUT_TSV, 1, "<id\tat\terror\na\t9223372036854775807\t\n>");
    assert_rows(OUT_TABLE, 1, "<ID  AGE  ERROR\na    3m  -\n>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_can_be_written_into_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
