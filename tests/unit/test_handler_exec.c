/*
 * Claims about exec handlers, each with a real process: the exit table,
 * payload and outputs of any size, and what the process inherits. How runs
 * are stopped has its own program.
 */
#include <fcntl.h>
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
#include "worker/handler.h"

#define MIB (1024 * 1024)

static void exit_code_decides_the_verdict(void **state)
{
    static const struct {
        int code;
        enum verdict verdict;
    } rows[] = {
        {0, VERDICT_DONE},      {75, VERDICT_RETRY},    {111, VERDICT_RETRY},
        {65, VERDICT_DEAD},     {100, VERDICT_DEAD},    {99, VERDICT_DISCARD},
        {126, VERDICT_PUT_OFF}, {127, VERDICT_PUT_OFF}, {1, VERDICT_RETRY},
        {2, VERDICT_RETRY},     {66, VERDICT_RETRY},    {128, VERDICT_RETRY},
        {143, VERDICT_RETRY},   {255, VERDICT_RETRY}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[32], message[32];
        struct delivery *d;

        snprintf(body, sizeof(body), "exit %d", rows[i].code);
        snprintf(message, sizeof(message), "exit code %d", rows[i].code);
        d = runner_run(*state, body, NULL);
        expect_verdict(d, rows[i].verdict, rows[i].code == 0 ? "" : "exit");
        if (rows[i].code != 0)
            assert_string_equal(d->outcome.message.data, message);
        assert_false(d->outcome.crashed);
        delivery_free(d);
    }
}

static void signal_is_a_crash(void **state)
{
    struct delivery *d = runner_run(*state, "kill -SEGV $$", NULL);

    expect_verdict(d, VERDICT_RETRY, "signal");
    assert_true(d->outcome.crashed);
    expect_contains(&d->outcome.message, "signal 11 (SIGSEGV)");
    delivery_free(d);
}

static void expect_put_off(struct runner_fixture *f, const char *spec,
                           const char *message)
{
    struct delivery *d;

    runner_handler(f, spec);
    d = runner_delivery(f, "t", "[1]", NULL);
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_PUT_OFF, "spawn");
    expect_contains(&d->outcome.message, message);
    delivery_free(d);
}

static void handler_that_cannot_start_is_put_off(void **state)
{
    struct runner_fixture *f = *state;
    char *spec;

    expect_put_off(f, "t=exec:/nowhere/x -v",
                   "/nowhere/x: No such file or directory");
    expect_put_off(f, "t=exec:belt-no-such-program",
                   "belt-no-such-program: No such file or directory");
    expect_put_off(f, "t=exec:/tmp", "/tmp: Permission denied");
    spec = mem_printf("t=exec:%s", runner_file(f, "x", "#!/bin/sh\n"));
    assert_int_equal(chmod(strchr(spec, '/'), 0600), 0);
    expect_put_off(f, spec, "Permission denied");
    free(spec);
    spec = mem_printf("t=exec:%s", runner_file(f, "y", "no interpreter"));
    expect_put_off(f, spec, "Exec format error");
    free(spec);
}

static void program_without_slash_is_searched(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_handler(f, "t=exec:printf '%s|' 'a b' \"c\\\"\" d\\ e");
    d = runner_delivery(f, "t", NULL, NULL);
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "a b|c\"|d e|");
    delivery_free(d);
}

static void stdout_of_a_failed_run_is_no_result(void **state)
{
    struct delivery *d = runner_run(*state, "echo out; exit 3", NULL);

    expect_verdict(d, VERDICT_RETRY, "exit");
    expect_result(d, "");
    delivery_free(d);
}

/* A JSON string of n bytes. */
static char *big_payload(size_t n)
{
    char *p = mem_new(n + 1);

    memset(p, 'x', n);
    p[0] = p[n - 1] = '"';
    return p;
}

static void payload_comes_back_byte_for_byte(void **state)
{
    struct runner_fixture *f = *state;
    char *payload = big_payload(MIB);
    struct delivery *d;

    f->limits.result_max = 2 * MIB;
    d = runner_run(f, "exec cat", payload);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, payload);
    assert_false(d->outcome.result_truncated);
    delivery_free(d);
    free(payload);
}

static void handler_need_not_read_its_payload(void **state)
{
    char *payload = big_payload(MIB);
    struct delivery *d = runner_run(*state, "echo unread", payload);

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "unread\n");
    delivery_free(d);

    d = runner_run(*state, "exec <&-; echo closed", payload);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "closed\n");
    delivery_free(d);
    free(payload);
}

static size_t count(const struct buf *b, const char *text)
{
    size_t n = 0;

    for (const char *p = b->data; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void flood_on_both_outputs_is_bounded(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d =
        runner_run(f,
                   "yes 'goes to stdout' | head -c 100000000 &\n"
                   "yes 'goes to stderr, in lines of 40 bytes...' |"
                   "head -c 100000000 >&2 &\n"
                   "wait",
                   NULL);
    struct buf log;

    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->outcome.result.len, 64 * 1024);
    assert_true(d->outcome.result_truncated);
    assert_int_equal(d->outcome.stderr_tail.len, 0);
    log = runner_log(f);
    assert_int_equal(count(&log, "ev=stderr "), 1000);
    expect_contains(&log, "ev=stderr_not_logged job=job-1");
    expect_contains(&log, "lines=2499000"); /* of 2500000 */
    expect_contains(&log, "ev=result_truncated job=job-1 bytes=100000000");
    delivery_free(d);
    buf_done(&log);
}

static void stderr_becomes_log_lines_of_the_job(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d =
        runner_run(f, "echo one >&2; echo >&2; printf 'last one' >&2", NULL);
    struct buf log = runner_log(f);

    expect_verdict(d, VERDICT_DONE, "");
    expect_contains(&log, "ev=stderr job=job-1 type=sh queue=mail message=one");
    expect_contains(&log, "message=\"last one\"");
    assert_int_equal(count(&log, "ev=stderr "), 2);
    delivery_free(d);
    buf_done(&log);
}

static void long_stderr_line_is_cut(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d =
        runner_run(f, "printf 'A%09999dEND\\nB\\n' 0 >&2", NULL);
    struct buf log = runner_log(f);

    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(count(&log, "ev=stderr "), 2);
    expect_contains(&log, "message=A000");
    expect_contains(&log, "message=B");
    assert_int_equal(count(&log, "END"), 0);
    assert_true(log.len > 4096 && log.len < 5000);
    delivery_free(d);
    buf_done(&log);
}

static void failure_keeps_the_end_of_stderr(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    const struct buf *tail;

    d = runner_run(f, "seq 10000 99999 >&2; echo 'no disk' >&2; exit 1", NULL);
    expect_verdict(d, VERDICT_RETRY, "exit");
    tail = &d->outcome.stderr_tail;
    assert_int_equal(tail->len, 8 * 1024);
    assert_string_equal(tail->data + tail->len - 14, "99999\nno disk\n");
    assert_string_equal(d->outcome.message.data, "exit code 1: no disk");
    delivery_free(d);
}

static void outputs_may_be_closed_early(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d = runner_run(f,
                                    "exec <&- >&- 2>&-; i=0\n"
                                    "while [ $i -lt 20000 ]\n"
                                    "do i=$((i + 1)); done\n"
                                    ": >$D/went-on; exit 3",
                                    NULL);

    expect_verdict(d, VERDICT_RETRY, "exit");
    assert_true(runner_has(f, "went-on"));
    delivery_free(d);
}

static void what_is_left_of_the_group_is_killed(void **state)
{
    struct delivery *d =
        runner_run(*state, "sleep 1000 & sleep 1000 >&- 2>&- & echo $!", NULL);
    pid_t pid;

    expect_verdict(d, VERDICT_DONE, "");
    pid = (pid_t)atoi(d->outcome.result.data);
    assert_true(pid > 1);
    assert_true(process_ends(pid));
    delivery_free(d);
}

static void process_outside_the_group_is_not_waited_for(void **state)
{
    struct delivery *d =
        runner_run(*state,
                   "mkfifo $D/p\n"
                   "setsid sh -c \"echo \\$\\$ >$D/p; exec sleep 1000\" &\n"
                   "read pid <$D/p; echo $pid",
                   NULL);
    pid_t pid;

    expect_verdict(d, VERDICT_DONE, "");
    pid = (pid_t)atoi(d->outcome.result.data);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(process_ends(pid));
    delivery_free(d);
}

/* Runs env(1) for one delivery; the result is its sorted names. */
static char *names_in_env(struct runner_fixture *f, struct delivery *d)
{
    char *text, *p, *names = mem_new(4096);

    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_DONE, "");
    text = p = mem_dup(d->outcome.result.data, d->outcome.result.len);
    for (char *line; (line = strsep(&p, "\n")) != NULL && *line != '\0';) {
        line[strcspn(line, "=")] = '\0';
        strcat(names, line);
        strcat(names, " ");
    }
    free(text);
    return names;
}

static void set_worker_environment(void)
{
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    setenv("HOME", "/home/belt", 1);
    setenv("LC_TIME", "C", 1);
    setenv("LC_REDIS", "x", 1);
    setenv("LC_ODD", "redis://:secret@host", 1);
    setenv("BELT_REDIS_URL", "redis://:secret@host", 1);
    setenv("REDISCLI_AUTH", "secret", 1);
    setenv("LD_PRELOAD_X", "x", 1);
    setenv("BELT_FENCE", "77", 1);
}

static void environment_has_exactly_the_promised_names(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    char *names;

    set_worker_environment();
    runner_handler(f, "t=exec:env");
    d = runner_delivery(f, "t", NULL, NULL);
    names = names_in_env(f, d);
    assert_string_equal(names, "PATH HOME LC_TIME BELT_JOB_ID BELT_JOB_TYPE "
                               "BELT_QUEUE BELT_ATTEMPT BELT_MAX_ATTEMPTS "
                               "BELT_RECOVERED BELT_DEADLINE "
                               "BELT_RESULTS_FD BELT_CONTROL_FD ");
    free(names);
    delivery_free(d);
}

static void environment_describes_the_job(void **state)
{
    static const char trace[] =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct runner_fixture *f = *state;
    const struct buf *out;
    struct delivery *d;
    char *more = mem_printf(",\"attempt\":2,\"max_attempts\":7,"
                            "\"recovered\":[5,6],\"timeout\":90000,"
                            "\"meta\":{\"traceparent\":\"%s\"}",
                            trace);

    runner_handler(f, "t=exec:env");
    d = runner_delivery(f, "t", NULL, more);
    d->fence = 42;
    int64_t before = clock_wall_ms() + 90000;
    handler_run(d, f->cancel_fd);
    int64_t after = clock_wall_ms() + 90000;
    expect_verdict(d, VERDICT_DONE, "");
    out = &d->outcome.result;
    expect_contains(out, "BELT_JOB_ID=job-1\n");
    expect_contains(out, "BELT_JOB_TYPE=t\n");
    expect_contains(out, "BELT_QUEUE=mail\n");
    expect_contains(out, "BELT_ATTEMPT=3\n");
    expect_contains(out, "BELT_MAX_ATTEMPTS=7\n");
    expect_contains(out, "BELT_RECOVERED=2\n");
    expect_contains(out, "BELT_FENCE=42\n");
    expect_contains(out, "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-");
    long long s, ms;
    assert_int_equal(sscanf(strstr(out->data, "BELT_DEADLINE="),
                            "BELT_DEADLINE=%lld.%3lld\n", &s, &ms),
                     2);
    assert_in_range(s * 1000 + ms, before, after);
    free(more);
    delivery_free(d);
}

static void path_has_a_default(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    clearenv();
    runner_handler(f, "t=exec:env");
    d = runner_delivery(f, "t", NULL, NULL);
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_DONE, "");
    expect_contains(&d->outcome.result, "PATH=/usr/local/bin:/usr/bin:/bin\n");
    delivery_free(d);
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(exit_code_decides_the_verdict),
        IN_DIR(signal_is_a_crash),
        IN_DIR(handler_that_cannot_start_is_put_off),
        IN_DIR(program_without_slash_is_searched),
        IN_DIR(stdout_of_a_failed_run_is_no_result),
        IN_DIR(payload_comes_back_byte_for_byte),
        IN_DIR(handler_need_not_read_its_payload),
        IN_DIR(flood_on_both_outputs_is_bounded),
        IN_DIR(stderr_becomes_log_lines_of_the_job),
        IN_DIR(long_stderr_line_is_cut),
        IN_DIR(failure_keeps_the_end_of_stderr),
        IN_DIR(outputs_may_be_closed_early),
        IN_DIR(what_is_left_of_the_group_is_killed),
        IN_DIR(process_outside_the_group_is_not_waited_for),
        IN_DIR(environment_has_exactly_the_promised_names),
        IN_DIR(environment_describes_the_job),
        IN_DIR(path_has_a_default),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
