/*
 * Claims about belt run: real commands on a real worker, which runs what it
 * allows, and what whoever waits sees of them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define RUN(status, in_out, in_err, ...)                                       \
    EXPECT(runs_redis, NULL, (status), (in_out), (in_err), "run", "-q", "q",   \
           __VA_ARGS__)

/* A worker whose configuration has this in its handler. */
static struct worker *worker(const char *keys)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/belt.conf", redis_dir(runs_redis));
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fprintf(f, "handler \"belt.command\" { %s }\n", keys);
    (void)fclose(f);
    return runs_worker("-c", path, "--threads", "4", NULL);
}

static struct worker *shell_worker(void)
{
    return worker("command = \"sh -c *\" cancel-kill-after = 5s");
}

static void the_exit_code_is_that_of_the_command(void **state)
{
    (void)state;
    struct worker *w = worker("command = \"sh -c * ; no-such-program\"");
    RUN(0, "out\n", NULL, "--wait", "--", "sh", "-c", "echo out");
    RUN(3, "out\n", "err\n", "--wait", "--", "sh", "-c",
        "echo out; echo err >&2; exit 3");
    RUN(65, "", "", "--wait", "--", "sh", "-c", "exit 65");
    RUN(99, "", "", "--wait", "--", "sh", "-c", "exit 99");
    RUN(127, "", "", "--wait", "--", "sh", "-c", "exit 127");
    RUN(128 + SIGTERM, "", "", "--wait", "--", "sh", "-c", "kill -TERM $$");
    RUN(127, "", "", "--wait", "--", "no-such-program");
    assert_int_equal(queue_stat(runs_redis, "q", "retried"), 0);
    assert_int_equal(queue_stat(runs_redis, "q", "put_off"), 0);
    assert_int_equal(queue_stat(runs_redis, "q", "dead"), 6);
    runs_end(w);
}

static void what_is_not_allowed_is_dead_and_said(void **state)
{
    (void)state;
    struct worker *w =
        worker("command = \"sh -c *\" allow-env = \"A\" allow-dir = \"/\"");
    RUN(1, "", "not allowed here: sh -e x", "--wait", "--", "sh", "-e", "x");
    RUN(1, "", "not allowed here: variable B", "--wait", "--env", "B=1", "--",
        "sh", "-c", "env");
    RUN(1, "", "not allowed here: directory /tmp", "--wait", "--dir", "/tmp",
        "--", "sh", "-c", "env");
    RUN(0, "1 2 /\n", NULL, "--wait", "--env", "A=1 2", "--dir", "/", "--",
        "sh", "-c", "echo \"$A $PWD\"");
    runs_end(w);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:dead"), 3);
}

static void without_a_handler_nothing_is_allowed(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "x=builtin:noop", NULL);
    RUN(124, "", "", "--wait", "--wait-timeout=300ms", "--", "true");
    assert_int_equal(queue_stat(runs_redis, "q", "put_off"), 1);
    runs_end(w);
}

static void its_stdin_can_be_ours(void **state)
{
    (void)state;
    struct worker *w = worker("command = \"cat\"");
    EXPECT(runs_redis, "a \"b\"\nc", 0, "a \"b\"\nc", NULL, "run", "-q", "q",
           "--wait", "--stdin", "--", "cat");
    EXPECT(runs_redis, "\xff", 65, "", "not UTF-8", "run", "-q", "q", "--stdin",
           "--", "cat");
    runs_end(w);
}

static bool has_begun(void *arg)
{
    char *text = cli_output(arg);
    bool begun = strcmp(text, "begun\n") == 0;
    free(text);
    return begun;
}

/* What it says is there before it ends. */
static void lines_come_while_it_runs(void **state)
{
    struct cli c;
    struct cli_result r;
    char script[512];
    (void)state;
    struct worker *w = shell_worker();
    (void)snprintf(script, sizeof(script),
                   "echo begun; until [ -e %s ]; do sleep 0.01; done; "
                   "printf 'no end'",
                   runs_out());
    cli_start(&c, runs_redis, -1,
              (const char *const[]){"run", "-q", "q", "-w", "--", "sh", "-c",
                                    script, NULL});
    assert_true(wait_until(has_begun, &c, RUN_MS));
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "begun\nno end");
    cli_result_done(&r);
    runs_end(w);
}

static void who_waits_is_told_of_a_cancel(void **state)
{
    struct cli c;
    struct cli_result r;
    (void)state;
    struct worker *w = shell_worker();
    cli_start(&c, runs_redis, -1,
              (const char *const[]){"run", "-q", "q", "-w", "--id", "j", "--",
                                    "sh", "-c", "echo begun; exec sleep 1000",
                                    NULL});
    assert_true(wait_until(has_begun, &c, RUN_MS));
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cancel", "q/j");
    cli_finish(&c, &r);
    assert_int_equal(r.status, 128 + SIGTERM);
    assert_non_null(strstr(r.err, "q/j is cancelled"));
    cli_result_done(&r);
    runs_end(w);
}

/* More than a log holds, and than whoever follows can read at once. */
static void a_flood_is_bounded_and_its_end_is_there(void **state)
{
    (void)state;
    struct worker *w = shell_worker();
    struct cli_result r = CLI(runs_redis, NULL, "run", "-q", "q", "--wait",
                              "--id", "j", "--", "sh", "-c", "seq 20000");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\n19999\n20000\n"));
    cli_result_done(&r);
    assert_int_equal(redis_int(runs_redis, "HSTRLEN belt:{q}:job:j result"),
                     65536);
    EXPECT(runs_redis, NULL, 0, "20000\n", NULL, "result", "--raw", "q/j");
    runs_end(w);
}

static void it_prints_a_name_that_others_take(void **state)
{
    (void)state;
    struct worker *w = shell_worker();
    struct cli_result r = CLI(runs_redis, NULL, "run", "-q", "q", "--", "sh",
                              "-c", "echo hello; exit 7");
    assert_int_equal(r.status, 0);
    r.out[strcspn(r.out, "\n")] = '\0';
    EXPECT(runs_redis, NULL, 7, NULL, NULL, "wait", r.out);
    EXPECT(runs_redis, NULL, 0, "stdout hello", NULL, "logs", r.out);
    EXPECT(runs_redis, NULL, 1, "", "it is dead", "run", "-q", "q", "--after",
           r.out, "--", "sh", "-c", "true");
    cli_result_done(&r);
    runs_end(w);
}

static void it_runs_later_or_after_another(void **state)
{
    char script[512];
    (void)state;
    struct worker *w = shell_worker();
    (void)snprintf(script, sizeof(script), "cat %s; echo second", runs_out());
    char *first = mem_printf("sleep 0.3; echo first > %s", runs_out());
    RUN(0, "q/first\n", NULL, "--in", "200ms", "--id", "first", "--", "sh",
        "-c", first);
    RUN(0, "first\nsecond\n", NULL, "--wait", "--after", "q/first", "--", "sh",
        "-c", script);
    RUN(0, "first\nsecond\n", NULL, "--wait", "--after", "first", "--at",
        "2020-01-01T00:00:00Z", "--", "sh", "-c", script);
    free(first);
    RUN(1, "", "--after: none: not kept", "--after", "none", "--", "sh", "-c",
        "true");
    runs_end(w);
}

static void a_failure_is_repeated_if_that_was_asked_for(void **state)
{
    char script[512];
    (void)state;
    struct worker *w = shell_worker();
    (void)snprintf(script, sizeof(script),
                   "echo $BELT_ATTEMPT; exit $((3 - "
                   "BELT_ATTEMPT))");
    RUN(0, "1\n2\n3\n", NULL, "--wait", "--max-attempts", "5", "--backoff",
        "[1]", "--", "sh", "-c", script);
    runs_end(w);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    RUN(64, "", "an argument is missing", "--wait");
    RUN(64, "", "make: arguments for what is run stand behind --", "make");
    RUN(64, "", "--wait-timeout needs --wait", "--wait-timeout=1s", "--", "x");
    RUN(65, "", "--env: A: not NAME=VALUE", "--env", "A", "--", "x");
    RUN(65, "", "not UTF-8", "--", "x", "\xff");
    RUN(64, "", "neither QUEUE/ID nor ID", "--after", "a/b/c", "--", "x");
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_exit_code_is_that_of_the_command),
        TEST(what_is_not_allowed_is_dead_and_said),
        TEST(without_a_handler_nothing_is_allowed),
        TEST(its_stdin_can_be_ours),
        TEST(lines_come_while_it_runs),
        TEST(who_waits_is_told_of_a_cancel),
        TEST(a_flood_is_bounded_and_its_end_is_there),
        TEST(it_prints_a_name_that_others_take),
        TEST(it_runs_later_or_after_another),
        TEST(a_failure_is_repeated_if_that_was_asked_for),
        TEST(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
