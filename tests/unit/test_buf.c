/*
 * Claims about buffers, allocation, error texts and clocks.
 */
#include "common/base/buf.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

static void everything_appended_stays_in_order(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_str(&b, "a");
    buf_char(&b, 'b');
    buf_int(&b, INT64_MIN);
    buf_printf(&b, "%s-%d", "x", 7);
    buf_append(&b, "\0z", 2);
    static const char expected[] = "ab-9223372036854775808x-7\0z";
    assert_int_equal(b.len, sizeof(expected) - 1);
    assert_memory_equal(b.data, expected, sizeof(expected));
    buf_done(&b);
    assert_null(b.data);
}

static void integers_are_written_as_c_writes_them(void **state)
{
    static const int64_t some[] = {0,  1,   -1,        9,         10,
                                   99, 100, INT64_MAX, INT64_MIN, -1234567890};
    (void)state;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        struct buf b = {0};
        char text[24];
        (void)snprintf(text, sizeof(text), "%lld", (long long)some[i]);
        buf_int(&b, some[i]);
        assert_string_equal(b.data, text);
        buf_done(&b);
    }
}

static void growth_keeps_all_bytes_and_the_nul(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 10000; i++) {
        buf_char(&b, (char)('a' + i % 26));
        assert_int_equal(b.data[b.len], '\0');
        assert_true(b.cap > b.len);
    }
    for (int i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], 'a' + i % 26);
    buf_done(&b);
}

static void reserve_prevents_later_moves(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_reserve(&b, 5000);
    const char *before = b.data;
    for (int i = 0; i < 5000; i++)
        buf_char(&b, 'x');
    assert_ptr_equal(b.data, before);
    buf_done(&b);
}

static void appending_nothing_makes_a_string(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "");
    buf_done(&b);
}

static void clear_keeps_the_memory(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_clear(&b);
    assert_null(b.data);
    buf_str(&b, "hello");
    const char *before = b.data;
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_ptr_equal(b.data, before);
    assert_string_equal(b.data, "");
    buf_done(&b);
}

static void take_hands_over_the_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    char *s = buf_take(&b);
    assert_string_equal(s, "");
    free(s);
    buf_str(&b, "hello");
    s = buf_take(&b);
    assert_string_equal(s, "hello");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(s);
}

static void expect_json(const char *s, size_t n, const char *expected)
{
    struct buf b = {0};
    buf_json_string(&b, s, n);
    assert_string_equal(b.data, expected);
    buf_done(&b);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    expect_json("", 0, "\"\"");
    expect_json("plain /", 7, "\"plain /\"");
    expect_json("q\"b\\", 4, "\"q\\\"b\\\\\"");
    expect_json("\n\r\t", 3, "\"\\n\\r\\t\"");
    expect_json("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\"");
    expect_json("\xc2\x9b", 2, "\"\\u009b\""); /* a terminal's CSI */
    expect_json("\xc2\xa0", 2, "\"\xc2\xa0\"");
    expect_json("\xc3\xa9\xf0\x9f\x98\x80!", 7,
                "\"\xc3\xa9\xf0\x9f\x98\x80!\"");
}

static void bytes_that_are_not_utf8_become_the_replacement(void **state)
{
    (void)state;
    expect_json("a\xff", 2, "\"a\xef\xbf\xbd\"");
    expect_json("\xc3", 1, "\"\xef\xbf\xbd\"");
    expect_json("\xed\xa0\x80z", 4,
                "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
}

static void copies_are_equal_and_end_with_nul(void **state)
{
    (void)state;
    char *copy = mem_dup("ab\0c", 4);
    assert_memory_equal(copy, "ab\0c", 5);
    free(copy);
    copy = mem_dup(NULL, 0);
    assert_string_equal(copy, "");
    free(copy);
    copy = mem_strdup("word");
    assert_string_equal(copy, "word");
    copy = mem_resize(copy, 100);
    assert_string_equal(copy, "word");
    free(copy);
    copy = mem_printf("%s/%d", "a", 5);
    assert_string_equal(copy, "a/5");
    free(copy);
}

/* Sanitizers otherwise end a program that asks malloc for too much. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void new_memory_is_zero_and_too_much_is_refused(void **state)
{
    (void)state;
    unsigned char *p = mem_new(1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    free(p);
    free(mem_new(0));
    volatile size_t huge = SIZE_MAX / 2; /* volatile: gcc would warn */
    void *q = mem_try(huge);
    assert_null(q);
    q = mem_try(0);
    assert_non_null(q);
    free(q);
}

static void every_error_has_its_own_text(void **state)
{
    (void)state;
    assert_string_equal(err_str(0), "ok");
    assert_string_equal(err_str(ERR_NOMEM), "out of memory");
    assert_string_equal(err_str(ERR_FENCED), "lease lost");
    assert_string_equal(err_str(1), "unknown error");
    assert_string_equal(err_str(-ERR_COUNT - 1), "unknown error");
    for (int i = 1; i <= ERR_COUNT; i++)
        for (int j = 1; j < i; j++)
            assert_string_not_equal(err_str(-i), err_str(-j));
}

static void error_texts_are_wrapped_from_outside(void **state)
{
    (void)state;
    struct errbuf eb;
    assert_int_equal(errbuf_set(&eb, ERR_REDIS, "NOSCRIPT %d", 5), ERR_REDIS);
    assert_int_equal(errbuf_wrap(&eb, ERR_REDIS, "load %s", "fetch"),
                     ERR_REDIS);
    assert_string_equal(eb.text, "load fetch: NOSCRIPT 5");
    assert_int_equal(errbuf_set(NULL, ERR_REDIS, "x"), ERR_REDIS);
    assert_int_equal(errbuf_wrap(NULL, ERR_REDIS, "x"), ERR_REDIS);
}

static void long_error_texts_are_cut(void **state)
{
    (void)state;
    struct errbuf eb;
    char longer[2 * sizeof(eb.text)];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    errbuf_set(&eb, ERR_INVALID, "%s", longer);
    assert_int_equal(strlen(eb.text), sizeof(eb.text) - 1);
    errbuf_wrap(&eb, ERR_INVALID, "outer");
    assert_int_equal(strlen(eb.text), sizeof(eb.text) - 1);
    assert_memory_equal(eb.text, "outer: xxx", 10);
    errbuf_wrap(&eb, ERR_INVALID, "%s", longer);
    assert_int_equal(strlen(eb.text), sizeof(eb.text) - 1);
}

static void instants_are_written_in_utc(void **state)
{
    (void)state;
    char out[25];
    clock_format(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    clock_format(1796115600123, out);
    assert_string_equal(out, "2026-12-01T09:00:00.123Z");
    clock_format(-1, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    clock_format(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999Z");
}

static void clocks_agree_with_each_other(void **state)
{
    (void)state;
    int64_t ms = clock_ms(), us = clock_us(), again_ms = clock_ms();
    assert_true(ms <= us / 1000 && us / 1000 <= again_ms);
    assert_true(clock_boot_ms() >= ms); /* it counts suspension, too */
    assert_true(clock_wall_ms() > INT64_C(1700000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_appended_stays_in_order),
        cmocka_unit_test(integers_are_written_as_c_writes_them),
        cmocka_unit_test(growth_keeps_all_bytes_and_the_nul),
        cmocka_unit_test(reserve_prevents_later_moves),
        cmocka_unit_test(appending_nothing_makes_a_string),
        cmocka_unit_test(clear_keeps_the_memory),
        cmocka_unit_test(take_hands_over_the_bytes),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(bytes_that_are_not_utf8_become_the_replacement),
        cmocka_unit_test(copies_are_equal_and_end_with_nul),
        cmocka_unit_test(new_memory_is_zero_and_too_much_is_refused),
        cmocka_unit_test(every_error_has_its_own_text),
        cmocka_unit_test(error_texts_are_wrapped_from_outside),
        cmocka_unit_test(long_error_texts_are_cut),
        cmocka_unit_test(instants_are_written_in_utc),
        cmocka_unit_test(clocks_agree_with_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
