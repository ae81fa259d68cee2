/*
 * Claims about the arguments of a command and the bytes they become.
 */
#include "common/redis/conn_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/redis/script.h"
#include "common/redis/sha1.h"
#include "tests/unit/unit.h"

static void a_command_becomes_resp(void **state)
{
    static const char wanted[] = "*4\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n"
                                 "$20\r\n-9223372036854775808\r\n";
    struct args a = {0};

    (void)state;
    args_str(&a, "SET");
    args_mem(&a, "a\0b", 3);
    args_mem(&a, NULL, 0);
    args_int(&a, INT64_MIN);
    struct wire *w = wire_new(&a);
    assert_non_null(w);
    assert_int_equal(w->len, sizeof(wanted) - 1);
    assert_memory_equal(w->bytes, wanted, w->len);
    wire_unref(w);
    args_done(&a);
}

/* The arena of numbers moves as it grows; strings stay where they are. */
static void thousands_of_numbers_stay_what_they_are(void **state)
{
    struct args a = {0};
    char text[24];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int64_t i = 0; i < 5000; i++) {
            args_int(&a, i * 1000003 + round);
            args_str(&a, "s");
        }
        assert_int_equal(a.argc, 10 * 1000);
        for (int i = 0; i < 5000; i++) {
            snprintf(text, sizeof(text), "%" PRId64,
                     (int64_t)i * 1000003 + round);
            assert_string_equal(a.argv[2 * i], text);
            assert_int_equal(a.lens[2 * i], strlen(text));
            assert_string_equal(a.argv[2 * i + 1], "s");
        }
        args_clear(&a);
        assert_int_equal(a.argc, 0);
    }
    args_done(&a);
    assert_null(a.argv);
}

static void a_command_too_big_to_send_is_refused(void **state)
{
    struct args a = {0};

    (void)state;
    args_mem(&a, "x", (size_t)512 << 20); /* never read: refused before */
    args_str(&a, "y");
    assert_null(wire_new(&a));
    args_done(&a);
    args_mem(&a, "x", SIZE_MAX);
    args_mem(&a, "x", SIZE_MAX);
    assert_null(wire_new(&a));
    args_done(&a);
}

/* FIPS 180-4's example, and that of nothing at all. */
static void sha1_is_sha1(void **state)
{
    char hex[41];

    (void)state;
    sha1_hex("abc", 3, hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha1_hex("", 0, hex);
    assert_string_equal(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* Of every length around the ends of its blocks. */
static void plain_sha1_is_the_same(void **state)
{
    char text[300], hex[41], plain[41];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof(text); n++) {
        sha1_hex(text, n, hex);
        sha1_hex_plain(text, n, plain);
        assert_string_equal(hex, plain);
    }
}

static void each_script_has_the_sha_of_its_text(void **state)
{
    char hex[41];

    (void)state;
    for (int s = 0; s < SCRIPT_COUNT; s++) {
        const char *text = script_source((enum script)s);
        sha1_hex(text, strlen(text), hex);
        assert_string_equal(script_sha((enum script)s), hex);
    }
}

static void a_script_call_begins_with_its_sha(void **state)
{
    struct args a = {0};

    (void)state;
    args_str(&a, "left over");
    script_args(&a, SCRIPT_renew, 3);
    assert_int_equal(a.argc, 3);
    assert_string_equal(a.argv[0], "EVALSHA");
    assert_string_equal(a.argv[1], script_sha(SCRIPT_renew));
    assert_string_equal(a.argv[2], "3");
    assert_string_equal(script_name(SCRIPT_renew), "renew");
    args_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_becomes_resp),
        cmocka_unit_test(thousands_of_numbers_stay_what_they_are),
        cmocka_unit_test(a_command_too_big_to_send_is_refused),
        cmocka_unit_test(sha1_is_sha1),
        cmocka_unit_test(plain_sha1_is_the_same),
        cmocka_unit_test(each_script_has_the_sha_of_its_text),
        cmocka_unit_test(a_script_call_begins_with_its_sha),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
