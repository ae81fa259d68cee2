/*
 * Claims about replies as input, and about the limits of reading them.
 */
#include "common/redis/reply.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/redis/reader.h"
#include "tests/unit/unit.h"

enum { LIMIT = 100 * 1000, ELEMENTS = 900 };

static struct reader *reader;

static int setup(void **state)
{
    (void)state;
    reader = reader_new(LIMIT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    reader_free(reader);
    return 0;
}

/* Lends the reply that n bytes are, read byte by byte, until the next one. */
static const struct reply *read_bytes(const char *p, size_t n)
{
    const struct reply *r = NULL;
    struct errbuf eb;

    for (size_t i = 0; i < n; i++) {
        assert_null(r);
        reader_feed(reader, p + i, 1);
        if (reader_next(reader, &r, &eb) != 0)
            fail_msg("%s", eb.text);
    }
    assert_non_null(r);
    return r;
}

static const struct reply *read_reply(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void integers_are_checked(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t n;
    } cases[] = {
        {":42\r\n", true, 42},
        {":-9223372036854775808\r\n", true, INT64_MIN},
        {"$2\r\n-7\r\n", true, -7},
        {"$19\r\n9223372036854775807\r\n", true, INT64_MAX},
        {"$19\r\n9223372036854775808\r\n", false, 0},
        {"$0\r\n\r\n", false, 0},
        {"$1\r\n-\r\n", false, 0},
        {"$2\r\n 7\r\n", false, 0},
        {"$2\r\n+7\r\n", false, 0},
        {"$2\r\n7x\r\n", false, 0},
        {"$-1\r\n", false, 0},
        {"-7\r\n", false, 0},
        {"*0\r\n", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct reply *r = read_reply(cases[i].text);
        int64_t n = 1234;
        assert_int_equal(reply_int(r, &n), cases[i].ok);
        assert_int_equal(n, cases[i].ok ? cases[i].n : 1234);
    }
}

static void errors_have_a_class_even_when_a_script_wrapped_them(void **state)
{
    static const struct {
        const char *text, *code;
        bool is;
    } cases[] = {
        {"-OOM command not allowed\r\n", "OOM", true},
        {"-NOSCRIPT\r\n", "NOSCRIPT", true},
        {"-NOSCRIPTS x\r\n", "NOSCRIPT", false},
        {"-ERR no -OOM here\r\n", "OOM", false},
        {"-ERR Error running script (call to f_0): @user_script:1: -OOM "
         "command not allowed\r\n",
         "OOM", true},
        {"-ERR Error running script (call to f_0): x\r\n", "OOM", false},
        {"+OOM\r\n", "OOM", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct reply *r = read_reply(cases[i].text);
        assert_int_equal(reply_error_is(r, cases[i].code), cases[i].is);
        assert_int_equal(reply_is_error(r), cases[i].text[0] == '-');
    }
}

static void strings_keep_their_bytes(void **state)
{
    static const char text[] = "*3\r\n$3\r\na\0b\r\n+OK\r\n$-1\r\n";
    const struct reply *r = read_bytes(text, sizeof(text) - 1);
    const char *p = NULL;
    size_t n = 0;

    (void)state;
    assert_true(reply_str(reply_at(r, 0), &p, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(p, "a\0b", 4);
    assert_false(reply_str_is(reply_at(r, 0), "a"));
    assert_true(reply_str_is(reply_at(r, 1), "OK"));
    assert_true(reply_is_nil(reply_at(r, 2)));
    assert_false(reply_str(reply_at(r, 2), &p, &n));
    assert_false(reply_str(r, &p, &n));
}

static void an_array_has_its_elements_and_no_more(void **state)
{
    const struct reply *r = read_reply("*2\r\n:1\r\n*1\r\n:2\r\n");
    int64_t n = 0;

    (void)state;
    assert_int_equal(reply_len(r), 2);
    assert_int_equal(reply_len(reply_at(r, 0)), 0);
    assert_null(reply_at(reply_at(r, 0), 0));
    assert_null(reply_at(r, 2));
    assert_null(reply_at(r, SIZE_MAX));
    assert_true(reply_int(reply_at(reply_at(r, 1), 0), &n));
    assert_int_equal(n, 2);
    assert_string_equal(reply_error(r), "");
    assert_false(reply_is_nil(r));
}

/* More than one block of the arena, in pieces that end anywhere. */
static void a_long_reply_has_each_of_its_elements(void **state)
{
    struct reader *rd = reader_new((size_t)1 << 20);
    struct buf b = {0};
    const struct reply *r = NULL;
    const char *p;
    size_t len;
    int64_t n;

    (void)state;
    buf_printf(&b, "*%d\r\n", ELEMENTS);
    for (int i = 0; i < ELEMENTS; i += 3)
        buf_printf(&b, "$40\r\n%040d\r\n*1\r\n:%d\r\n*-1\r\n", i, i);
    for (int round = 0; round < 3; round++) {
        for (size_t at = 0; at < b.len; at += 1000) {
            assert_null(r);
            reader_feed(rd, b.data + at, b.len - at < 1000 ? b.len - at : 1000);
            assert_int_equal(reader_next(rd, &r, NULL), 0);
        }
        assert_int_equal(reply_len(r), ELEMENTS);
        for (int i = 0; i < ELEMENTS; i += 3) {
            assert_true(reply_str(reply_at(r, (size_t)i), &p, &len));
            assert_int_equal(len, 40);
            assert_int_equal(strtol(p, NULL, 10), i);
            assert_int_equal(p[40], 0);
            assert_true(reply_int(reply_at(reply_at(r, (size_t)i + 1), 0), &n));
            assert_int_equal(n, i);
            assert_true(reply_is_nil(reply_at(r, (size_t)i + 2)));
        }
        assert_int_equal(reader_next(rd, &r, NULL), 0);
    }
    buf_done(&b);
    reader_free(rd);
}

static void a_reply_over_the_limit_is_refused(void **state)
{
    static const char *const bombs[] = {
        "*2147483647\r\n",
        "*1000\r\n*1000\r\n",
        "*7\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1999\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        struct reader *rd = reader_new(LIMIT);
        const struct reply *r = NULL;
        struct errbuf eb;
        reader_feed(rd, bombs[i], strlen(bombs[i]));
        assert_int_equal(reader_next(rd, &r, &eb), ERR_TOO_BIG);
        assert_null(r);
        reader_free(rd);
    }
}

static void a_string_over_the_limit_is_refused(void **state)
{
    char part[1000];
    struct reader *rd = reader_new(LIMIT);
    const struct reply *r = NULL;
    struct errbuf eb;
    int rc = 0, parts = 0;

    (void)state;
    memset(part, 'x', sizeof(part));
    reader_feed(rd, "$200000\r\n", 9);
    while (rc == 0 && parts < 200) {
        reader_feed(rd, part, sizeof(part));
        rc = reader_next(rd, &r, &eb);
        parts++;
    }
    assert_int_equal(rc, ERR_TOO_BIG);
    assert_int_equal(parts, LIMIT / 1000);
    reader_free(rd);
}

/* Many replies together may be as much as they like. */
static void the_limit_is_of_one_reply(void **state)
{
    static const char three[] = "*2\r\n:1\r\n$2\r\nab\r\n+OK\r\n:7\r\n";
    struct reader *rd = reader_new(1000);
    const struct reply *r = NULL;
    struct errbuf eb;
    int replies = 0;

    (void)state;
    for (int i = 0; i < 10 * 1000; i++) {
        reader_feed(rd, three, sizeof(three) - 1);
        while (reader_next(rd, &r, &eb) == 0 && r)
            replies++;
    }
    assert_int_equal(replies, 30 * 1000);
    reader_free(rd);
}

static void a_line_without_end_is_refused(void **state)
{
    struct reader *rd = reader_new((size_t)1 << 30);
    const struct reply *r = NULL;
    struct errbuf eb;
    int rc = 0, fed = 0;

    (void)state;
    reader_feed(rd, "+", 1);
    while (rc == 0 && fed < 1000 * 1000) {
        reader_feed(rd, "0123456789", 10);
        rc = reader_next(rd, &r, &eb);
        fed += 10;
    }
    assert_int_equal(rc, ERR_REDIS);
    assert_in_range(fed, 64 * 1024, 66 * 1024);
    reader_free(rd);
}

static void what_is_no_resp_is_refused(void **state)
{
    static const char *const cases[] = {
        "HTTP/1.1 200 OK\r\n", "*x\r\n", "$-2\r\n", ":12x\r\n", "\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reader *rd = reader_new(LIMIT);
        const struct reply *r = NULL;
        struct errbuf eb = {""};
        reader_feed(rd, cases[i], strlen(cases[i]));
        if (reader_next(rd, &r, &eb) != ERR_REDIS)
            fail_msg("accepted: %s", cases[i]);
        assert_string_not_equal(eb.text, "");
        reader_free(rd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_checked),
        cmocka_unit_test(errors_have_a_class_even_when_a_script_wrapped_them),
        cmocka_unit_test(strings_keep_their_bytes),
        cmocka_unit_test(an_array_has_its_elements_and_no_more),
        cmocka_unit_test(a_long_reply_has_each_of_its_elements),
        cmocka_unit_test(a_reply_over_the_limit_is_refused),
        cmocka_unit_test(a_string_over_the_limit_is_refused),
        cmocka_unit_test(the_limit_is_of_one_reply),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(what_is_no_resp_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
