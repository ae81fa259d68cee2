/*
 * Claims about what errors of one kind have in common.
 */
#include "producer/pattern.h"

#include <string.h>

#include "common/job/job.h"
#include "producer/invalid.h"
#include "tests/unit/unit.h"

static void what_differs_each_time_is_replaced(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"no digits", "no digits"},
        {"port 8080, try 3", "port #, try #"},
        {"10.0.0.1:80", "#.#.#.#:#"},
        {"job2 v1.10", "job# v#.#"},
        {"at 0x7ffe12 in x", "at # in x"},
        {"sha 3f2a9c001122 gone", "sha # gone"},
        {"deadline facade", "deadline facade"},
        {"id 123e4567-e89b-12d3-a456-426614174000.", "id #."},
        {"no luck 01M8ARRAE699Y48K52QYMW39N3", "no luck #"},
        {"internationalization2", "internationalization#"},
        {"cannot open \"a 1\" or 'b'", "cannot open \"*\" or '*'"},
        {"can't, won't", "can't, won't"},
        {"lone \" quote 5", "lone \" quote #"},
        {"\xc3\xa9t\xc3\xa9 7", "\xc3\xa9t\xc3\xa9 #"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf out = {0};
        pattern_append(&out, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(out.data ? out.data : "", pairs[i][1]);
        buf_done(&out);
    }
}

static void a_pattern_is_bounded(void **state)
{
    char text[5000];
    struct buf out = {0};
    (void)state;
    memset(text, 'x', sizeof(text));
    pattern_append(&out, text, sizeof(text));
    assert_int_equal(out.len, PATTERN_MAX);
    buf_done(&out);
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[0] = ' ';
    pattern_append(&out, text, sizeof(text));
    assert_true(out.len <= PATTERN_MAX);
    buf_done(&out);
}

/* What is buried comes back byte for byte, whatever its length. */
static void invalid_is_the_inverse_of_burying(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        char bytes[70];
        struct buf envelope = {0}, back = {0};
        struct job *job;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(i * 37 + n);
        job_build_invalid(bytes, n, 64, "why", 5, &envelope);
        assert_int_equal(
            job_parse(envelope.data, envelope.len, SIZE_MAX, &job, NULL), 0);
        assert_true(invalid_is(job));
        int rc = invalid_raw(job, &back, NULL);
        assert_int_equal(rc, n > 64 ? ERR_INVALID : 0);
        assert_int_equal(back.len, n > 64 ? 64 : n);
        if (back.len > 0)
            assert_memory_equal(back.data, bytes, back.len);
        job_free(job);
        buf_done(&envelope);
        buf_done(&back);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    static const char *const raws[] = {
        "{\"type\":\"belt.invalid\"}",
        "{\"type\":\"belt.invalid\",\"raw\":5}",
        "{\"type\":\"belt.invalid\",\"raw\":\"abc\"}",
        "{\"type\":\"belt.invalid\",\"raw\":\"ab=c\"}",
        "{\"type\":\"belt.invalid\",\"raw\":\"a===\"}",
        "{\"type\":\"belt.invalid\",\"raw\":\"ab==abcd\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
        struct buf back = {0};
        struct job *job;
        assert_int_equal(
            job_parse(raws[i], strlen(raws[i]), SIZE_MAX, &job, NULL), 0);
        assert_int_equal(invalid_raw(job, &back, NULL), ERR_INVALID);
        assert_int_equal(back.len, 0);
        job_free(job);
        buf_done(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_each_time_is_replaced),
        cmocka_unit_test(a_pattern_is_bounded),
        cmocka_unit_test(invalid_is_the_inverse_of_burying),
        cmocka_unit_test(what_is_no_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
