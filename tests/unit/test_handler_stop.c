/*
 * Claims about stopping exec handlers: time-outs, cancelling, hurrying.
 *
 * Moments are arranged with fifos: a script says that it has come so far by
 * opening one, and a second thread acts then.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler.h"

#define FOR_EVER "sleep 1000 & wait"

/* Acts once the script has opened the fifo "started". */
struct stopper {
    struct runner_fixture *f;
    struct delivery *d;
    bool job;          /* the job was cancelled; else the worker ends */
    int wakes;         /* of the cancel_fd */
    const char *go_on; /* a fifo to open afterwards; NULL: none */
    pthread_t thread;
};

static int open_fifo(struct runner_fixture *f, const char *name, int flags)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return open(path, flags | O_CLOEXEC);
}

/* Waits until SIGSTOP has stopped the process; aborts after 20 s. */
static void wait_stopped(pid_t pid)
{
    int64_t deadline_ms = clock_ms() + 20 * 1000;
    char path[64], state = '?';

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    while (state != 'T') {
        FILE *file = fopen(path, "re");

        if (file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1 ||
            clock_ms() > deadline_ms)
            abort();
        fclose(file);
    }
}

static void *stopper_main(void *arg)
{
    struct stopper *s = arg;
    int fd = open_fifo(s->f, "started", O_RDONLY);
    uint64_t one = 1;
    char pid[16] = "";

    /* A script that writes its pid there stops itself next. */
    if (fd < 0 || read(fd, pid, sizeof(pid) - 1) < 0)
        abort();
    close(fd);
    if (pid[0] != '\0')
        wait_stopped((pid_t)atoi(pid));
    atomic_store(&s->d->cancel, s->job ? CANCEL_JOB : CANCEL_RELEASE);
    for (int i = 0; i < s->wakes; i++)
        if (write(s->f->cancel_fd, &one, sizeof(one)) < 0)
            abort();
    if (s->go_on != NULL)
        close(open_fifo(s->f, s->go_on, O_WRONLY));
    return NULL;
}

/* Runs the script while the stopper waits; returns the milliseconds. */
static int64_t run_and_stop(struct stopper *s, const char *body)
{
    static const char *const fifos[] = {"started", "go-on"};
    int64_t start = clock_ms();
    char path[128];

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", s->f->dir, fifos[i]);
        assert_int_equal(mkfifo(path, 0600), 0);
    }
    runner_script(s->f, body);
    s->d = runner_delivery(s->f, "sh", NULL, NULL);
    assert_int_equal(pthread_create(&s->thread, NULL, stopper_main, s), 0);
    handler_run(s->d, s->f->cancel_fd);
    pthread_join(s->thread, NULL);
    return clock_ms() - start;
}

static void time_out_is_a_retry(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    f->limits.timeout_ms = 50;
    d = runner_run(f, FOR_EVER, NULL);
    expect_verdict(d, VERDICT_RETRY, "timeout");
    expect_contains(&d->outcome.message, "timed out after 50ms");
    assert_false(d->outcome.crashed);
    delivery_free(d);
}

static void time_out_of_the_job_wins(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_script(f, FOR_EVER);
    d = runner_delivery(f, "sh", NULL, ",\"timeout\":60");
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_RETRY, "timeout");
    expect_contains(&d->outcome.message, "timed out after 60ms");
    delivery_free(d);

    f->limits.timeout_ms = 1;
    runner_script(f, "exit 0");
    d = runner_delivery(f, "sh", NULL, ",\"timeout\":60000");
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_DONE, "");
    delivery_free(d);
}

static void exit_0_upon_the_time_out_is_still_one(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    f->limits.timeout_ms = 100;
    d = runner_run(f, "trap 'exit 0' TERM; " FOR_EVER, NULL);
    expect_verdict(d, VERDICT_RETRY, "timeout");
    delivery_free(d);
}

static void handler_that_ignores_term_is_killed(void **state)
{
    struct runner_fixture *f = *state;
    int64_t start = clock_ms();
    struct delivery *d;

    f->limits.timeout_ms = 100;
    f->limits.kill_after_ms = 100;
    d = runner_run(f, "trap '' TERM; exec sleep 1000", NULL);
    expect_verdict(d, VERDICT_RETRY, "timeout");
    assert_false(d->outcome.crashed);
    assert_in_range(clock_ms() - start, 100, 20 * 1000);
    delivery_free(d);
}

static void suspended_handler_sees_the_term(void **state)
{
    struct stopper s = {.f = *state, .wakes = 1};

    s.f->limits.kill_after_ms = 3600 * 1000;
    run_and_stop(&s, "trap ': >$D/term; exit' TERM\n"
                     "echo $$ >$D/started; kill -STOP $$; " FOR_EVER);
    expect_verdict(s.d, VERDICT_RELEASE, "stopped");
    assert_true(runner_has(s.f, "term"));
    delivery_free(s.d);
}

static void cancelled_run_is_released(void **state)
{
    struct stopper s = {.f = *state, .wakes = 1};

    s.f->limits.kill_after_ms = 3600 * 1000;
    run_and_stop(&s, "trap ': >$D/term; exit 0' TERM\n"
                     ": >$D/started; " FOR_EVER);
    expect_verdict(s.d, VERDICT_RELEASE, "stopped");
    assert_true(runner_has(s.f, "term"));
    delivery_free(s.d);
}

static void cancelled_run_is_killed_in_the_end(void **state)
{
    struct stopper s = {.f = *state, .wakes = 1};
    int64_t ms;

    s.f->limits.kill_after_ms = 80;
    ms = run_and_stop(&s, "trap '' TERM; : >$D/started; exec sleep 1000");
    expect_verdict(s.d, VERDICT_RELEASE, "stopped");
    assert_in_range(ms, 80, 20 * 1000);
    delivery_free(s.d);
}

/* Whoever cancels a job does not wait as long as for a worker to end. */
static void run_of_a_cancelled_job_is_killed_soon(void **state)
{
    struct stopper s = {.f = *state, .wakes = 1, .job = true};

    s.f->limits.kill_after_ms = 3600 * 1000;
    s.f->limits.cancel_kill_after_ms = 50;
    run_and_stop(&s, "trap '' TERM; : >$D/started; exec sleep 1000");
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    delivery_free(s.d);
}

static void run_of_a_cancelled_job_that_timed_out_too(void **state)
{
    struct stopper s = {.f = *state, .wakes = 1, .job = true};

    s.f->limits.timeout_ms = 400;
    s.f->limits.kill_after_ms = 3600 * 1000;
    s.f->limits.cancel_kill_after_ms = 50;
    run_and_stop(&s, "trap ': >$D/started' TERM\n"
                     "while :; do sleep 0.01; done");
    expect_verdict(s.d, VERDICT_RETRY, "timeout");
    delivery_free(s.d);
}

static void second_wake_kills_at_once(void **state)
{
    struct stopper s = {.f = *state, .wakes = 2};

    s.f->limits.kill_after_ms = 3600 * 1000;
    run_and_stop(&s, "trap '' TERM; : >$D/started; exec sleep 1000");
    expect_verdict(s.d, VERDICT_RELEASE, "stopped");
    delivery_free(s.d);
}

static void run_that_ended_before_the_cancel_is_done(void **state)
{
    struct stopper s = {.f = *state, .wakes = 0, .go_on = "go-on"};

    run_and_stop(&s, ": >$D/started; : <$D/go-on; echo ready; exit 0");
    expect_verdict(s.d, VERDICT_DONE, "");
    expect_result(s.d, "ready\n");
    delivery_free(s.d);
}

static void wake_without_cancel_means_nothing(void **state)
{
    struct runner_fixture *f = *state;
    uint64_t two = 2;
    struct delivery *d;

    assert_int_equal(write(f->cancel_fd, &two, sizeof(two)), sizeof(two));
    d = runner_run(f, "echo fine", NULL);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "fine\n");
    delivery_free(d);
}

static void cancelled_before_the_start_does_not_run(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    runner_script(f, ": >$D/ran");
    d = runner_delivery(f, "sh", NULL, NULL);
    atomic_store(&d->cancel, CANCEL_FENCED);
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_RELEASE, "stopped");
    assert_false(runner_has(f, "ran"));
    delivery_free(d);
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(time_out_is_a_retry),
        IN_DIR(time_out_of_the_job_wins),
        IN_DIR(exit_0_upon_the_time_out_is_still_one),
        IN_DIR(handler_that_ignores_term_is_killed),
        IN_DIR(suspended_handler_sees_the_term),
        IN_DIR(cancelled_run_is_released),
        IN_DIR(cancelled_run_is_killed_in_the_end),
        IN_DIR(run_of_a_cancelled_job_is_killed_soon),
        IN_DIR(run_of_a_cancelled_job_that_timed_out_too),
        IN_DIR(second_wake_kills_at_once),
        IN_DIR(run_that_ended_before_the_cancel_is_done),
        IN_DIR(wake_without_cancel_means_nothing),
        IN_DIR(cancelled_before_the_start_does_not_run),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
