/*
 * Claims about the table of handlers, command lines and builtin handlers.
 */
#include "worker/handler.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler_priv.h"

static struct handlers *table(const char *const *specs, size_t n)
{
    struct handlers *hs = handlers_new(NULL);
    struct errbuf eb = {""};

    for (size_t i = 0; i < n; i++)
        if (handlers_add(hs, specs[i], &eb) != 0)
            fail_msg("%s", eb.text);
    assert_int_equal(handlers_count(hs), n);
    return hs;
}

static void expect_found(const struct handlers *hs, const char *type,
                         const char *pattern)
{
    const struct handler *h = handlers_find(hs, type);

    assert_non_null(h);
    assert_string_equal(handler_pattern(h), pattern);
}

static void most_specific_handler_wins(void **state)
{
    static const char *const specs[] = {
        "*=builtin:noop",      "mail.*=builtin:noop",  "mail.send=builtin:noop",
        "*.send=builtin:noop", "mail.s*=builtin:noop", "mail.?*d*=builtin:noop",
        "news=builtin:noop",   "a=builtin:noop",       "m[ab]=builtin:noop"};
    struct handlers *hs = table(specs, 9);

    (void)state;
    expect_found(hs, "mail.send", "mail.send");
    expect_found(hs, "mail.sent", "mail.s*");
    expect_found(hs, "mail.read", "mail.?*d*");
    expect_found(hs, "mail.x", "mail.*");
    expect_found(hs, "sms.send", "*.send");
    expect_found(hs, "mb", "m[ab]");
    expect_found(hs, "mc", "*");
    expect_found(hs, "news", "news");
    expect_found(hs, "a", "a");
    handlers_free(hs);
}

static void type_without_handler_finds_none(void **state)
{
    static const char *const specs[] = {"b=builtin:noop", "d*=builtin:noop"};
    struct handlers *hs = table(specs, 2);

    (void)state;
    assert_null(handlers_find(hs, "a"));
    assert_null(handlers_find(hs, "bb"));
    assert_null(handlers_find(hs, "xd"));
    handlers_free(hs);
}

static void bad_specs_are_refused_with_reason(void **state)
{
    static const struct {
        const char *spec, *why;
    } rows[] = {
        {"mail", "handler mail: expected TYPE=KIND:SPEC"},
        {"mail=exec", "handler mail=exec: expected TYPE=KIND:SPEC"},
        {"=exec:/bin/true", "not a type"},
        {"a\x01=exec:/bin/true", "not a type"},
        {"a\xff=exec:/bin/true", "not a type"},
        {"a\xc2\x85=exec:/bin/true", "not a type"},
        {"mail=exex:/bin/true", "did you mean exec?"},
        {"mail=thread:x", "no such kind of handler: thread"},
        {"mail=exec:", "handler mail=exec:: it names no program"},
        {"mail=exec:''", "names no program"},
        {"mail=exec:a 'b", "' is not closed"},
        {"mail=exec:a \"b\\\"", "\" is not closed"},
        {"mail=exec:a \\", "nothing follows"},
        {"mail=builtin:nop", "no such builtin: nop (did you mean noop?)"},
        {"mail=builtin:noop 1", "takes no argument"},
        {"mail=builtin:sleep soon", "soon"},
        {"taken=builtin:noop", "there is one for it already"},
    };
    static const char *const specs[] = {"taken=builtin:fail"};
    struct handlers *hs = table(specs, 1);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct errbuf eb = {""};

        assert_int_equal(handlers_add(hs, rows[i].spec, &eb), ERR_INVALID);
        if (strstr(eb.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].spec, eb.text);
    }
    assert_int_equal(handlers_count(hs), 1);
    handlers_free(hs);
}

static void expect_words(const char *line, const char *const *words)
{
    struct errbuf eb = {""};
    char **argv;

    if (argv_split(line, &argv, &eb) != 0)
        fail_msg("%s: %s", line, eb.text);
    for (size_t i = 0; words[i] != NULL || argv[i] != NULL; i++) {
        assert_non_null(words[i]);
        assert_non_null(argv[i]);
        assert_string_equal(argv[i], words[i]);
    }
    argv_free(argv);
}

static void command_line_splits_as_in_a_shell(void **state)
{
    (void)state;
    expect_words("a", (const char *[]){"a", NULL});
    expect_words("  a\tb \n c ", (const char *[]){"a", "b", "c", NULL});
    expect_words("a 'b c' d", (const char *[]){"a", "b c", "d", NULL});
    expect_words("a '\\n$x' ''", (const char *[]){"a", "\\n$x", "", NULL});
    expect_words("a \"b 'c' \\\" \\\\ \\n\"",
                 (const char *[]){"a", "b 'c' \" \\ \\n", NULL});
    expect_words("a\\ b \\'c\\\\", (const char *[]){"a b", "'c\\", NULL});
    expect_words("x'y'\"z\"w", (const char *[]){"xyzw", NULL});
    expect_words("a $HOME * ~ ; | #",
                 (const char *[]){"a", "$HOME", "*", "~", ";", "|", "#", NULL});
}

static void directory_gives_a_handler_per_file(void **state)
{
    struct runner_fixture *f = *state;
    struct errbuf eb = {""};
    char path[128];

    f->hs = handlers_new(&f->limits);
    runner_file(f, "mail.send", "#!/bin/sh\n");
    runner_file(f, "news*", "#!/bin/sh\n");
    runner_file(f, ".hidden", "#!/bin/sh\n");
    runner_file(f, "mail.send~", "#!/bin/sh\n");
    runner_file(f, "bad\x01name", "#!/bin/sh\n");
    assert_int_equal(chmod(runner_file(f, "plain", "text"), 0600), 0);
    snprintf(path, sizeof(path), "%s/linked", f->dir);
    assert_int_equal(symlink("/bin/true", path), 0);
    snprintf(path, sizeof(path), "%s/dangling", f->dir);
    assert_int_equal(symlink("/nowhere", path), 0);
    snprintf(path, sizeof(path), "%s/subdir", f->dir);
    assert_int_equal(mkdir(path, 0700), 0);

    assert_int_equal(handlers_add_dir(f->hs, f->dir, &eb), 0);
    assert_int_equal(handlers_count(f->hs), 4);
    expect_found(f->hs, "mail.send", "mail.send");
    expect_found(f->hs, "news*", "news*");
    expect_found(f->hs, "plain", "plain");
    expect_found(f->hs, "linked", "linked");
    assert_null(handlers_find(f->hs, "newspaper"));

    struct buf log = runner_log(f);
    expect_contains(&log, "ev=handler_passed_over");
    buf_done(&log);
}

static void files_of_a_directory_run(void **state)
{
    struct runner_fixture *f = *state;
    struct errbuf eb = {""};
    struct delivery *d;

    runner_file(f, "with space", "#!/bin/sh\ncat\n");
    f->hs = handlers_new(&f->limits);
    assert_int_equal(handlers_add_dir(f->hs, f->dir, &eb), 0);
    d = runner_delivery(f, "with space", "[1.0]", NULL);
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "[1.0]");
    delivery_free(d);
}

static void unreadable_directory_is_an_error(void **state)
{
    struct handlers *hs = handlers_new(NULL);
    struct errbuf eb = {""};

    (void)state;
    assert_int_equal(handlers_add_dir(hs, "/nowhere/at/all", &eb), ERR_SYSTEM);
    assert_string_equal(eb.text,
                        "handlers /nowhere/at/all: No such file or directory");
    handlers_free(hs);
}

static struct delivery *run_builtin(struct runner_fixture *f, const char *spec,
                                    const char *payload)
{
    char *text = mem_printf("t=builtin:%s", spec);
    struct delivery *d;

    runner_handler(f, text);
    free(text);
    d = runner_delivery(f, "t", payload, NULL);
    handler_run(d, f->cancel_fd);
    return d;
}

static void noop_and_echo_are_done(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d = run_builtin(f, "noop", "[1]");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "");
    delivery_free(d);

    d = run_builtin(f, "echo", "{\"a\": 1.0}");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "{\"a\": 1.0}");
    assert_false(d->outcome.result_truncated);
    delivery_free(d);
}

static void echo_is_cut_at_the_limit(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    f->limits.result_max = 4;
    d = run_builtin(f, "echo", "123456");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "1234");
    assert_true(d->outcome.result_truncated);
    delivery_free(d);
}

static void fail_asks_for_a_retry(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d = run_builtin(f, "fail no such luck", NULL);

    expect_verdict(d, VERDICT_RETRY, "builtin");
    expect_contains(&d->outcome.message, "no such luck");
    delivery_free(d);
}

static void sleep_takes_its_time_from_payload_then_argument(void **state)
{
    static const struct {
        const char *spec, *payload;
        int64_t ms;
    } rows[] = {
        {"sleep 1h", "30", 30},
        {"sleep 1h", "{\"n\":1,\"ms\":20}", 20},
        {"sleep 15ms", "{\"ms\":\"x\"}", 15},
        {"sleep 10ms", "null", 10},
        {"sleep 10ms", "-5", 10},
        {"sleep", "0", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t start = clock_ms();
        struct delivery *d = run_builtin(*state, rows[i].spec, rows[i].payload);

        expect_verdict(d, VERDICT_DONE, "");
        assert_true(clock_ms() - start >= rows[i].ms);
        assert_true(clock_ms() - start < 20 * 1000);
        delivery_free(d);
    }
}

static void sleep_ends_at_the_time_out(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_handler(f, "t=builtin:sleep 1h");
    d = runner_delivery(f, "t", NULL, ",\"timeout\":20");
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_RETRY, "timeout");
    expect_contains(&d->outcome.message, "timed out after 20ms");
    delivery_free(d);
}

struct canceller {
    struct runner_fixture *f;
    struct delivery *d;
};

static void *cancel_main(void *arg)
{
    struct canceller *c = arg;
    uint64_t one = 1;
    ssize_t n;

    /* A wake that means nothing comes first, as a stale one would. */
    n = write(c->f->cancel_fd, &one, sizeof(one));
    atomic_store(&c->d->cancel, CANCEL_RELEASE);
    n += write(c->f->cancel_fd, &one, sizeof(one));
    return n == 2 * sizeof(one) ? NULL : arg;
}

static void sleep_ends_when_cancelled(void **state)
{
    struct runner_fixture *f = *state;
    struct canceller c = {.f = f};
    pthread_t t;
    void *failed;

    runner_handler(f, "t=builtin:sleep 1h");
    c.d = runner_delivery(f, "t", NULL, NULL);
    assert_int_equal(pthread_create(&t, NULL, cancel_main, &c), 0);
    handler_run(c.d, f->cancel_fd);
    pthread_join(t, &failed);
    assert_null(failed);
    expect_verdict(c.d, VERDICT_RELEASE, "stopped");
    delivery_free(c.d);
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_specific_handler_wins),
        cmocka_unit_test(type_without_handler_finds_none),
        cmocka_unit_test(bad_specs_are_refused_with_reason),
        cmocka_unit_test(command_line_splits_as_in_a_shell),
        IN_DIR(directory_gives_a_handler_per_file),
        IN_DIR(files_of_a_directory_run),
        cmocka_unit_test(unreadable_directory_is_an_error),
        IN_DIR(noop_and_echo_are_done),
        IN_DIR(echo_is_cut_at_the_limit),
        IN_DIR(fail_asks_for_a_retry),
        IN_DIR(sleep_takes_its_time_from_payload_then_argument),
        IN_DIR(sleep_ends_at_the_time_out),
        IN_DIR(sleep_ends_when_cancelled),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
