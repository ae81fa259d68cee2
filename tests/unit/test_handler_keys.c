/*
 * Claims about the keys of a handler: what each takes, and for which kinds.
 */
#include "worker/handler_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/config_fixture.h"
#include "worker/handler_priv.h"

/* A good value and one that is not, for each key; NULL: there is none. */
static const struct {
    const char *key, *good, *bad;
} values[] = {
    {"heartbeat", "30s", "8d"},
    {"retry", "default", ""},
    {"env", "A=1", ""},
    {"pass-env", "HOME LANG", ""},
    {"dir", "/", ""},
    {"private-tmp", "on", "maybe"},
    {"user", "nobody:nogroup", ""},
    {"nice", "19", "20"},
    {"max-memory", "1m", "1k"},
    {"max-files", "8", "7"},
    {"max-cpu", "1s", "999ms"},
    {"cgroup", "/sys/fs/cgroup/belt", ""},
    {"cgroup-memory", "2g", "x"},
    {"cgroup-cpu", "100", "0"},
    {"cgroup-pids", "16", "0"},
    {"allow-env", "CI LC_*", ""},
    {"allow-dir", "/srv/*", ""},
    {"processes", "1000", "1001"},
    {"max-jobs", "0", "-1"},
    {"max-rss", "512m", "1t"},
    {"start-timeout", "1ms", "0"},
    {"secret-file", "/etc/belt/hook", ""},
    {"ca-file", "/etc/ssl/own.pem", ""},
    {"connect-timeout", "24h", "25h"},
    {"header", "A: b", ""},
    {"dead-status", "404 410", ""},
    {"retry-status", "4xx", ""},
};
enum { VALUES = sizeof(values) / sizeof(values[0]) };

static unsigned row_of(const char *key)
{
    const char *name;
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++)
        if (strcmp(name, key) == 0)
            return i;
    fail_msg("no key %s", key);
    return 0;
}

static unsigned value_row(const char *key)
{
    for (unsigned i = 0; i < VALUES; i++)
        if (strcmp(values[i].key, key) == 0)
            return i;
    fail_msg("no value for %s to try", key);
    return 0;
}

/* Both were zeroed as a whole, so what lies between members is the same. */
static bool same_bytes(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n) == 0;
}

static void every_key_takes_what_it_is_for(void **state)
{
    struct handler_keys k, fresh;
    const char *name;
    struct errbuf eb = {""};
    (void)state;
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++) {
        unsigned v = value_row(name);
        handler_keys_init(&k);
        handler_keys_init(&fresh);
        if (handler_keys_set(&k, i, values[v].good, &eb) != 0)
            fail_msg("%s = %s: %s", name, values[v].good, eb.text);
        if (same_bytes(&k, &fresh, sizeof(k)) && strcmp(name, "max-jobs") != 0)
            fail_msg("%s changes nothing", name);
        handler_keys_done(&k);
        eb.text[0] = '\0';
        assert_int_equal(handler_keys_set(&k, i, values[v].bad, &eb),
                         ERR_INVALID);
        if (eb.text[0] == '\0')
            fail_msg("%s = %s is wrong without a word", name, values[v].bad);
        handler_keys_done(&k);
    }
}

static void a_value_that_is_wrong_leaves_the_old_one(void **state)
{
    struct handler_keys k;
    struct errbuf eb;
    (void)state;
    handler_keys_init(&k);
    assert_int_equal(k.start_timeout_ms, 10000);
    assert_int_equal(k.connect_timeout_ms, 5000);
    assert_int_equal(handler_keys_set(&k, row_of("nice"), "5", &eb), 0);
    assert_int_equal(handler_keys_set(&k, row_of("nice"), "-1", &eb),
                     ERR_INVALID);
    assert_int_equal(k.nice, 5);
    assert_int_equal(handler_keys_set(&k, row_of("max-cpu"), "0", &eb),
                     ERR_INVALID);
    assert_string_equal(eb.text, "0 is too small");
    assert_int_equal(handler_keys_set(&k, row_of("heartbeat"), "200h", &eb),
                     ERR_INVALID);
    assert_string_equal(eb.text, "200h is too large");
    assert_int_equal(handler_keys_set(&k, row_of("dir"), "/a", &eb), 0);
    assert_int_equal(handler_keys_set(&k, row_of("dir"), "", &eb), ERR_INVALID);
    assert_string_equal(k.dir, "/a");
    assert_int_equal(handler_keys_set(&k, row_of("dir"), "/b", &eb), 0);
    assert_string_equal(k.dir, "/b");
    handler_keys_done(&k);
    assert_null(k.dir);
}

static void lists_keep_their_order(void **state)
{
    struct handler_keys k;
    unsigned env = row_of("env");
    (void)state;
    handler_keys_init(&k);
    assert_true(handler_keys_is_list(env));
    assert_true(handler_keys_is_list(row_of("header")));
    assert_false(handler_keys_is_list(row_of("pass-env")));
    assert_null(k.env);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            handler_keys_set(&k, env, (const char *[]){"A=1", "B=2", "A=3"}[i],
                             NULL),
            0);
    assert_string_equal(k.env[0], "A=1");
    assert_string_equal(k.env[1], "B=2");
    assert_string_equal(k.env[2], "A=3");
    assert_null(k.env[3]);
    handler_keys_done(&k);
}

static void a_key_fits_its_kinds_and_no_part_of_their_names(void **state)
{
    (void)state;
    assert_true(handler_keys_fits(row_of("retry"), "builtin"));
    assert_true(handler_keys_fits(row_of("env"), "exec"));
    assert_true(handler_keys_fits(row_of("env"), "process"));
    assert_true(handler_keys_fits(row_of("env"), "command"));
    assert_false(handler_keys_fits(row_of("env"), "plugin"));
    assert_false(handler_keys_fits(row_of("env"), "exe"));
    assert_false(handler_keys_fits(row_of("env"), "proc"));
    assert_false(handler_keys_fits(row_of("env"), ""));
    assert_false(handler_keys_fits(row_of("processes"), "exec"));
    assert_true(handler_keys_fits(row_of("header"), "http"));
}

static const struct handler_keys *keys_of(const struct conf *c,
                                          const char *type)
{
    const struct handler *h = handlers_find(c->o.handlers, type);
    assert_non_null(h);
    return &h->keys;
}

static void kind_and_keys_come_in_any_order(void **state)
{
    struct conf *c = *state;
    conf_read(c, NO_FLAGS,
              "handler a { exec = 'true' nice = 3 env = 'A=1' env = 'B=2' }\n"
              "handler b { env = 'C=3' nice = 4 exec = 'true'\n"
              "            max-files = 64 }\n"
              "handler c { exec = 'true' }\n");
    assert_int_equal(keys_of(c, "a")->nice, 3);
    assert_string_equal(keys_of(c, "a")->env[1], "B=2");
    assert_int_equal(keys_of(c, "b")->nice, 4);
    assert_int_equal(keys_of(c, "b")->max_files, 64);
    assert_string_equal(keys_of(c, "b")->env[0], "C=3");
    assert_null(keys_of(c, "b")->env[1]);
    assert_int_equal(keys_of(c, "c")->nice, 0);
    assert_null(keys_of(c, "c")->env);
}

static void what_does_not_fit_is_said_with_its_line(void **state)
{
    conf_expect_wrong(
        *state,
        "handler a { builtin = noop\n"
        "  nice = 3\n"
        "  env = 'A=1'\n"
        "  retry = 'default' }\n"
        "retry default { max-attempts = 3 }\n"
        "handler b {\n"
        "  processes = 3\n"
        "  exec = 'true' }\n"
        "handler c { exec = 'true'\n"
        "  nice = 1\n"
        "  nice = 2\n"
        "  max-files = 3 nise = 3\n"
        "  heartbeat = 30 }\n",
        "FILE:2: nice: no key of a handler of kind builtin\n"
        "FILE:3: env: no key of a handler of kind builtin\n"
        "FILE:7: processes: no key of a handler of kind exec\n"
        "FILE:11: nice: line 10 says it already\n"
        "FILE:12: max-files: 3 is not from 8 to 1048576\n"
        "FILE:12: unknown key \"nise\" in handler, did you mean nice?\n"
        "FILE:13: heartbeat: \"30\" is no duration like 500ms, 10s, 1h30m or "
        "7d\n");
}

static void keys_of_a_handler_are_keys_of_nothing_else(void **state)
{
    conf_expect_wrong(*state,
                      "handler a { builtin = noop }\n"
                      "worker { nice = 3 }\n"
                      "nice = 3\n",
                      "FILE:2: unknown key \"nice\" in worker, did you mean "
                      "name?\n"
                      "FILE:3: unknown key \"nice\", did you mean name?\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
    const struct CMUnitTest tests[] = {
        T(every_key_takes_what_it_is_for),
        T(a_value_that_is_wrong_leaves_the_old_one),
        T(lists_keep_their_order),
        T(a_key_fits_its_kinds_and_no_part_of_their_names),
        T(kind_and_keys_come_in_any_order),
        T(what_does_not_fit_is_said_with_its_line),
        T(keys_of_a_handler_are_keys_of_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
