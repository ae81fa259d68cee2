/*
 * Claims about the payload that arguments mean.
 */
#include "producer/payload.h"

#include <string.h>

#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { LIMIT = 1000 };

static int build(const char *const *args, struct buf *out, struct errbuf *eb)
{
    int n = 0;

    while (args[n])
        n++;
    return payload_build(args, n, LIMIT, out, eb);
}

static void every_form_builds_its_value(void **state)
{
    static const struct {
        const char *args[4], *payload;
    } cases[] = {
        {{NULL}, "null"},
        {{"0"}, "0"},
        {{"-1.50e+3"}, "-1.50e+3"},
        {{"12345678901234567890123"}, "12345678901234567890123"},
        {{"null"}, "null"},
        {{"\"a=b\""}, "\"a=b\""},
        {{" { \"a\" : 1 } \n"}, "{ \"a\" : 1 }"},
        {{"[\"x=y\"]"}, "[\"x=y\"]"},
        {{"a="}, "{\"a\":\"\"}"},
        {{"a=1"}, "{\"a\":\"1\"}"},
        {{"a:=1"}, "{\"a\":1}"},
        {{"a:=\"=\""}, "{\"a\":\"=\"}"},
        {{"a: =1"}, "{\"a: \":\"1\"}"},
        {{"a:b=c"}, "{\"a:b\":\"c\"}"},
        {{"a==:=b"}, "{\"a\":\"=:=b\"}"},
        {{"@f=x", "-=y"}, "{\"@f\":\"x\",\"-\":\"y\"}"},
        {{"\"=1", "b=2"}, "{\"\\\"\":\"1\",\"b\":\"2\"}"},
        {{"a=\t\\", "b:= [1 ,2] "}, "{\"a\":\"\\t\\\\\",\"b\":[1 ,2]}"},
        {{"k\xc3\xa9=\xe2\x82\xac"}, "{\"k\xc3\xa9\":\"\xe2\x82\xac\"}"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        struct errbuf eb;
        if (build(cases[i].args, &out, &eb) != 0)
            fail_msg("%s: %s", cases[i].payload, eb.text);
        assert_string_equal(out.data, cases[i].payload);
        buf_done(&out);
    }
}

static void what_is_no_value_is_refused_by_name(void **state)
{
    static const struct {
        const char *args[4], *text;
    } cases[] = {
        {{""}, "neither JSON nor key=value"},
        {{"text"}, "text: neither JSON nor key=value"},
        {{"{\"a\":1"}, "{\"a\":1: JSON: "},
        {{"[1 2]"}, "[1 2]: JSON: "},
        {{"01"}, "01: neither"},
        {{"=1"}, "=1: neither key=value nor key:=json"},
        {{":=1"}, ":=1: neither"},
        {{"a:="}, "a:=: JSON: "},
        {{"a:=b"}, "a:=b: JSON: "},
        {{"a=\xff"}, "not UTF-8"},
        {{"a=1", "b"}, "b: neither key=value"},
        {{"a=1", "{\"b\":2}"}, "neither key=value"},
        {{"a=1", "-"}, "-: neither key=value"},
        {{"a=1", "b=2", "a:=3"}, "a: given twice"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        struct errbuf eb;
        assert_int_equal(build(cases[i].args, &out, &eb), ERR_INVALID);
        if (!strstr(eb.text, cases[i].text))
            fail_msg("%s instead of %s", eb.text, cases[i].text);
        buf_done(&out);
    }
}

static void a_missing_file_is_not_a_bad_one(void **state)
{
    struct buf out = {0};
    struct errbuf eb;

    (void)state;
    assert_int_equal(build((const char *const[]){"@/nowhere", NULL}, &out, &eb),
                     ERR_MISSING);
    assert_int_equal(build((const char *const[]){"@/", NULL}, &out, &eb),
                     ERR_SYSTEM);
    assert_int_equal(
        build((const char *const[]){"@/dev/null", NULL}, &out, &eb),
        ERR_INVALID);
    assert_int_equal(
        build((const char *const[]){"@/dev/zero", NULL}, &out, &eb),
        ERR_TOO_BIG);
    buf_done(&out);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_builds_its_value),
        cmocka_unit_test(what_is_no_value_is_refused_by_name),
        cmocka_unit_test(a_missing_file_is_not_a_bad_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
