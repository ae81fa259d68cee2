/*
 * Claims about reading lines and about text for terminals.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/safe.h"
#include "producer/lines.h"
#include "producer/progress.h"
#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { MAX = 10 };

static int file_with(const char *text, size_t n)
{
    int fd = memfd_create("lines", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, n, 0), (ssize_t)n);
    return fd;
}

/* All lines as "number:text|", too long ones as "number!|". */
static void read_all(int fd, size_t max, struct buf *out)
{
    struct lines l;
    const char *p;
    size_t n;

    lines_init(&l, fd, max);
    for (;;) {
        enum lines_result r = lines_next(&l, &p, &n);
        if (r == LINES_END)
            break;
        if (r == LINES_MORE)
            assert_int_equal(lines_fill(&l), 0);
        else if (r == LINES_TOO_LONG)
            buf_printf(out, "%d!|", (int)l.number);
        else
            buf_printf(out, "%d:%.*s|", (int)l.number, (int)n, p);
    }
    lines_done(&l);
}

static void lines_end_with_lf_crlf_or_the_file(void **state)
{
    static const struct {
        const char *text, *lines;
    } cases[] = {
        {"", ""},
        {"\n", "1:|"},
        {"a", "1:a|"},
        {"a\n", "1:a|"},
        {"a\r\nb\n\nc\r", "1:a|2:b|3:|4:c|"},
        {"a\rb\n", "1:a\rb|"},
        {"0123456789\n01234567890\nx", "1:0123456789|2!|3:x|"},
        {"0123456789\r\n0123456789\r", "1:0123456789|2:0123456789|"},
        {"01234567890", "1!|"},
        {"0123456789012345678901234567890\n\n", "1!|2:|"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        int fd = file_with(cases[i].text, strlen(cases[i].text));
        buf_str(&out, "");
        read_all(fd, MAX, &out);
        assert_string_equal(out.data, cases[i].lines);
        buf_done(&out);
        close(fd);
    }
}

/* Lengths around the size of a block, so that every cut is met. */
static void lines_survive_every_cut_between_reads(void **state)
{
    enum { BIG = 300 * 1000, COUNT = 400 };
    struct buf text = {0}, want = {0}, got = {0};
    char *x = malloc(BIG);

    (void)state;
    assert_non_null(x);
    memset(x, 'x', BIG);
    unsigned seed = 7;
    for (int i = 1; i <= COUNT; i++) {
        seed = seed * 1103515245U + 12345U; /* the same lines each time */
        int n = (int)(seed >> 8) % (i % 50 == 0 ? 100 * 1000 : 3000);
        n += i % 50 == 0 ? 200 * 1000 : 0;
        buf_append(&text, x, (size_t)n);
        buf_char(&text, '\n');
        if (n > 260 * 1000)
            buf_printf(&want, "%d!|", i);
        else
            buf_printf(&want, "%d:%.*s|", i, n, x);
    }
    int fd = file_with(text.data, text.len);
    read_all(fd, 260 * 1000, &got);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, want.len);
    buf_done(&text);
    buf_done(&want);
    buf_done(&got);
    free(x);
    close(fd);
}

static void a_failed_read_is_an_error(void **state)
{
    struct lines l;

    (void)state;
    lines_init(&l, -1, MAX);
    assert_int_equal(lines_fill(&l), ERR_SYSTEM);
    lines_done(&l);
}

static void text_for_terminals_is_one_harmless_line(void **state)
{
    static const struct {
        const char *text, *safe;
    } cases[] = {
        {"", ""},
        {"plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
         "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\x1b[2J\n\t\r\x7f", "\\x1b[2J\\n\\t\\r\\x7f"},
        {"\xc2\x9b"
         "31m\xc2\xa0",
         "\\u009b31m\xc2\xa0"},
        {"\xe2\x80\xae"
         "a\xe2\x81\xa6\xe2\x80\xa6\xe2\x81\xa9\xe2\x80\xac",
         "\\u202ea\\u2066\xe2\x80\xa6\\u2069\\u202c"},
        {"\xd8\x9c\xd8\x9d\xe2\x80\xa8\xe2\x80\xa7",
         "\\u061c\xd8\x9d\\u2028\xe2\x80\xa7"},
        {"\xff\xc3"
         "a\xe2\x82",
         "\\xff\\xc3a\\xe2\\x82"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        buf_str(&out, "");
        safe_append(&out, cases[i].text, strlen(cases[i].text));
        assert_string_equal(out.data, cases[i].safe);
        buf_done(&out);
    }
}

static void json_for_terminals_is_the_same_value(void **state)
{
    static const char in[] = "{\n\"a\" :\r\n[1,\t\"\xc2\x9b\x7f\xc3\xa9\"]}";
    struct buf out = {0};

    (void)state;
    safe_append_json(&out, in, sizeof(in) - 1);
    assert_string_equal(out.data,
                        "{ \"a\" :  [1, \"\\u009b\\u007f\xc3\xa9\"]}");
    buf_done(&out);
}

static void widths_count_characters(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac"
                               "b";
    char count[32];

    (void)state;
    assert_int_equal(safe_width(text, sizeof(text) - 1), 4);
    assert_int_equal(safe_cut(text, sizeof(text) - 1, 2), 3);
    assert_int_equal(safe_cut(text, sizeof(text) - 1, 9), sizeof(text) - 1);
    assert_string_equal(progress_count(0, count), "0");
    assert_string_equal(progress_count(999, count), "999");
    assert_string_equal(progress_count(1234567, count), "1 234 567");
    assert_string_equal(progress_count(UINT64_MAX, count),
                        "18 446 744 073 709 551 615");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_with_lf_crlf_or_the_file),
        cmocka_unit_test(lines_survive_every_cut_between_reads),
        cmocka_unit_test(a_failed_read_is_an_error),
        cmocka_unit_test(text_for_terminals_is_one_harmless_line),
        cmocka_unit_test(json_for_terminals_is_the_same_value),
        cmocka_unit_test(widths_count_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
