/*
 * The JSON scanner: what it accepts, where it says a text is wrong, and what
 * the values that it finds mean.
 *
 * Thread: main, and one with a small stack.
 */
#include "common/job/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct refusal {
    const char *text;
    size_t offset;
};

static struct json_span span(const char *text)
{
    return (struct json_span){.p = text, .len = strlen(text)};
}

static void assert_refused_at(const char *text, size_t len, size_t offset)
{
    struct errbuf eb = {""};
    char want[32];

    snprintf(want, sizeof(want), "byte %zu: ", offset);
    if (json_check(text, len, &eb) != ERR_INVALID)
        fail_msg("accepted: %.*s", (int)len, text);
    if (strncmp(eb.text, want, strlen(want)) != 0)
        fail_msg("%.*s: \"%s\", wanted %s", (int)len, text, eb.text, want);
}

static void accepts_every_kind_of_value(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"\"",
        "0",
        "-0",
        "null",
        "true",
        "false",
        " 1 ",
        "\t\r\n[ ]\n",
        "-12.5e+3",
        "1E9",
        "0.0",
        "1e-7",
        "[1,2 , 3]",
        "{\"a\":{\"b\":[{},[],\"c\",null]} , \"d\" : true }",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD83D\\ude00\"",
        "123456789012345678901234567890",
        "\"\x7f\"",
        "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"",
        "\"\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct errbuf eb = {""};
        if (json_check(texts[i], strlen(texts[i]), &eb) != 0)
            fail_msg("%s: %s", texts[i], eb.text);
    }
}

static void refuses_bad_grammar_and_says_where(void **state)
{
    static const struct refusal cases[] = {
        {"", 0},
        {"  ", 2},
        {"{", 1},
        {"[", 1},
        {"[1", 2},
        {"[1,", 3},
        {"[1,]", 3},
        {"[,1]", 1},
        {"[1 2]", 3},
        {"{\"a\"}", 4},
        {"{\"a\":}", 5},
        {"{\"a\":1,}", 7},
        {"{a:1}", 1},
        {"{\"a\" 1}", 5},
        {"{1:2}", 1},
        {"[1}", 2},
        {"{\"a\":1]", 6},
        {"1 2", 2},
        {"{}x", 2},
        {"]", 0},
        {"01", 1},
        {"-", 1},
        {"-01", 2},
        {"1.", 2},
        {".5", 0},
        {"+1", 0},
        {"1e", 2},
        {"1e+", 3},
        {"0x1", 1},
        {"NaN", 0},
        {"nul", 0},
        {"truE", 0},
        {"[falsy]", 1},
        {"'a'", 0},
        {"\"a", 0},
        {"[\"a", 1},
        {"\"a\\", 2},
        {"\"\\x\"", 1},
        {"\"\\u12g4\"", 1},
        {"\"\\u12", 1},
        {"\"\\ud800\"", 1},
        {"\"\\udc00\"", 1},
        {"\"\\udc00\\udc00\"", 1},
        {"\"\n\"", 1},
        {"\"a\x1f\"", 2},
        {"\"\\ud800\\u0041\"", 1},
        {"[1]//c", 3},
        {"\xef\xbb\xbf{}", 0},
        {"\"\\ud800\\udb00\"", 1},
        {"[[1],[2", 7},
        {"{\"a\":[1,{\"b\":tru}]}", 13},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused_at(cases[i].text, strlen(cases[i].text),
                          cases[i].offset);
    assert_refused_at("\"a\0b\"", 5, 2);
    assert_refused_at("[1\0]", 4, 2);
}

static void invalid_utf8_is_refused_where_it_begins(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf", /* overlong */
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf", /* surrogate */
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xc3(",
        "\xe2\x28\xa1",
    };

    (void)state;
    /* At every distance from the start, and behind well-formed UTF-8. */
    for (size_t i = 0; i < COUNT(bad); i++) {
        for (int pad = 0; pad < 20; pad++) {
            char text[64];
            int n = snprintf(text, sizeof(text), "{\"%.*s%s\":1}", pad,
                             "aaaaaaaaaaaaaaaaaaaa", bad[i]);
            assert_refused_at(text, (size_t)n, 2 + (size_t)pad);
            n = snprintf(text, sizeof(text), "[\"\xc3\xa9%.*s%s\"]", pad,
                         "aaaaaaaaaaaaaaaaaaaa", bad[i]);
            assert_refused_at(text, (size_t)n, 4 + (size_t)pad);
        }
    }
}

/* From the beginning of the string and from its end: tail bytes follow. */
static void assert_special_is_seen(size_t pad, size_t tail)
{
    char text[128];
    const size_t len = 1 + pad + 1 + tail + 1;

    memset(text, 'z', len);
    text[0] = text[len - 1] = '"';
    for (int c = 0; c < 0x20; c++) {
        text[1 + pad] = (char)c;
        assert_refused_at(text, len, 1 + pad);
    }
    text[1 + pad] = '\x80';
    assert_refused_at(text, len, 1 + pad);
    text[1 + pad] = '\\'; /* before a quote it would be an escape */
    if (tail > 0)
        assert_refused_at(text, len, 1 + pad);
    text[1 + pad] = '"';
    assert_refused_at(text, len, 2 + pad);
}

static void a_special_byte_is_seen_at_every_distance(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 50; pad++)
        for (size_t tail = 0; tail < 50; tail++)
            assert_special_is_seen(pad, tail);
}

static char *nested(const char *open, size_t levels, const char *inside,
                    const char *close)
{
    struct buf b = {0};

    for (size_t i = 0; i < levels; i++)
        buf_str(&b, open);
    buf_str(&b, inside);
    for (size_t i = 0; i < levels; i++)
        buf_str(&b, close);
    return buf_take(&b);
}

static int no_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    (void)arg;
    (void)key;
    (void)value;
    (void)eb;
    return 0;
}

static void nesting_ends_at_the_limit_with_its_offset(void **state)
{
    char *deep = nested("[", JSON_DEPTH_MAX, "", "]");
    char *deeper = nested("[", JSON_DEPTH_MAX + 1, "", "]");
    char *objects = nested("{\"a\":", JSON_DEPTH_MAX, "1", "}");
    char *more = nested("{\"a\":", JSON_DEPTH_MAX + 1, "1", "}");
    struct errbuf eb;

    (void)state;
    assert_int_equal(json_check(deep, strlen(deep), NULL), 0);
    assert_refused_at(deeper, strlen(deeper), JSON_DEPTH_MAX);
    assert_int_equal(json_check_member(deep + 1, strlen(deep) - 2, NULL), 0);
    assert_int_equal(json_check_member(deep, strlen(deep), NULL), ERR_INVALID);
    assert_int_equal(json_check(objects, strlen(objects), NULL), 0);
    assert_refused_at(more, strlen(more), (size_t)JSON_DEPTH_MAX * 5);
    /* The outermost object counts for callers that scan it. */
    assert_int_equal(
        json_scan_object(objects, strlen(objects), no_member, NULL, NULL), 0);
    assert_int_equal(json_scan_object(more, strlen(more), no_member, NULL, &eb),
                     ERR_INVALID);
    assert_string_equal(eb.text, "byte 2560: nested deeper than 512 levels");
    free(deep);
    free(deeper);
    free(objects);
    free(more);
}

static void mixed_nesting_closes_in_its_own_order(void **state)
{
    char *good = nested("[{\"a\":", 100, "[[],{}]", "},1]");
    char *bad = mem_strdup(good);
    size_t len = strlen(good);

    (void)state;
    assert_int_equal(json_check(good, len, NULL), 0);
    for (size_t i = 0; i < len; i++) {
        if (good[i] != '}' && good[i] != ']')
            continue;
        bad[i] = good[i] == '}' ? ']' : '}';
        assert_refused_at(bad, len, i);
        bad[i] = good[i];
    }
    free(good);
    free(bad);
}

static void *check_brackets(void *arg)
{
    int *rc = arg;
    const size_t len = 1 << 20;
    char *text = mem_new(len);

    memset(text, '[', len);
    *rc = json_check(text, len, NULL);
    free(text);
    return NULL;
}

static void a_mebibyte_of_brackets_does_not_touch_the_stack(void **state)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc = 0;

    (void)state;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 128 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attr, check_brackets, &rc), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    assert_int_equal(rc, ERR_INVALID);
}

static int note_member(void *arg, struct json_span key, struct json_span value,
                       struct errbuf *eb)
{
    struct buf *b = arg;

    if (key.p != NULL)
        buf_append(b, key.p, key.len);
    buf_char(b, '=');
    buf_append(b, value.p, value.len);
    buf_char(b, ';');
    return value.p[0] == 'n' ? errbuf_set(eb, ERR_MISSING, "stop") : 0;
}

static void members_come_in_order_with_their_bytes(void **state)
{
    static const char text[] =
        " { \"a\" : 12345678901234567890 ,\"a\":1.0,\"\\u0061\": [ 1, 2 ]\n"
        ",\"\":{\"x\":{}} } ";
    struct buf b = {0};

    (void)state;
    assert_int_equal(
        json_scan_object(text, strlen(text), note_member, &b, NULL), 0);
    assert_string_equal(b.data, "\"a\"=12345678901234567890;\"a\"=1.0;"
                                "\"\\u0061\"=[ 1, 2 ];\"\"={\"x\":{}};");
    buf_clear(&b);
    assert_int_equal(
        json_scan_array("[1,{\"a\":2} ,[]]", 15, note_member, &b, NULL), 0);
    assert_string_equal(b.data, "=1;={\"a\":2};=[];");
    buf_done(&b);
}

static void a_callback_can_end_the_scan(void **state)
{
    static const char text[] = "{\"a\":1,\"b\":null,\"c\":2}";
    struct errbuf eb = {""};
    struct buf b = {0};

    (void)state;
    assert_int_equal(json_scan_object(text, strlen(text), note_member, &b, &eb),
                     ERR_MISSING);
    assert_string_equal(b.data, "\"a\"=1;\"b\"=null;");
    assert_string_equal(eb.text, "stop");
    buf_done(&b);
}

static void a_scan_wants_its_kind_of_text(void **state)
{
    static const char *const others[] = {"",  "1",    "\"{}\"", "{} {}",
                                         "{", "null", "{}]"};

    (void)state;
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(json_scan_object(others[i], strlen(others[i]),
                                          no_member, NULL, NULL),
                         ERR_INVALID);
    assert_int_equal(json_scan_object("[]", 2, no_member, NULL, NULL),
                     ERR_INVALID);
    assert_int_equal(json_scan_array("{}", 2, no_member, NULL, NULL),
                     ERR_INVALID);
    assert_int_equal(json_scan_array(" [ ] ", 5, no_member, NULL, NULL), 0);
    assert_int_equal(json_scan_object(" { } ", 5, no_member, NULL, NULL), 0);
}

static void the_kind_is_that_of_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(json_kind(span("{}")), JSON_IS_OBJECT);
    assert_int_equal(json_kind(span("[]")), JSON_IS_ARRAY);
    assert_int_equal(json_kind(span("\"\"")), JSON_IS_STRING);
    assert_int_equal(json_kind(span("-1")), JSON_IS_NUMBER);
    assert_int_equal(json_kind(span("7")), JSON_IS_NUMBER);
    assert_int_equal(json_kind(span("true")), JSON_IS_TRUE);
    assert_int_equal(json_kind(span("false")), JSON_IS_FALSE);
    assert_int_equal(json_kind(span("null")), JSON_IS_NULL);
}

static void a_string_value_is_decoded(void **state)
{
    static const char *const cases[][2] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
        {"\"x\\uD83D\\uDE00y\"", "x\xf0\x9f\x98\x80y"},
        {"\"\\ud800\\udc00\\udbff\\udfff\"",
         "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\"\xf0\x9f\x98\x80\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         "\xf0\x9f\x98\x80\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = 0;
        char *text = json_string_dup(span(cases[i][0]), &len);
        assert_non_null(text);
        assert_string_equal(text, cases[i][1]);
        assert_int_equal(len, strlen(cases[i][1]));
        free(text);
    }
}

static void a_nul_or_another_kind_is_no_string_value(void **state)
{
    size_t len;
    char small[4];

    (void)state;
    assert_null(json_string_dup(span("\"a\\u0000b\""), &len));
    assert_null(json_string_dup(span("12"), &len));
    assert_null(json_string_dup(span("null"), &len));
    assert_null(json_string_dup((struct json_span){0}, &len));
    assert_int_equal(json_string_copy(span("\"abc\""), small, 4, &len), 0);
    assert_string_equal(small, "abc");
    assert_int_equal(json_string_copy(span("\"abcd\""), small, 4, &len),
                     ERR_TOO_BIG);
    assert_int_equal(json_string_copy(span("\"ab\\u00e9\""), small, 4, &len),
                     ERR_TOO_BIG);
    assert_int_equal(json_string_copy(span("[]"), small, 4, &len), ERR_INVALID);
}

static void a_name_is_compared_after_decoding(void **state)
{
    (void)state;
    assert_true(json_string_is(span("\"id\""), "id"));
    assert_true(json_string_is(span("\"\\u0069d\""), "id"));
    assert_true(json_string_is(span("\"\\u0069\\u0064\""), "id"));
    assert_false(json_string_is(span("\"idx\""), "id"));
    assert_false(json_string_is(span("\"i\""), "id"));
    assert_false(json_string_is(span("\"id\\u0000\""), "id"));
    assert_false(json_string_is(span("\"\\u0069\\u0065\""), "id"));
    assert_false(json_string_is(span("1234"), "23"));
}

static void an_integer_is_read_only_if_it_is_one(void **state)
{
    static const char *const bad[] = {"1.0",
                                      "1e3",
                                      "0.5",
                                      "-1.5",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616",
                                      "123456789012345678901234567890",
                                      "\"1\"",
                                      "true",
                                      "null",
                                      "[]",
                                      "-"};
    static const struct {
        const char *text;
        int64_t n;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"42", 42},
                {"-7", -7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    int64_t n = 99;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(json_int_value(span(bad[i]), &n), ERR_INVALID);
    assert_int_equal(n, 99);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(json_int_value(span(good[i].text), &n), 0);
        assert_true(n == good[i].n);
    }
}

static void every_truncation_is_refused(void **state)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"\\u00e9\xc3\xa9\\n\",true,{\"b\":null}],\"c\":{}}";

    (void)state;
    assert_int_equal(json_check(text, strlen(text), NULL), 0);
    for (size_t n = 0; n < strlen(text); n++) {
        /* On the heap, so that a sanitizer sees a read beyond the end. */
        char *cut = mem_new(n);
        memcpy(cut, text, n);
        assert_int_equal(json_check(cut, n, NULL), ERR_INVALID);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_every_kind_of_value),
        cmocka_unit_test(refuses_bad_grammar_and_says_where),
        cmocka_unit_test(invalid_utf8_is_refused_where_it_begins),
        cmocka_unit_test(a_special_byte_is_seen_at_every_distance),
        cmocka_unit_test(nesting_ends_at_the_limit_with_its_offset),
        cmocka_unit_test(mixed_nesting_closes_in_its_own_order),
        cmocka_unit_test(a_mebibyte_of_brackets_does_not_touch_the_stack),
        cmocka_unit_test(members_come_in_order_with_their_bytes),
        cmocka_unit_test(a_callback_can_end_the_scan),
        cmocka_unit_test(a_scan_wants_its_kind_of_text),
        cmocka_unit_test(the_kind_is_that_of_the_first_byte),
        cmocka_unit_test(a_string_value_is_decoded),
        cmocka_unit_test(a_nul_or_another_kind_is_no_string_value),
        cmocka_unit_test(a_name_is_compared_after_decoding),
        cmocka_unit_test(an_integer_is_read_only_if_it_is_one),
        cmocka_unit_test(every_truncation_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
