/*
 * Claims about URLs of Redis, and that errors keep the password to themselves.
 */
#include "common/redis/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void every_form_parses(void **state)
{
    static const struct {
        const char *text, *host, *path, *user, *password;
        int port, db;
    } cases[] = {
        {"redis://h", "h", "", "", "", 6379, 0},
        {"redis://h/", "h", "", "", "", 6379, 0},
        {"redis://h:1/2", "h", "", "", "", 1, 2},
        {"redis://u@h", "h", "", "u", "", 6379, 0},
        {"redis://u:p@h:65535", "h", "", "u", "p", 65535, 0},
        {"redis://:p@h/15", "h", "", "", "p", 6379, 15},
        {"redis://u:p:q@h", "h", "", "u", "p:q", 6379, 0},
        {"redis://u:p@q@h", "h", "", "u", "p@q", 6379, 0},
        {"redis://u%3a:%2F%40%25@h", "h", "", "u:", "/@%", 6379, 0},
        {"redis://[::1]", "::1", "", "", "", 6379, 0},
        {"redis://:p@[fe80::1%eth0]:7/3", "fe80::1%eth0", "", "", "p", 7, 3},
        {"unix:///run/redis.sock", "", "/run/redis.sock", "", "", 0, 0},
        {"unix://r.sock?db=4", "", "r.sock", "", "", 0, 4},
        {"unix:///a@b%20c", "", "/a@b c", "", "", 0, 0},
        {"unix://u:p@/r.sock?db=1", "", "/r.sock", "u", "p", 0, 1},
        {"unix://:p@/r.sock", "", "/r.sock", "", "p", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct url u;
        struct errbuf eb;
        if (url_parse(cases[i].text, &u, &eb) != 0)
            fail_msg("%s: %s", cases[i].text, eb.text);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.path, cases[i].path);
        assert_string_equal(u.user, cases[i].user);
        assert_string_equal(u.password, cases[i].password);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.db, cases[i].db);
        assert_int_equal(u.is_unix, cases[i].path[0] != '\0');
    }
}

static void what_is_no_url_is_refused_without_its_password(void **state)
{
    static const char *const cases[] = {
        "",
        "h:6379",
        "http://sEcReT@h",
        "rediss://:sEcReT@h",
        "redis://",
        "redis://:sEcReT@",
        "redis://u:sEcReT@:6379",
        "redis://u:sEcReT/@h",
        "redis://u:sEcReT@h:0",
        "redis://u:sEcReT@h:65536",
        "redis://u:sEcReT@h:99999999999",
        "redis://u:sEcReT@h:",
        "redis://u:sEcReT@h:6379x",
        "redis://u:sEcReT@h/-1",
        "redis://u:sEcReT@h/x",
        "redis://u:sEcReT@h/1/2",
        "redis://u:sEcReT@h/99999999999",
        "redis://u:sEcReT@h?db=1",
        "redis://u:sEcReT%@h",
        "redis://u:sEcReT%2@h",
        "redis://u:sEcReT%zz@h",
        "redis://u:sEcReT%00@h",
        "redis://u:sEcReT@[::1",
        "redis://u:sEcReT@[::1]6379",
        "redis://u:sEcReT@h h",
        "redis://u:sEcReT@h\nh",
        "unix://",
        "unix://:sEcReT@",
        "unix://:sEcReT@?db=1",
        "unix:///r?sEcReT",
        "unix:///r?db=",
        "unix:///r?db=1&sEcReT",
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct url u = {.port = 42};
        struct errbuf eb = {""};
        if (url_parse(cases[i], &u, &eb) != ERR_INVALID)
            fail_msg("accepted: %s", cases[i]);
        assert_string_not_equal(eb.text, "");
        assert_null(strstr(eb.text, "sEcReT"));
        assert_int_equal(u.port, 42);
    }
}

static void parts_that_are_too_long_are_refused(void **state)
{
    static const struct {
        const char *before, *after;
        size_t fits;
    } cases[] = {
        {"redis://", "", 255},    {"redis://", "@h", 127},
        {"redis://:", "@h", 511}, {"unix:///", "", 106},
        {"unix://:", "@/r", 511},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        for (size_t more = 0; more < 2; more++) {
            char text[1024], part[600] = "";
            struct url u;
            memset(part, 'x', cases[i].fits + more);
            snprintf(text, sizeof(text), "%s%s%s", cases[i].before, part,
                     cases[i].after);
            assert_int_equal(url_parse(text, &u, NULL),
                             more == 0 ? 0 : ERR_INVALID);
        }
    }
}

static void display_shows_the_place_and_no_person(void **state)
{
    static const char *const cases[][2] = {
        {"redis://u:sEcReT@h", "redis://h:6379/0"},
        {"redis://:sEcReT@[::1]:7/3", "redis://[::1]:7/3"},
        {"unix://u:sEcReT@/r.sock", "unix:///r.sock"},
        {"unix:///r.sock?db=2", "unix:///r.sock?db=2"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct url u;
        char out[384];
        assert_int_equal(url_parse(cases[i][0], &u, NULL), 0);
        assert_string_equal(url_display(&u, out), cases[i][1]);
    }
}

static void a_displayed_path_leads_to_the_same_socket(void **state)
{
    static const char *const escaped[] = {
        "unix:///tmp/a%20b%3f.sock?db=3", "unix:///tmp/%3fdb=1",
        "unix:///tmp/100%25", "unix://a%40b/s", "unix:///%0a%1b[31m%7f"};
    char out[384], longest[sizeof("unix://") + 3 * 107 + 16] = "unix://";
    struct url u;

    (void)state;
    for (size_t i = 0; i < LEN(escaped); i++) {
        assert_int_equal(url_parse(escaped[i], &u, NULL), 0);
        assert_string_equal(url_display(&u, out), escaped[i]);
    }
    for (int i = 0; i < 107; i++)
        strcat(longest, "%25");
    strcat(longest, "?db=2147483647");
    assert_int_equal(url_parse(longest, &u, NULL), 0);
    assert_string_equal(url_display(&u, out), longest);
}

static void the_flag_wins_over_the_environment(void **state)
{
    struct url u;

    (void)state;
    assert_int_equal(url_resolve(NULL, NULL, &u, NULL), 0);
    assert_string_equal(u.host, "127.0.0.1");
    setenv("REDIS_URL", "redis://second", 1);
    assert_int_equal(url_resolve(NULL, NULL, &u, NULL), 0);
    assert_string_equal(u.host, "second");
    setenv("BELT_REDIS_URL", "redis://first", 1);
    assert_int_equal(url_resolve(NULL, NULL, &u, NULL), 0);
    assert_string_equal(u.host, "first");
    setenv("BELT_REDIS_URL", "", 1);
    assert_int_equal(url_resolve(NULL, NULL, &u, NULL), 0);
    assert_string_equal(u.host, "second");
    assert_int_equal(url_resolve("redis://flag", NULL, &u, NULL), 0);
    assert_string_equal(u.host, "flag");
}

static void errors_name_the_source(void **state)
{
    struct errbuf eb;
    struct url u;

    (void)state;
    setenv("REDIS_URL", "nonsense", 1);
    assert_int_equal(url_resolve(NULL, NULL, &u, &eb), ERR_INVALID);
    assert_int_equal(strncmp(eb.text, "REDIS_URL: ", 11), 0);
}

/* Writes text to a new file; the caller unlinks name. */
static void write_file(char name[32], const char *text)
{
    strcpy(name, "/tmp/belt-test-XXXXXX");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_missing_password_comes_from_outside(void **state)
{
    struct url u;
    char name[32];

    (void)state;
    write_file(name, "from file\r\nsecond line\n");
    assert_int_equal(url_resolve("redis://h", name, &u, NULL), 0);
    assert_string_equal(u.password, "from file");
    setenv("REDISCLI_AUTH", "from env", 1);
    assert_int_equal(url_resolve("redis://h", name, &u, NULL), 0);
    assert_string_equal(u.password, "from file");
    assert_int_equal(url_resolve("redis://h", NULL, &u, NULL), 0);
    assert_string_equal(u.password, "from env");
    assert_int_equal(url_resolve("redis://:own@h", name, &u, NULL), 0);
    assert_string_equal(u.password, "own");
    unlink(name);
}

static void a_password_file_without_a_password_is_refused(void **state)
{
    char name[32], longest[600];
    struct url u;
    struct errbuf eb;

    (void)state;
    assert_int_equal(url_resolve("redis://h", "/nonexistent/f", &u, &eb),
                     ERR_SYSTEM);
    assert_int_equal(strncmp(eb.text, "password file: /nonexistent/f", 29), 0);
    write_file(name, "\nsecond");
    assert_int_equal(url_resolve("redis://h", name, &u, &eb), ERR_INVALID);
    unlink(name);
    memset(longest, 'x', sizeof(longest));
    longest[511] = '\0';
    write_file(name, longest);
    assert_int_equal(url_resolve("redis://h", name, &u, &eb), 0);
    assert_int_equal(strlen(u.password), 511);
    unlink(name);
    longest[511] = 'x';
    longest[512] = '\0';
    write_file(name, longest);
    assert_int_equal(url_resolve("redis://h", name, &u, &eb), ERR_INVALID);
    unlink(name);
}

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("BELT_REDIS_URL");
    unsetenv("REDIS_URL");
    unsetenv("REDISCLI_AUTH");
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_form_parses),
        TEST(what_is_no_url_is_refused_without_its_password),
        TEST(parts_that_are_too_long_are_refused),
        TEST(display_shows_the_place_and_no_person),
        TEST(a_displayed_path_leads_to_the_same_socket),
        TEST(the_flag_wins_over_the_environment),
        TEST(errors_name_the_source),
        TEST(a_missing_password_comes_from_outside),
        TEST(a_password_file_without_a_password_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
