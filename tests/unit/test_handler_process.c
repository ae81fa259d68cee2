/*
 * Claims about process handlers, each with real children: what they are told,
 * what their lines mean, and payloads and outputs of any size. How children
 * start, end and are stopped has its own program.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler.h"

#define SH "/bin/sh"
#define PYTHON "/usr/bin/python3 -S"
#define MIB (1024 * 1024)

#define READY "echo '{\"op\":\"ready\"}'\n"
/* A loop that runs what follows, up to END, for each job. */
#define EACH_JOB                                                               \
    READY "while read -r line; do case $line in *'\"op\":\"job\"'*)\n"
#define END "\n;; esac; done"

static struct delivery *run_with(struct runner_fixture *f, const char *payload,
                                 const char *more)
{
    struct delivery *d = runner_delivery(f, "p", payload, more);

    handler_run(d, f->cancel_fd);
    return d;
}

/* A child that does body for each job, and one job. */
static struct delivery *run_body(void **state, const char *body)
{
    char *text = mem_printf(EACH_JOB "%s" END, body);

    runner_process(*state, SH, text, NULL);
    free(text);
    return run_with(*state, NULL, NULL);
}

/* The same where the child says one line for the job. */
static struct delivery *run_line(void **state, const char *line)
{
    char *body = mem_printf("cat <<'X'\n%s\nX", line);
    struct delivery *d = run_body(state, body);

    free(body);
    return d;
}

static void expect_logged(void **state, const char *text)
{
    struct buf log = runner_log(*state);

    expect_contains(&log, text);
    buf_done(&log);
}

static void expect_not_logged(void **state, const char *text)
{
    struct buf log = runner_log(*state);

    assert_null(log.len > 0 ? strstr(log.data, text) : NULL);
    buf_done(&log);
}

static void result_is_kept_as_it_was_sent(void **state)
{
    static const char *const results[] = {
        "{ \"a\" : 1.00,\t\"a\": \"\\u00e9\" }", "12345678901234567890", "\"\"",
        "null"};

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        char *line = mem_printf(
            " {\"id\":\"job-1\", \"result\":%s,\"op\":\"done\"} ", results[i]);
        struct delivery *d = run_line(state, line);

        expect_verdict(d, VERDICT_DONE, "");
        expect_result(d, results[i]);
        assert_false(d->outcome.result_truncated);
        assert_int_equal(d->outcome.exit_status, 0);
        delivery_free(d);
        free(line);
    }
}

static void done_needs_no_result(void **state)
{
    struct delivery *d = run_line(state, "{\"op\":\"done\",\"id\":\"job-1\"}");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "");
    delivery_free(d);
}

static void result_that_is_too_long_is_cut(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    f->limits.result_max = 4;
    d = run_line(state, "{\"op\":\"done\",\"id\":\"job-1\",\"result\":123456}");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "1234");
    assert_true(d->outcome.result_truncated);
    delivery_free(d);
    expect_logged(state, "ev=result_truncated job=job-1");
}

#define FAIL "{\"op\":\"fail\",\"id\":\"job-1\""

static void failure_says_what_becomes_of_the_job(void **state)
{
    static const struct {
        const char *line;
        enum verdict verdict;
        const char *class, *message;
        int64_t delay_ms;
    } rows[] = {
        {FAIL ",\"error\":\"no \\u00fcber\"}", VERDICT_RETRY, "fail",
         "no \xc3\xbc"
         "ber",
         -1},
        {FAIL "}", VERDICT_RETRY, "fail", "failed", -1},
        {FAIL ",\"error\":7}", VERDICT_RETRY, "fail", "7", -1},
        {FAIL ",\"error\":{\"type\":\"KeyError\",\"message\":\"'x'\"}}",
         VERDICT_RETRY, "KeyError", "'x'", -1},
        {FAIL ",\"error\":\"bad\",\"retry\":false}", VERDICT_DEAD, "fail",
         "bad", -1},
        {FAIL ",\"error\":\"bad\",\"retry\":true,\"retry_after\":\"30s\"}",
         VERDICT_RETRY, "fail", "bad", 30000},
        {FAIL ",\"error\":\"bad\",\"retry_after\":1500}", VERDICT_RETRY, "fail",
         "bad", 1500},
        {FAIL ",\"error\":\"bad\",\"retry_after\":\"soon\"}", VERDICT_RETRY,
         "fail", "bad", -1},
        {"{\"op\":\"discard\",\"id\":\"job-1\"}", VERDICT_DISCARD, "discard",
         "discarded by its handler", -1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct delivery *d = run_line(state, rows[i].line);

        expect_verdict(d, rows[i].verdict, rows[i].class);
        assert_string_equal(d->outcome.message.data, rows[i].message);
        assert_int_equal(d->outcome.delay_ms, rows[i].delay_ms);
        assert_false(d->outcome.crashed);
        expect_result(d, "");
        delivery_free(d);
    }
    expect_logged(state, "\"retry_after\\\" is no delay");
}

static void trace_takes_the_place_of_stderr(void **state)
{
    struct delivery *d =
        run_body(state, "echo noise >&2\n"
                        "printf '%s\\n' '" FAIL ",\"error\":{\"message\":\"m\","
                        "\"trace\":\"line 1\\nline 2\"}}'");

    expect_verdict(d, VERDICT_RETRY, "fail");
    assert_string_equal(d->outcome.stderr_tail.data, "line 1\nline 2");
    delivery_free(d);

    d = run_body(state, "echo noise >&2; echo '" FAIL "}'");
    assert_string_equal(d->outcome.stderr_tail.data, "noise\n");
    assert_string_equal(d->outcome.message.data, "failed");
    delivery_free(d);
    expect_logged(state, "ev=stderr job=job-1 type=p queue=mail message=noise");
}

static void answer_that_is_broken_fails_the_job(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"{\"op\": \"done\",\"id\":\"job-1\",\"result\":nan}", "byte"},
        {"{\"op\":\"done\",\"id\":\"job-1\",\"result\":\"\xff\"}", "UTF-8"},
        {"{\"op\":\"fail\",\"id\":\"job-1\"", "byte"},
        {"{\"op\":\"done\"}", "it has no \"id\""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct delivery *d = run_line(state, rows[i].line);

        expect_verdict(d, VERDICT_RETRY, "protocol");
        expect_contains(&d->outcome.message, "its answer is not understood: ");
        expect_contains(&d->outcome.message, rows[i].message);
        delivery_free(d);
    }
}

static void output_without_an_end_does_not_hide_an_answer(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_process(f, SH,
                   "printf 'hello, '\n" EACH_JOB
                   "printf 'half %s ' \"$line\" | cut -c 1-9 | tr -d '\\n'\n"
                   "echo '{\"op\":\"done\",\"id\":\"job-1\",\"result\":1}'\n"
                   "printf more" END,
                   NULL);
    for (int i = 0; i < 3; i++) {
        d = run_with(f, NULL, NULL);
        expect_verdict(d, VERDICT_DONE, "");
        expect_result(d, "1");
        delivery_free(d);
    }
    expect_logged(state, "message=\"hello, \"");
    expect_logged(state, "message=\"half {\\\"op");
    expect_logged(state, "message=\"morehalf");
    d = run_body(state, "echo 'what {\"op\" is'; exit 3");
    expect_verdict(d, VERDICT_RETRY, "exit");
    expect_logged(state, "what {\\\"op\\\" is");
    delivery_free(d);
}

static void other_output_is_logged(void **state)
{
    struct delivery *d =
        run_line(state, "hello\n"
                        "\n"
                        "{\"level\":\"info\",\"msg\":\"structured\"}\n"
                        "{broken\n"
                        "[1]\n"
                        "{\"op\":\"done\",\"id\":\"job-1\"}");

    expect_verdict(d, VERDICT_DONE, "");
    delivery_free(d);
    expect_logged(state, "ev=stdout job=job-1 type=p queue=mail message=hello");
    expect_logged(state, "structured");
    expect_logged(state, "message={broken");
    expect_logged(state, "message=[1]");
}

static void answers_to_other_jobs_are_passed_over(void **state)
{
    struct delivery *d =
        run_line(state, "{\"op\":\"fail\",\"id\":\"job-0\"}\n"
                        "{\"op\":\"progress\",\"id\":\"job-0\",\"percent\":1}\n"
                        "{\"op\":\"done\",\"id\":\"job-1\",\"result\":1}\n"
                        "{\"op\":\"fail\",\"id\":\"job-1\"}");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "1");
    delivery_free(d);
    expect_logged(state, "error=\"a line is about another job\" id=");
}

static void second_answer_is_passed_over(void **state)
{
    struct delivery *d =
        run_line(state, "{\"op\":\"done\",\"id\":\"job-1\",\"result\":1}\n"
                        "{\"op\":\"fail\",\"id\":\"job-1\"}");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "1");
    delivery_free(d);
    expect_logged(state, "error=\"it answers once more\"");
}

static void ops_come_by_stdout_and_by_descriptor_3(void **state)
{
    struct delivery *d = run_body(
        state,
        "echo '{\"op\":\"log\",\"id\":\"job-1\",\"message\":\"by stdout\"}'\n"
        "echo '{\"op\":\"log\",\"message\":\"by 3\"}' >&$BELT_CONTROL_FD\n"
        "echo '{\"op\":\"no-such-op\",\"id\":\"job-1\"}'\n"
        "echo '{\"op\":\"retry\",\"after\":5000}' >&3\n"
        "echo '" FAIL "}'");

    expect_verdict(d, VERDICT_RETRY, "fail");
    assert_int_equal(d->outcome.delay_ms, 5000);
    delivery_free(d);
    expect_logged(state, "ev=log job=job-1 type=p queue=mail message=\"by std");
    expect_logged(state, "ev=log job=job-1 type=p queue=mail message=\"by 3");
    expect_not_logged(state, "no-such-op");
}

static void snooze_has_neither_result_nor_failure(void **state)
{
    struct delivery *d =
        run_line(state, "{\"op\":\"snooze\",\"after\":\"1h\"}\n"
                        "{\"op\":\"done\",\"id\":\"job-1\",\"result\":1}");

    expect_verdict(d, VERDICT_SNOOZE, "");
    assert_int_equal(d->outcome.delay_ms, 3600 * 1000);
    expect_result(d, "");
    delivery_free(d);
}

static void hello_and_job_say_what_the_contract_says(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_process(
        f, PYTHON,
        "import sys, json\n"
        "hello = json.loads(sys.stdin.readline())\n"
        "assert hello == {'op': 'hello', 'v': 1, 'handler': 'p', 'slot': 1}\n"
        "print('{\"op\":\"ready\"}', flush=True)\n"
        "for line in sys.stdin:\n"
        "  m = json.loads(line)\n"
        "  t = m.pop('deadline', 0)\n"
        "  m['in_time'] = 1e9 < t < 1e11\n"
        "  print(json.dumps({'op': 'done', 'id': m['id'], 'result': m},\n"
        "                   separators=(',', ':')), flush=True)\n",
        NULL);
    d = runner_delivery(f, "p", "{\n\"a\":\r\n[1,\"\\n\"]}",
                        ",\"attempt\":2,\"meta\":{\"k\":\n\"v\"}");
    d->fence = 7;
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "{\"op\":\"job\",\"id\":\"job-1\",\"type\":\"p\","
                     "\"queue\":\"mail\",\"attempt\":3,\"max_attempts\":20,"
                     "\"recovered\":0,\"fence\":7,\"meta\":{\"k\":\"v\"},"
                     "\"payload\":{\"a\":[1,\"\\n\"]},\"in_time\":true}");
    delivery_free(d);
}

static void child_has_no_variables_of_a_job(void **state)
{
    struct delivery *d = run_body(
        state, "echo \"{\\\"op\\\":\\\"done\\\",\\\"id\\\":\\\"job-1\\\","
               "\\\"result\\\":\\\"$(env | grep BELT_ | sort | tr '\\n' ' ')"
               "\\\"}\"");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "\"BELT_CONTROL_FD=3 \"");
    delivery_free(d);
}

static void child_serves_one_job_after_the_other(void **state)
{
    struct runner_fixture *f = *state;

    runner_process(
        f, SH,
        "n=0\n" EACH_JOB "n=$((n + 1))\n"
        "echo '{\"op\":\"done\",\"id\":\"job-1\",\"result\":'$n'}'" END,
        NULL);
    for (int i = 1; i <= 50; i++) {
        struct delivery *d = run_with(f, NULL, NULL);
        char n[16];

        snprintf(n, sizeof(n), "%d", i);
        expect_verdict(d, VERDICT_DONE, "");
        expect_result(d, n);
        delivery_free(d);
    }
}

/* A JSON string of n bytes. */
static char *big_payload(size_t n)
{
    char *p = mem_new(n + 1);

    memset(p, 'x', n);
    p[0] = p[n - 1] = '"';
    return p;
}

static void large_job_while_the_child_writes_does_not_lock_up(void **state)
{
    struct runner_fixture *f = *state;
    char *payload = big_payload(4 * MIB);
    struct delivery *d;

    f->limits.result_max = 8 * MIB;
    runner_process(f, PYTHON,
                   "import sys, os, json\n"
                   "print('{\"op\":\"ready\"}', flush=True)\n"
                   "sys.stdin.readline()\n"
                   "os.read(0, 10)\n"
                   "for i in range(64):\n"
                   "  sys.stdout.write('y' * 65535 + '\\n')\n"
                   "sys.stdout.flush()\n"
                   "line = sys.stdin.readline()\n"
                   "i = line.index('\"payload\":') + 10\n"
                   "print('{\"op\":\"done\",\"id\":\"job-1\",\"result\":' +\n"
                   "  line[i + 4000:i + 4000] + line[i:-2][:4000000] + '\"}',\n"
                   "  flush=True)\n",
                   NULL);
    d = run_with(f, payload, NULL);
    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->outcome.result.len, 4000001);
    payload[4000000] = '"';
    assert_memory_equal(d->outcome.result.data, payload, 4000001);
    delivery_free(d);
    free(payload);
}

static void line_that_is_too_long_is_no_answer(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_process(f, PYTHON,
                   "import sys\n"
                   "print('{\"op\":\"ready\"}', flush=True)\n"
                   "sys.stdin.readline()\n"
                   "for line in sys.stdin:\n"
                   "  print('y' * 5000000)\n"
                   "  print('{\"op\":\"done\",\"id\":\"job-1\",\"result\":\"'\n"
                   "        + 'y' * 4300000 + '\"}', flush=True)\n",
                   NULL);
    d = run_with(f, NULL, NULL);
    expect_verdict(d, VERDICT_RETRY, "protocol");
    expect_contains(&d->outcome.message, "more than 4194304 bytes");
    delivery_free(d);
}

static void flood_is_bounded(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    struct buf log;

    runner_process(
        f, PYTHON,
        "import sys\n"
        "print('{\"op\":\"ready\"}', flush=True)\n"
        "sys.stdin.readline()\n"
        "for line in sys.stdin:\n"
        "  sys.stdout.write('out\\n' * 100000)\n"
        "  sys.stderr.write('err\\n' * 100000)\n"
        "  print('{\"op\":\"fail\",\"id\":\"job-1\"}', flush=True)\n",
        NULL);
    d = run_with(f, NULL, NULL);
    expect_verdict(d, VERDICT_RETRY, "fail");
    assert_int_equal(d->outcome.stderr_tail.len, 8 * 1024);
    delivery_free(d);
    log = runner_log(f);
    expect_contains(&log, "ev=stdout_not_logged job=job-1 type=p queue=mail "
                          "lines=99000");
    expect_contains(&log, "ev=stderr_not_logged job=job-1 type=p queue=mail "
                          "lines=99000");
    assert_true(log.len < 1024 * 1024);
    buf_done(&log);
}

static void cpu_time_of_a_run_is_measured(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_process(
        f, PYTHON,
        "import sys, time\n"
        "print('{\"op\":\"ready\"}', flush=True)\n"
        "sys.stdin.readline()\n"
        "for line in sys.stdin:\n"
        "  t = time.process_time() + 0.02\n"
        "  while 'spin' in line and time.process_time() < t: pass\n"
        "  print('{\"op\":\"done\",\"id\":\"job-1\"}', flush=True)\n",
        NULL);
    d = run_with(f, "\"spin\"", NULL);
    assert_in_range(d->outcome.cpu_us, 19000, 10 * 1000 * 1000);
    delivery_free(d);
    d = run_with(f, "\"rest\"", NULL);
    assert_in_range(d->outcome.cpu_us, 1, 18000);
    delivery_free(d);
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(result_is_kept_as_it_was_sent),
        IN_DIR(done_needs_no_result),
        IN_DIR(result_that_is_too_long_is_cut),
        IN_DIR(failure_says_what_becomes_of_the_job),
        IN_DIR(trace_takes_the_place_of_stderr),
        IN_DIR(answer_that_is_broken_fails_the_job),
        IN_DIR(output_without_an_end_does_not_hide_an_answer),
        IN_DIR(other_output_is_logged),
        IN_DIR(answers_to_other_jobs_are_passed_over),
        IN_DIR(second_answer_is_passed_over),
        IN_DIR(ops_come_by_stdout_and_by_descriptor_3),
        IN_DIR(snooze_has_neither_result_nor_failure),
        IN_DIR(hello_and_job_say_what_the_contract_says),
        IN_DIR(child_has_no_variables_of_a_job),
        IN_DIR(child_serves_one_job_after_the_other),
        IN_DIR(large_job_while_the_child_writes_does_not_lock_up),
        IN_DIR(line_that_is_too_long_is_no_answer),
        IN_DIR(flood_is_bounded),
        IN_DIR(cpu_time_of_a_run_is_measured),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
