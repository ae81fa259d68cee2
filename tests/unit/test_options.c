/*
 * Claims about the command line of belt-worker.
 */
#include "worker/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum { ARGS_MAX = 300 };

struct fixture {
    struct options o;
    struct errbuf eb;
};

static const char *const variables[] = {
    "BELT_QUEUES",    "BELT_NAMESPACE", "BELT_LOG_LEVEL", "BELT_LOG_FORMAT",
    "BELT_REDIS_URL", "REDIS_URL",      "REDISCLI_AUTH"};

/* Reads a command line of words; the program's name goes in front. */
static int parse(struct fixture *f, const char *line)
{
    char *argv[ARGS_MAX] = {mem_strdup("belt-worker")}, *rest = NULL;
    char *copy = mem_strdup(line);
    int argc = 1;
    options_done(&f->o);
    f->eb.text[0] = '\0';
    for (char *p = strtok_r(copy, " ", &rest); p != NULL && argc < ARGS_MAX - 1;
         p = strtok_r(NULL, " ", &rest))
        argv[argc++] = mem_strdup(p);
    int rc = options_parse(argc, argv, &f->o, &f->eb);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    free(copy);
    return rc;
}

/* The same with a handler, which every worker needs. */
static int parse_more(struct fixture *f, const char *line)
{
    char *whole = mem_printf("--handler x=builtin:noop %s", line);
    int rc = parse(f, whole);
    free(whole);
    return rc;
}

static void must(struct fixture *f, const char *line)
{
    if (parse_more(f, line) != 0)
        fail_msg("%s: %s", line, f->eb.text);
}

/* Refuses the line, and says why with these words in it. */
static void refuses(struct fixture *f, const char *line, const char *words)
{
    if (parse_more(f, line) == 0)
        fail_msg("%s is accepted", line);
    if (strstr(f->eb.text, words) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", line, f->eb.text, words);
}

static void defaults_are_as_documented(void **state)
{
    struct fixture *f = *state;
    const struct worker_config *c = &f->o.config;
    must(f, "");
    assert_int_equal(c->queue_count, 1);
    assert_string_equal(c->queues[0].name, "default");
    assert_false(c->weighted);
    assert_string_equal(c->ns, "belt");
    assert_string_equal(c->name, "");
    assert_int_equal(c->threads, 4);
    assert_int_equal(c->max_window, 10000);
    assert_int_equal(c->max_window_bytes, 64 << 20);
    assert_int_equal(c->max_job_bytes, 1 << 20);
    assert_int_equal(c->lease_ms, 15000);
    assert_int_equal(c->drain_timeout_ms, 30000);
    assert_int_equal(c->max_recoveries, 3);
    assert_false(c->at_most_once || c->burst || c->fence);
    assert_int_equal(f->o.limits.timeout_ms, 30 * 60 * 1000);
    assert_int_equal(f->o.limits.kill_after_ms, 10 * 1000);
    assert_int_equal(f->o.limits.cancel_kill_after_ms, 500);
    assert_int_equal(f->o.limits.result_max, 64 * 1024);
    assert_int_equal(f->o.log_level, LOG_LVL_INFO);
    assert_int_equal(f->o.log_format, LOG_LOGFMT);
    assert_string_equal(c->url.host, "127.0.0.1");
    assert_int_equal(c->url.port, 6379);
}

static void flags_say_what_they_say(void **state)
{
    struct fixture *f = *state;
    const struct worker_config *c = &f->o.config;
    must(f, "--threads 7 --lease=3s --drain-timeout 0 --max-window=9 "
            "--max-window-bytes 2m --max-bytes 64k --max-result 1k "
            "--max-recoveries 0 --delivery at-most-once --fence --burst "
            "--name w1 --namespace ns --timeout 5s --kill-after 1s "
            "--cancel-kill-after 2s "
            "--log-level debug --log-format json");
    assert_int_equal(c->threads, 7);
    assert_int_equal(c->lease_ms, 3000);
    assert_int_equal(c->drain_timeout_ms, 0);
    assert_int_equal(c->max_window, 9);
    assert_int_equal(c->max_window_bytes, 2 << 20);
    assert_int_equal(c->max_job_bytes, 64 << 10);
    assert_int_equal(f->o.limits.result_max, 1024);
    assert_int_equal(c->max_recoveries, 0);
    assert_true(c->at_most_once && c->fence && c->burst);
    assert_string_equal(c->name, "w1");
    assert_string_equal(c->ns, "ns");
    assert_int_equal(f->o.limits.timeout_ms, 5000);
    assert_int_equal(f->o.limits.kill_after_ms, 1000);
    assert_int_equal(f->o.limits.cancel_kill_after_ms, 2000);
    assert_int_equal(f->o.log_level, LOG_LVL_DEBUG);
    assert_int_equal(f->o.log_format, LOG_JSON);
    must(f, "--delivery at-least-once");
    assert_false(c->at_most_once);
}

static void each_value_has_its_bounds(void **state)
{
    static const char *const rows[][3] = {
        /* flag, values taken, values refused */
        {"--threads", "1 1000", "0 1001 -1 x 4x 1.5"},
        {"--max-window", "1 10000", "0 10001 x"},
        {"--max-recoveries", "0 12", "-1 13 x"},
        {"--max-window-bytes", "1k 4g", "1023 5g x"},
        {"--max-bytes", "256 256m", "255 257m x"},
        {"--max-result", "0 16m", "17m -1 x"},
        {"--lease", "3s 1h", "2999ms 3601s 15 x"},
        {"--drain-timeout", "0 7d", "8d 30 x"},
        {"--timeout", "1ms 7d", "0 8d 30 x"},
        {"--kill-after", "0 1h", "2h 30 x"},
        {"--delivery", "at-most-once at-least-once", "exactly-once x"},
        {"--namespace", "a a.b-c_9", ".a -a a/b a{b}"},
        {"--name", "a a.b-c_9", ".a -a a/b a:b"},
        {"--log-level", "debug info warn error", "fatal x"},
        {"--log-format", "logfmt json", "xml x"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const *row = rows[i / 2];
        bool good = i % 2 == 0;
        char *values = mem_strdup(row[good ? 1 : 2]), *rest = NULL;
        for (char *v = strtok_r(values, " ", &rest); v != NULL;
             v = strtok_r(NULL, " ", &rest)) {
            char *line = mem_printf("%s=%s", row[0], v);
            if (good)
                must(f, line);
            else
                refuses(f, line, row[0]);
            free(line);
        }
        free(values);
    }
}

static void queues_are_in_order_or_have_weights(void **state)
{
    struct fixture *f = *state;
    const struct worker_config *c = &f->o.config;
    must(f, "-q b,a,c.d");
    assert_int_equal(c->queue_count, 3);
    assert_string_equal(c->queues[0].name, "b");
    assert_string_equal(c->queues[1].name, "a");
    assert_string_equal(c->queues[2].name, "c.d");
    assert_false(c->weighted);
    must(f, "--queues=a:6,b,c:1000");
    assert_true(c->weighted);
    assert_int_equal(c->queues[0].weight, 6);
    assert_int_equal(c->queues[1].weight, 1);
    assert_int_equal(c->queues[2].weight, 1000);
    must(f, "-q a -q b");
    assert_int_equal(c->queue_count, 2);
}

static void queues_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "a,",   ",a",  "a,,b",  "a{b}", "-a",    "a:0",     "a:", "a:1001",
        "a:-1", "a:x", "a:1:2", "a:1x", "a,b,a", "a:1,a:2", ":3"};
    struct fixture *f = *state;
    char long_name[80];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *line = mem_printf("-q %s", bad[i]);
        refuses(f, line, "--queues");
        free(line);
    }
    refuses(f, "-q a:000000000000001x", "--queues");
    refuses(f, "-q a:100000000000000000000", "--queues");
    memset(long_name, 'a', sizeof(long_name));
    memcpy(long_name, "-q ", 3);
    long_name[3 + 65] = '\0';
    refuses(f, long_name, "--queues");
    long_name[3 + 64] = '\0';
    must(f, long_name);
}

static void queues_are_not_without_number(void **state)
{
    struct fixture *f = *state;
    char line[4096] = "-q q0";
    for (int i = 1; i < 256; i++)
        (void)snprintf(line + strlen(line), 16, ",q%d", i);
    must(f, line);
    assert_int_equal(f->o.config.queue_count, 256);
    (void)strcat(line, ",q256");
    refuses(f, line, "256");
}

static void flags_win_over_the_environment(void **state)
{
    struct fixture *f = *state;
    const struct worker_config *c = &f->o.config;
    (void)setenv("BELT_QUEUES", "a,b", 1);
    (void)setenv("BELT_NAMESPACE", "fromenv", 1);
    (void)setenv("BELT_LOG_LEVEL", "error", 1);
    (void)setenv("BELT_LOG_FORMAT", "json", 1);
    must(f, "");
    assert_int_equal(c->queue_count, 2);
    assert_string_equal(c->ns, "fromenv");
    assert_int_equal(f->o.log_level, LOG_LVL_ERROR);
    assert_int_equal(f->o.log_format, LOG_JSON);
    must(f, "-q c --namespace ns --log-level warn --log-format logfmt");
    assert_int_equal(c->queue_count, 1);
    assert_string_equal(c->queues[0].name, "c");
    assert_string_equal(c->ns, "ns");
    assert_int_equal(f->o.log_level, LOG_LVL_WARN);
    assert_int_equal(f->o.log_format, LOG_LOGFMT);
}

static void an_empty_variable_says_nothing_a_wrong_one_is_named(void **state)
{
    struct fixture *f = *state;
    (void)setenv("BELT_NAMESPACE", "", 1);
    must(f, "");
    assert_string_equal(f->o.config.ns, "belt");
    (void)setenv("BELT_NAMESPACE", "a b", 1);
    refuses(f, "", "BELT_NAMESPACE");
}

static void redis_is_where_the_flag_or_the_environment_says(void **state)
{
    struct fixture *f = *state;
    const struct url *url = &f->o.config.url;
    (void)setenv("REDIS_URL", "redis://one:1", 1);
    must(f, "");
    assert_string_equal(url->host, "one");
    (void)setenv("BELT_REDIS_URL", "redis://two:2", 1);
    must(f, "");
    assert_string_equal(url->host, "two");
    must(f, "-u unix:///run/redis.sock?db=3");
    assert_true(url->is_unix);
    assert_string_equal(url->path, "/run/redis.sock");
    assert_int_equal(url->db, 3);
    refuses(f, "-u http://x", "redis://");
    refuses(f, "--password-file /nonexistent/password", "/nonexistent");
}

static void unknown_arguments_are_refused_with_advice(void **state)
{
    struct fixture *f = *state;
    refuses(f, "--thread 4", "--threads");
    refuses(f, "--qeues=a", "--queues");
    refuses(f, "-x", "-x");
    refuses(f, "stray", "stray");
    refuses(f, "--threads", "--threads");
    refuses(f, "-q", "--queues");
    refuses(f, "--burst=yes", "--burst");
}

static void limits_hold_for_handlers_in_front_of_them(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "--handler a=builtin:noop --timeout 5s "
                              "--handler b.*=builtin:fail"),
                     0);
    assert_int_equal(handlers_count(f->o.handlers), 2);
    assert_non_null(handlers_find(f->o.handlers, "a"));
    assert_non_null(handlers_find(f->o.handlers, "b.c"));
    assert_ptr_equal(f->o.config.handlers, f->o.handlers);
    assert_int_equal(f->o.limits.timeout_ms, 5000);
}

static void a_worker_needs_handlers(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "-q a"), ERR_INVALID);
    assert_non_null(strstr(f->eb.text, "--handler"));
    refuses(f, "--handler y", "y");
    refuses(f, "--handler y=nokind:z", "nokind");
    refuses(f, "--handlers /nonexistent/dir", "/nonexistent/dir");
}

static void help_and_version_need_nothing_else(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "--help"), 0);
    assert_true(f->o.help);
    assert_int_equal(parse(f, "-h"), 0);
    assert_true(f->o.help);
    assert_int_equal(parse(f, "--version"), 0);
    assert_true(f->o.version);
    assert_false(f->o.help);
}

static void help_names_the_flags_and_keeps_to_the_width(void **state)
{
    static const char *const names[] = {
        "-q, --queues A,B", "--handlers DIR", "--threads N", "-u, --redis URL",
        "--delivery MODE",  "--burst",        "--lease D",   "-h, --help"};
    char *text = NULL;
    size_t len = 0;
    (void)state;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    options_help(out);
    (void)fclose(out);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_non_null(strstr(text, names[i]));
    for (const char *p = text; *p != '\0'; p += strcspn(p, "\n") + 1)
        assert_in_range(strcspn(p, "\n"), 0, 100);
    free(text);
}

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        (void)unsetenv(variables[i]);
    *state = mem_new(sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    options_done(&f->o);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_as_documented),
        TEST(flags_say_what_they_say),
        TEST(each_value_has_its_bounds),
        TEST(queues_are_in_order_or_have_weights),
        TEST(queues_that_are_none_are_refused),
        TEST(queues_are_not_without_number),
        TEST(flags_win_over_the_environment),
        TEST(an_empty_variable_says_nothing_a_wrong_one_is_named),
        TEST(redis_is_where_the_flag_or_the_environment_says),
        TEST(unknown_arguments_are_refused_with_advice),
        TEST(limits_hold_for_handlers_in_front_of_them),
        TEST(a_worker_needs_handlers),
        TEST(help_and_version_need_nothing_else),
        TEST(help_names_the_flags_and_keeps_to_the_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
