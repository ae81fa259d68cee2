/*
 * Claims about the control channel of exec handlers, descriptor 3: what its
 * messages do, and that no use of it does harm.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler.h"
#include "worker/handler_control.h"

static size_t count(const struct buf *b, const char *text)
{
    size_t n = 0;

    for (const char *p = b->data; p != NULL && (p = strstr(p, text)) != NULL;
         p++)
        n++;
    return n;
}

/* One run that says lines; expects verdict and delay. */
static void expect_run(struct runner_fixture *f, const char *body,
                       enum verdict v, int64_t delay_ms)
{
    struct delivery *d = runner_run(f, body, NULL);

    if (d->outcome.verdict != v || d->outcome.delay_ms != delay_ms)
        fail_msg("\"%s\": verdict %d, delay %lld", body,
                 (int)d->outcome.verdict, (long long)d->outcome.delay_ms);
    delivery_free(d);
}

static void expect_log(struct runner_fixture *f, const char *text, size_t times)
{
    struct buf log = runner_log(f);

    if (count(&log, text) != times)
        fail_msg("not %zu times \"%s\": %s", times, text,
                 log.len > 0 ? log.data : "");
    buf_done(&log);
}

static void handler_knows_its_control_channel(void **state)
{
    struct delivery *d = runner_run(
        *state, "[ -p /dev/fd/$BELT_CONTROL_FD ] && echo it is", NULL);

    expect_result(d, "it is\n");
    delivery_free(d);
}

static void retry_has_the_delay_that_was_asked_for(void **state)
{
    struct runner_fixture *f = *state;

    expect_run(f, "echo '{\"op\":\"retry\",\"after\":30000}' >&3; exit 1",
               VERDICT_RETRY, 30000);
    expect_run(f, "echo '{\"op\":\"retry\",\"after\":\"1m30s\"}' >&3; exit 75",
               VERDICT_RETRY, 90000);
    expect_run(f,
               "echo '{\"op\":\"retry\",\"after\":\"1h\"}' >&3\n"
               "echo '{\"op\":\"retry\",\"after\":0}' >&3; kill -KILL $$",
               VERDICT_RETRY, 0);
    expect_run(f, "printf '{\"op\":\"retry\",\"after\":7}' >&3; exit 1",
               VERDICT_RETRY, 7);
    expect_log(f, "lvl=warn", 0);
}

static void retry_means_nothing_to_other_ends(void **state)
{
    static const char ask[] = "echo '{\"op\":\"retry\",\"after\":5}' >&3; %s";
    static const struct {
        const char *end;
        enum verdict verdict;
    } rows[] = {{"exit 0", VERDICT_DONE},
                {"exit 65", VERDICT_DEAD},
                {"exit 99", VERDICT_DISCARD},
                {"exit 127", VERDICT_PUT_OFF}};
    char body[128];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(body, sizeof(body), ask, rows[i].end);
        expect_run(*state, body, rows[i].verdict, -1);
    }
}

static void snooze_needs_exit_code_0(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d =
        runner_run(f,
                   "echo out; echo err >&2\n"
                   "echo '{\"op\":\"snooze\",\"after\":\"10m\"}' >&3",
                   NULL);

    expect_verdict(d, VERDICT_SNOOZE, "");
    assert_int_equal(d->outcome.delay_ms, 600000);
    expect_result(d, "");
    assert_int_equal(d->outcome.stderr_tail.len, 0);
    assert_int_equal(d->outcome.message.len, 0);
    delivery_free(d);
    expect_run(f, "echo '{\"op\":\"snooze\",\"after\":\"10m\"}' >&3; exit 1",
               VERDICT_RETRY, -1);
    expect_run(f, "echo '{\"op\":\"snooze\",\"after\":\"10m\"}' >&3; exit 99",
               VERDICT_DISCARD, -1);
}

static void log_becomes_log_lines_of_the_job(void **state)
{
    struct runner_fixture *f = *state;

    expect_run(f,
               "printf '%s\\n' '{\"op\":\"log\",\"message\":\"half\"}' "
               "'{\"op\":\"log\",\"level\":\"error\",\"message\":\"a \\\"b\"}' "
               "'{\"op\":\"log\",\"level\":\"debug\",\"message\":\"not\"}' >&3",
               VERDICT_DONE, -1);
    expect_log(f, "lvl=info ev=log job=job-1 type=sh queue=mail message=half\n",
               1);
    expect_log(f, "lvl=error ev=log", 1);
    expect_log(f, "message=\"a \\\"b\"\n", 1);
    expect_log(f, "message=not", 0);
}

static void logged_lines_have_a_bound(void **state)
{
    struct runner_fixture *f = *state;

    expect_run(f,
               "yes '{\"op\":\"log\",\"message\":\"flood\"}' |"
               "head -n 20000 >&3",
               VERDICT_DONE, -1);
    expect_log(f, "ev=log ", 1000);
    expect_log(f, "ev=log_not_logged job=job-1 type=sh queue=mail lines=19000",
               1);
}

static void what_is_not_understood_is_said_once(void **state)
{
    static const char *const lines[] = {
        "x",
        "[1]",
        "{\"op\":1}",
        "{\"a\":1}",
        "{\"op\":\"progress\"}",
        "{\"op\":\"progress\",\"percent\":101}",
        "{\"op\":\"progress\",\"percent\":-0.5}",
        "{\"op\":\"progress\",\"percent\":1e3}",
        "{\"op\":\"progress\",\"percent\":\"1\"}",
        "{\"op\":\"progress\",\"percent\":1,\"message\":[]}",
        "{\"op\":\"retry\"}",
        "{\"op\":\"retry\",\"after\":-1}",
        "{\"op\":\"retry\",\"after\":1.5}",
        "{\"op\":\"retry\",\"after\":\"10\"}",
        "{\"op\":\"retry\",\"after\":\"367d\"}",
        "{\"op\":\"snooze\",\"after\":null}",
        "{\"op\":\"log\"}",
        "{\"op\":\"log\",\"level\":\"loud\",\"message\":\"m\"}"};
    struct runner_fixture *f = *state;
    char body[256];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(body, sizeof(body), "echo '%s' >&3; echo '%s' >&3; exit 1",
                 lines[i], lines[i]);
        expect_run(f, body, VERDICT_RETRY, -1);
        expect_log(f, "lvl=warn ev=control job=job-1 type=sh queue=mail line=1",
                   i + 1);
    }
    expect_log(f, "line=2", 0);
}

static void ops_of_later_versions_are_passed_over(void **state)
{
    struct runner_fixture *f = *state;

    expect_run(f,
               "printf '%s\\n' '{\"op\":\"heartbeat\"}' '' ' ' "
               "'{\"op\":\"progress\",\"percent\":4.09e1,\"x\":[{}]}' "
               "'{ \"after\" : \"2s\" , \"op\" : \"retry\" }\r' >&3; exit 1",
               VERDICT_RETRY, 2000);
    expect_log(f, "lvl=warn", 0);
}

/* A message whose line has n bytes without its end. */
static void say_long(char *body, size_t cap, int n)
{
    snprintf(body, cap,
             "printf '{\"op\":\"retry\",\"after\":5,\"x\":\"%%0%dd\"}\\n"
             "' 0 >&3; exit 1",
             n - (int)strlen("{\"op\":\"retry\",\"after\":5,\"x\":\"\"}"));
}

static void lines_end_at_64_kib(void **state)
{
    struct runner_fixture *f = *state;
    char body[256];

    say_long(body, sizeof(body), CONTROL_LINE_MAX);
    expect_run(f, body, VERDICT_RETRY, 5);
    expect_log(f, "lvl=warn", 0);
    say_long(body, sizeof(body), CONTROL_LINE_MAX + 1);
    expect_run(f, body, VERDICT_RETRY, -1);
    expect_log(f, "more than 64 KiB", 1);
    expect_run(f,
               "head -c 3000000 /dev/zero >&3; echo >&3\n"
               "echo '{\"op\":\"retry\",\"after\":6}' >&3; exit 1",
               VERDICT_RETRY, 6);
    expect_log(f, "more than 64 KiB", 2);
}

/* One push whose envelope has n bytes; tail follows in its line. */
static void say_push(char *body, size_t cap, int n, const char *tail)
{
    snprintf(
        body, cap,
        "printf '{\"op\":\"push\",\"job\":{\"type\":\"t\",\"x\":\"%%0%dd\"}%s"
        "\\n' 0 >&3",
        n - (int)strlen("{\"type\":\"t\",\"x\":\"\"}"), tail);
}

static void a_push_may_be_as_long_as_an_envelope(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    char body[256];

    say_push(body, sizeof(body), JOB_ENVELOPE_MAX_BYTES, "}");
    d = runner_run(f, body, NULL);
    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->pushes->n, 1);
    assert_int_equal(delivery_pushed(d, 0).len, JOB_ENVELOPE_MAX_BYTES);
    delivery_free(d);
    say_push(body, sizeof(body), JOB_ENVELOPE_MAX_BYTES + 1, "}");
    d = runner_run(f, body, NULL);
    expect_verdict(d, VERDICT_RETRY, "push");
    expect_contains(&d->outcome.message,
                    "push 1: 1048577 bytes, 1048576 are allowed");
    delivery_free(d);
    say_push(body, sizeof(body), 3 * JOB_ENVELOPE_MAX_BYTES, "}");
    d = runner_run(f, body, NULL);
    expect_verdict(d, VERDICT_RETRY, "push");
    expect_contains(&d->outcome.message, "push 1: the line is longer");
    assert_int_equal(d->pushes->n, 0);
    delivery_free(d);
    say_push(body, sizeof(body), 100, "");
    d = runner_run(f, body, NULL);
    expect_verdict(d, VERDICT_RETRY, "push");
    delivery_free(d);
    expect_log(f, "ev=push_refused", 3);
}

/* What a part of a job asked for counts as the job's. */
static void pushes_of_a_part_become_those_of_the_whole(void **state)
{
    static const char job[] = "{\"type\":\"t\"}", bad[] = "{}";
    struct runner_fixture *f = *state;
    struct delivery *whole, *part;

    runner_script(f, "exit 0");
    whole = runner_delivery(f, "sh", NULL, NULL);
    part = runner_delivery(f, "sh", NULL, NULL);
    delivery_push_all(whole, part);
    assert_null(whole->pushes);
    assert_int_equal(delivery_push(whole, job, sizeof(job) - 1, NULL), 0);
    assert_int_equal(delivery_push(part, job, sizeof(job) - 1, NULL), 0);
    delivery_push_all(whole, part);
    assert_int_equal(whole->pushes->n, 2);
    assert_int_equal(delivery_push(part, bad, sizeof(bad) - 1, NULL),
                     ERR_INVALID);
    delivery_push_all(whole, part);
    whole->outcome.verdict = VERDICT_DONE;
    delivery_judge_pushes(whole);
    expect_verdict(whole, VERDICT_RETRY, "push");
    expect_contains(&whole->outcome.message, "push 3: push 1: type: missing");
    delivery_free(whole);
    delivery_free(part);
}

/* However the bytes are cut, the messages are the same. */
static void parts_of_any_size_make_the_same_lines(void **state)
{
    static const char text[] = "{\"op\":\"retry\",\"after\":1}\nnoise\n\n"
                               "{\"op\":\"snooze\",\"after\":2}\n"
                               "{\"op\":\"retry\",\"after\":3}";
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_script(f, "exit 0");
    d = runner_delivery(f, "sh", NULL, NULL);
    for (size_t part = 1; part < sizeof(text); part++) {
        struct wishes c;

        wishes_init(&c, d);
        for (size_t at = 0; at < sizeof(text) - 1; at += part) {
            size_t left = sizeof(text) - 1 - at;

            wishes_feed(&c, text + at, part < left ? part : left);
        }
        wishes_end(&c);
        assert_int_equal(c.retry_ms, 3);
        assert_int_equal(c.snooze_ms, 2);
        assert_int_equal(c.lines, 5);
        assert_true(c.warned);
    }
    delivery_free(d);
}

static void closing_it_does_no_harm(void **state)
{
    struct delivery *d = runner_run(*state, "exec 3>&-; cat; echo done", "[1]");

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "[1]done\n");
    delivery_free(d);
}

/* It floods for as long as it lives, and does not let go of descriptor 3. */
static void end_does_not_wait_for_who_holds_it(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d =
        runner_run(f,
                   "mkfifo $D/p\n"
                   "setsid sh -c \"echo \\$\\$ >$D/p; exec yes >&3\" &\n"
                   "read pid <$D/p; echo $pid\n"
                   "echo '{\"op\":\"snooze\",\"after\":1}' >&3\n"
                   "echo $pid >$D/pid",
                   NULL);
    char path[128];
    FILE *file;
    int pid;

    assert_true(d->outcome.verdict == VERDICT_SNOOZE ||
                d->outcome.verdict == VERDICT_DONE); /* noise in its line */
    delivery_free(d);
    snprintf(path, sizeof(path), "%s/pid", f->dir);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    /* Our end is closed: what goes on to write ends by SIGPIPE. */
    assert_true(process_ends(pid));
}

static void flood_does_not_hold_up_the_run(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    d = runner_run(f,
                   "yes '{\"op\":\"progress\",\"percent\":1}' |"
                   "head -c 4000000 >&3 &\n"
                   "yes noise | head -c 4000000 >&3 &\n"
                   "yes out | head -c 4000000 & wait; echo end >&2; exit 3",
                   NULL);
    expect_verdict(d, VERDICT_RETRY, "exit");
    assert_string_equal(d->outcome.message.data, "exit code 3: end");
    delivery_free(d);
}

static void builtin_fail_asks_for_delays(void **state)
{
    static const struct {
        const char *payload;
        enum verdict verdict;
        int64_t delay_ms;
    } rows[] = {{"null", VERDICT_RETRY, -1},
                {"{\"retry_after\":250}", VERDICT_RETRY, 250},
                {"{\"retry_after\":\"2s\"}", VERDICT_RETRY, 2000},
                {"{\"snooze\":40}", VERDICT_SNOOZE, 40},
                {"{\"snooze\":\"soon\"}", VERDICT_RETRY, -1}};
    struct runner_fixture *f = *state;

    runner_handler(f, "t=builtin:fail");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct delivery *d = runner_delivery(f, "t", rows[i].payload, NULL);

        handler_run(d, f->cancel_fd);
        assert_int_equal(d->outcome.verdict, rows[i].verdict);
        assert_int_equal(d->outcome.delay_ms, rows[i].delay_ms);
        delivery_free(d);
    }
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(handler_knows_its_control_channel),
        IN_DIR(retry_has_the_delay_that_was_asked_for),
        IN_DIR(retry_means_nothing_to_other_ends),
        IN_DIR(a_push_may_be_as_long_as_an_envelope),
        IN_DIR(pushes_of_a_part_become_those_of_the_whole),
        IN_DIR(snooze_needs_exit_code_0),
        IN_DIR(log_becomes_log_lines_of_the_job),
        IN_DIR(logged_lines_have_a_bound),
        IN_DIR(what_is_not_understood_is_said_once),
        IN_DIR(ops_of_later_versions_are_passed_over),
        IN_DIR(lines_end_at_64_kib),
        IN_DIR(parts_of_any_size_make_the_same_lines),
        IN_DIR(closing_it_does_no_harm),
        IN_DIR(end_does_not_wait_for_who_holds_it),
        IN_DIR(flood_does_not_hold_up_the_run),
        IN_DIR(builtin_fail_asks_for_delays),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
