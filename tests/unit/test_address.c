/*
 * Claims about addresses to listen at.
 */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/address.h"
#include "tests/unit/unit.h"

static void addresses_are_numeric_and_local_ones_known(void **state)
{
    static const struct {
        const char *text;
        int family;
        bool local;
    } all[] = {
        {":80", AF_INET, true},          {"localhost:0", AF_INET, true},
        {"127.0.0.1:80", AF_INET, true}, {"127.9.9.9:80", AF_INET, true},
        {"0.0.0.0:80", AF_INET, false},  {"10.0.0.1:80", AF_INET, false},
        {"[::1]:80", AF_INET6, true},    {"[::]:80", AF_INET6, false},
        {"unix:/tmp/x", AF_UNIX, true},
    };
    struct address a;
    struct errbuf eb;
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (address_parse(all[i].text, &a, &eb) != 0)
            fail_msg("%s: %s", all[i].text, eb.text);
        assert_int_equal(a.sa.ss_family, all[i].family);
        assert_int_equal(address_is_local(&a), all[i].local);
        assert_int_equal(a.fd, -1);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const char *const all[] = {
        "",       "80",         "host:80",         "1.2.3:80",    "[::1:80",
        "::1:80", "127.0.0.1:", "127.0.0.1:65536", "unix:rel",    "fd:0",
        "fd:x",   "fd:987",     "1.2.3.4:x",       "[::1%lo]:80",
    };
    struct address a;
    struct errbuf eb;
    char longest[200];
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (address_parse(all[i], &a, &eb) != ERR_INVALID)
            fail_msg("%s was taken", all[i]);
        const char *rest = strrchr(all[i], ':');
        assert_non_null(strstr(eb.text, rest != NULL ? rest + 1 : all[i]));
    }
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "unix:/", 6);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(address_parse(longest, &a, &eb), ERR_INVALID);
    longest[120] = '\0';
    assert_int_equal(address_parse(longest, &a, &eb), ERR_INVALID);
    assert_non_null(strstr(eb.text, "107"));
}

static void a_free_port_is_found_and_a_socket_handed_on(void **state)
{
    struct address a, again;
    struct errbuf eb;
    char text[ADDRESS_TEXT_MAX], fd_text[32];
    (void)state;
    assert_int_equal(address_parse("[::1]:0", &a, &eb), 0);
    assert_int_equal(address_parse(":0", &a, &eb), 0);
    int fd = address_listen(&a, 1);
    assert_true(fd >= 0);
    address_of(fd, text);
    assert_memory_equal(text, "127.0.0.1:", 10);
    assert_string_not_equal(text + 10, "0");
    assert_int_equal(address_parse(text, &again, &eb), 0);
    assert_int_equal(address_listen(&again, 1), -1);
    (void)snprintf(fd_text, sizeof(fd_text), "fd:%d", fd);
    assert_int_equal(address_parse(fd_text, &again, &eb), 0);
    assert_true(address_is_local(&again));
    assert_int_equal(address_listen(&again, 1), fd);
    (void)close(fd);
}

static void a_socket_file_that_nobody_listens_at_is_replaced(void **state)
{
    struct address a;
    struct errbuf eb;
    char text[64];
    (void)state;
    (void)snprintf(text, sizeof(text), "unix:/tmp/test_address.%d",
                   (int)getpid());
    assert_int_equal(address_parse(text, &a, &eb), 0);
    int first = address_listen(&a, 1);
    assert_true(first >= 0);
    assert_int_equal(address_listen(&a, 1), -1); /* somebody listens */
    (void)close(first);
    int second = address_listen(&a, 1);
    assert_true(second >= 0);
    (void)close(second);
    (void)unlink(text + strlen("unix:"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_numeric_and_local_ones_known),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_free_port_is_found_and_a_socket_handed_on),
        cmocka_unit_test(a_socket_file_that_nobody_listens_at_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
