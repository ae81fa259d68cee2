/*
 * Claims about the children of process handlers: how they start, or do not,
 * how they end, who is blamed for it, how a run is stopped, and how many there
 * are. Moments are arranged with fifos, as in test_handler_stop.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler.h"

#define SH "/bin/sh"
#define PYTHON "/usr/bin/python3 -S"

#define READY "echo '{\"op\":\"ready\"}'\n"
/* A loop that runs what follows, up to END, for each job. */
#define EACH_JOB                                                               \
    READY "while read -r line; do case $line in *'\"op\":\"job\"'*)\n"
#define END "\n;; esac; done"
#define ANSWER(result)                                                         \
    "echo '{\"op\":\"done\",\"id\":\"job-1\",\"result\":'" result "'}'"
#define PID_LOOP EACH_JOB ANSWER("$$") END

static void start(void **state, const char *body, const char *const *keys)
{
    runner_process(*state, SH, body, keys);
}

static struct delivery *run(void **state, const char *payload)
{
    struct runner_fixture *f = *state;
    struct delivery *d = runner_delivery(f, "p", payload, NULL);

    handler_run(d, f->cancel_fd);
    return d;
}

static void expect_run(void **state, enum verdict v, const char *class,
                       const char *message)
{
    struct delivery *d = run(state, NULL);

    expect_verdict(d, v, class);
    if (message != NULL)
        assert_string_equal(d->outcome.message.data, message);
    delivery_free(d);
}

/* A run whose result is a number: the pid of the child, or a count. */
static int run_number(void **state, const char *payload)
{
    struct delivery *d = run(state, payload);
    int n;

    expect_verdict(d, VERDICT_DONE, "");
    n = atoi(d->outcome.result.data);
    delivery_free(d);
    return n;
}

static void expect_logged(void **state, const char *text)
{
    struct buf log = runner_log(*state);

    expect_contains(&log, text);
    buf_done(&log);
}

/* Lines of a file of the directory. */
static int count_lines(void **state, const char *name)
{
    struct runner_fixture *f = *state;
    char path[128];
    int n = 0, c;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while ((c = getc(file)) != EOF)
        n += c == '\n';
    fclose(file);
    return n;
}

/* Each child of a test adds a line to it. */
static int starts(void **state)
{
    return count_lines(state, "starts");
}

static void wait_ms(int64_t until_ms)
{
    while (clock_ms() < until_ms)
        usleep(1000);
}

/* ---- starts ---- */

static void child_that_does_not_get_ready_puts_jobs_off(void **state)
{
    static const char *const hurry[] = {"start-timeout", "60ms", NULL};
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"echo first >&2; echo ' no such module ' >&2; exit 3",
         "exit code 3 before it was ready:  no such module"},
        {"exit 0", "exit code 0 before it was ready"},
        {"kill -ABRT $$", "killed by signal 6 (SIGABRT) before it was ready"},
        {"exec sleep 1000", "not ready within 60ms"},
        {"echo garbage; echo '{}'; exec sleep 1000", "not ready within 60ms"},
        {"exec >&-; exec sleep 1000", "closed its stdout before it was ready"},
        {READY "exit 4", "exit code 4 before its first job"},
        {READY "exec <&-; exec sleep 1000",
         "closed its stdin or stdout before its first job"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool late = strstr(rows[i].message, "60ms") != NULL;

        start(state, rows[i].body, late ? hurry : NULL);
        expect_run(state, VERDICT_PUT_OFF, "start", rows[i].message);
    }
}

static void program_that_cannot_be_started_puts_jobs_off(void **state)
{
    struct runner_fixture *f = *state;

    runner_handler(f, "p=process:/nowhere/x -v");
    expect_run(state, VERDICT_PUT_OFF, "start",
               "/nowhere/x: No such file or directory");
}

static void broken_one_is_not_started_again_at_once(void **state)
{
    int64_t begin_ms = clock_ms();
    int done = 0;

    start(state, "echo >>$D/starts; exit 1", NULL);
    /* It is started at 0, 0, 100 and 300 ms at the earliest. */
    while (starts(state) < 4 && clock_ms() < begin_ms + 20 * 1000) {
        expect_run(state, VERDICT_PUT_OFF, "start",
                   "exit code 1 before it was ready");
        done++;
    }
    assert_in_range(clock_ms() - begin_ms, 300, 20 * 1000);
    assert_true(done > 3);
    expect_logged(state, "ev=process_start handler=p error=\"exit code 1 "
                         "before it was ready\" again_in=100ms");
}

/* The first one fails, as if somebody had killed it. */
static void first_accident_is_forgiven(void **state)
{
    start(state, "test -e $D/once || { : >$D/once; exit 1; }\n" PID_LOOP, NULL);
    expect_run(state, VERDICT_DONE, "", NULL);
    start(state,
          "test -e $D/twice || { : >$D/twice; " READY "exit 1; }\n" PID_LOOP,
          NULL);
    expect_run(state, VERDICT_DONE, "", NULL);
}

static void one_that_gets_ready_again_is_broken_no_more(void **state)
{
    int64_t begin_ms = clock_ms();
    struct runner_fixture *f = *state;

    start(state, "test -e $D/fixed || exit 1\n" PID_LOOP, NULL);
    expect_run(state, VERDICT_PUT_OFF, "start", NULL);
    runner_file(f, "fixed", "");
    wait_ms(begin_ms + 101);
    while (clock_ms() < begin_ms + 20 * 1000) {
        struct delivery *d = run(state, NULL);
        bool done = d->outcome.verdict == VERDICT_DONE;

        delivery_free(d);
        if (done)
            return;
    }
    fail_msg("still broken");
}

/* ---- ends, and who is blamed ---- */

static void child_that_ends_at_a_job_blames_it(void **state)
{
    struct delivery *d;

    start(state, EACH_JOB "echo why >&2; kill -SEGV $$" END, NULL);
    d = run(state, NULL);
    expect_verdict(d, VERDICT_RETRY, "signal");
    assert_true(d->outcome.crashed);
    assert_int_equal(d->outcome.exit_status, 128 + SIGSEGV);
    expect_contains(&d->outcome.message, "killed by signal 11 (SIGSEGV)");
    expect_contains(&d->outcome.message, "before it answered: why");
    assert_string_equal(d->outcome.stderr_tail.data, "why\n");
    delivery_free(d);

    start(state, EACH_JOB "exit 65" END, NULL);
    d = run(state, NULL);
    expect_verdict(d, VERDICT_RETRY, "exit");
    assert_false(d->outcome.crashed);
    assert_int_equal(d->outcome.exit_status, 65);
    delivery_free(d);

    start(state, EACH_JOB "exit 0" END, NULL);
    expect_run(state, VERDICT_RETRY, "exit", "exit code 0 before it answered");
    /* It got ready, so the next job has a child at once. */
    expect_run(state, VERDICT_RETRY, "exit", NULL);
}

static void answer_before_the_end_counts(void **state)
{
    start(state, EACH_JOB ANSWER("7") "; kill -KILL $$" END, NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(run_number(state, NULL), 7);
}

static void answer_without_the_end_of_its_line_counts(void **state)
{
    start(state,
          EACH_JOB "printf '{\"op\":\"done\",\"id\":\"job-1\",\"result\":7}'\n"
                   "exit 1" END,
          NULL);
    assert_int_equal(run_number(state, NULL), 7);
}

static void child_that_ends_between_jobs_blames_nobody(void **state)
{
    int first, second;

    start(state, PID_LOOP, NULL);
    first = run_number(state, NULL);
    assert_int_equal(kill(first, SIGKILL), 0);
    assert_true(process_ends(first));
    second = run_number(state, NULL);
    assert_int_not_equal(first, second);
    expect_logged(state, "ev=process_ended handler=p pid=");
    expect_logged(state, "how=\"killed by signal 9 (SIGKILL)\"");
}

/* It is taken before anybody knows that it will read nothing more. */
static void child_that_ends_with_the_job_unread_blames_nobody(void **state)
{
    int64_t deadline_ms = clock_ms() + 20 * 1000;
    int first = 0, n;

    start(state,
          EACH_JOB ANSWER("$$") "\n test -e $D/once || "
                                "{ : >$D/once; sleep 0.05; exit 9; }" END,
          NULL);
    first = run_number(state, NULL);
    /* The child sleeps: this job stays in the pipe when it ends. */
    n = run_number(state, NULL);
    assert_int_not_equal(first, n);
    assert_true(clock_ms() < deadline_ms);
    expect_logged(state, "how=\"exit code 9\"");
}

static void child_that_closes_its_stdout_is_of_no_use(void **state)
{
    start(state, EACH_JOB "exec >&-; exec sleep 1000" END, NULL);
    expect_run(state, VERDICT_RETRY, "protocol",
               "it closed its stdin or stdout and did not answer");
}

/* Nobody waits for what a child left in its group. */
static void group_of_a_child_ends_with_it(void **state)
{
    struct runner_fixture *f = *state;
    char path[128], text[16] = "";
    int fd;

    start(state, EACH_JOB "sleep 1000 & echo $! >$D/pid; exit 1" END, NULL);
    expect_run(state, VERDICT_RETRY, "exit", NULL);
    snprintf(path, sizeof(path), "%s/pid", f->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_true(process_ends((pid_t)atoi(text)));
}

/* ---- how many, and for how long ---- */

static void child_ends_after_so_many_jobs(void **state)
{
    static const char *const keys[] = {"max-jobs", "2", NULL};
    int pids[6];

    start(state, PID_LOOP, keys);
    for (int i = 0; i < 6; i++)
        pids[i] = run_number(state, NULL);
    for (int i = 0; i < 6; i += 2) {
        assert_int_equal(pids[i], pids[i + 1]);
        assert_true(i == 0 || pids[i] != pids[i - 1]);
        assert_true(process_ends(pids[i]));
    }
}

static void child_that_grew_ends(void **state)
{
    static const char *const keys[] = {"max-rss", "60M", NULL};
    int first, second;

    runner_process(
        *state, PYTHON,
        "import sys, os\n"
        "print('{\"op\":\"ready\"}', flush=True)\n"
        "hoard = []\n"
        "for line in sys.stdin:\n"
        "  if '\"job\"' not in line: continue\n"
        "  if 'grow' in line: hoard.append(b'x' * (64 << 20))\n"
        "  print('{\"op\":\"done\",\"id\":\"job-1\",\"result\":%d}'\n"
        "        % os.getpid(), flush=True)\n",
        keys);
    first = run_number(state, "\"stay\"");
    wait_ms(clock_ms() + 101); /* its size is looked at ten times a second */
    assert_int_equal(run_number(state, "\"stay\""), first);
    wait_ms(clock_ms() + 101);
    assert_int_equal(run_number(state, "\"grow\""), first);
    second = run_number(state, "\"stay\"");
    assert_int_not_equal(first, second);
    assert_true(process_ends(first));
    expect_logged(state, "ev=process_too_large handler=p");
}

static void next_job_does_not_wait_for_a_goodbye(void **state)
{
    static const char *const keys[] = {"max-jobs", "1", NULL};
    struct runner_fixture *f = *state;
    int64_t begin_ms = clock_ms();
    int first;

    f->limits.kill_after_ms = 3600 * 1000;
    start(state, PID_LOOP "\n: >$D/bye\nexec sleep 1000", keys);
    first = run_number(state, NULL);
    assert_int_not_equal(run_number(state, NULL), first);
    assert_true(clock_ms() - begin_ms < 10 * 1000);
    assert_int_equal(kill(first, 0), 0);
    handlers_free(f->hs);
    f->hs = NULL;
    assert_true(process_ends(first));
}

#define THREADS 6

struct crowd {
    struct runner_fixture *f;
    int jobs;
    pthread_barrier_t ran; /* children end with the thread that started them */
    pthread_barrier_t stopped;
};

static void *crowd_main(void *arg)
{
    struct crowd *c = arg;
    int cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    for (int i = 0; i < c->jobs; i++) {
        struct delivery *d = runner_delivery(c->f, "p", NULL, NULL);

        handler_run(d, cancel_fd);
        if (d->outcome.verdict != VERDICT_DONE)
            abort();
        delivery_free(d);
    }
    pthread_barrier_wait(&c->ran);
    pthread_barrier_wait(&c->stopped);
    close(cancel_fd);
    return NULL;
}

static void run_crowd(void **state, const char *body, const char *const *keys)
{
    struct crowd c = {.f = *state, .jobs = 20};
    pthread_t threads[THREADS];

    start(state, body, keys);
    pthread_barrier_init(&c.ran, NULL, THREADS + 1);
    pthread_barrier_init(&c.stopped, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &c), 0);
    pthread_barrier_wait(&c.ran);
    handlers_stop(c.f->hs);
    pthread_barrier_wait(&c.stopped);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&c.ran);
    pthread_barrier_destroy(&c.stopped);
}

/* Each child takes a place by mkdir while it runs a job. */
static void there_are_no_more_children_than_processes(void **state)
{
    static const char *const keys[] = {"processes", "2", NULL};

    run_crowd(state,
              "echo >>$D/starts\n" EACH_JOB
              "mkdir $D/place1 2>/dev/null && place=1 ||\n"
              "{ mkdir $D/place2 2>/dev/null && place=2; } || exit 1\n"
              "rmdir $D/place$place\n" ANSWER("1") END,
              keys);
    assert_int_equal(starts(state), 2);
}

static void all_children_hear_of_the_stop_and_are_waited_for(void **state)
{
    static const char *const keys[] = {"processes", "3", NULL};

    run_crowd(state,
              "echo >>$D/starts\n" READY
              "while read -r line; do case $line in\n"
              "*'\"op\":\"job\"'*) " ANSWER(
                  "1") ";;\n"
                       "*'\"op\":\"drain\"'*) : >$D/drain$$;;\n"
                       "esac; done\n"
                       "test -e $D/drain$$ && sleep 0.05 && rm $D/drain$$\n"
                       "echo >>$D/ends",
              keys);
    assert_in_range(starts(state), 1, 3);
    assert_int_equal(count_lines(state, "ends"), starts(state));
}

/* ---- stopping ---- */

/* Acts once a child has opened the fifo "started". */
struct stopper {
    void **state;
    struct delivery *d;
    bool job;  /* the job was cancelled; else the worker ends */
    int wakes; /* of the cancel_fd */
    pthread_t thread;
};

static void *stopper_main(void *arg)
{
    struct stopper *s = arg;
    struct runner_fixture *f = *s->state;
    uint64_t one = 1;
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/started", f->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        abort();
    close(fd);
    atomic_store(&s->d->cancel, s->job ? CANCEL_JOB : CANCEL_RELEASE);
    for (int i = 0; i < s->wakes; i++)
        if (write(f->cancel_fd, &one, sizeof(one)) < 0)
            abort();
    return NULL;
}

/* Runs a job while the stopper waits; returns the milliseconds. */
static int64_t run_and_stop(struct stopper *s, const char *body)
{
    struct runner_fixture *f = *s->state;
    int64_t begin_ms = clock_ms();
    char path[128];

    snprintf(path, sizeof(path), "%s/started", f->dir);
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    start(s->state, body, NULL);
    s->d = runner_delivery(f, "p", NULL, NULL);
    assert_int_equal(pthread_create(&s->thread, NULL, stopper_main, s), 0);
    handler_run(s->d, f->cancel_fd);
    pthread_join(s->thread, NULL);
    return clock_ms() - begin_ms;
}

/* A child that does what it is told: it answers each cancel. */
#define OBEDIENT(at_job)                                                       \
    READY "while read -r line; do case $line in\n"                             \
          "*'\"op\":\"job\"'*) " at_job ";;\n"                                 \
          "*'\"op\":\"cancel\"'*) echo \"$line\" >$D/cancel\n" ANSWER(         \
              "$$") ";;\n"                                                     \
                    "esac; done"

static void expect_cancel_line(void **state, const char *reason)
{
    struct runner_fixture *f = *state;
    char path[128], line[256] = "", expected[128];
    int fd;

    snprintf(path, sizeof(path), "%s/cancel", f->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
    close(fd);
    snprintf(expected, sizeof(expected),
             "{\"op\":\"cancel\",\"id\":\"job-1\",\"reason\":\"%s\"}\n",
             reason);
    assert_string_equal(line, expected);
}

/* The child answers a job for which it is not told to stop with its pid. */
static void child_that_obeys_lives_on(void **state)
{
    struct stopper s = {.state = state, .job = true, .wakes = 1};
    struct runner_fixture *f = *state;

    f->limits.cancel_kill_after_ms = 3600 * 1000;
    run_and_stop(
        &s, "echo >>$D/starts\n" OBEDIENT("if test -e $D/cancel; then " ANSWER(
                "1") "; else : >$D/started; fi"));
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    expect_result(s.d, "");
    expect_cancel_line(state, "cancelled");
    delivery_free(s.d);
    assert_int_equal(run_number(state, NULL), 1);
    assert_int_equal(starts(state), 1);
}

static void end_of_the_worker_is_told_too(void **state)
{
    struct stopper s = {.state = state, .wakes = 1};

    run_and_stop(&s, OBEDIENT(": >$D/started"));
    expect_verdict(s.d, VERDICT_RELEASE, "stopped");
    expect_cancel_line(state, "stopping");
    delivery_free(s.d);
}

static void child_that_does_not_obey_gets_term_then_kill(void **state)
{
    struct stopper s = {.state = state, .job = true, .wakes = 1};
    struct runner_fixture *f = *state;
    int64_t ms;

    f->limits.cancel_kill_after_ms = 600;
    ms = run_and_stop(&s, "trap ': >$D/term' TERM\n" EACH_JOB
                          ": >$D/started; while :; do sleep 0.01; done" END);
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    assert_false(s.d->outcome.crashed);
    assert_true(runner_has(f, "term"));
    assert_in_range(ms, 600, 20 * 1000);
    delivery_free(s.d);
}

static void second_wake_kills_at_once(void **state)
{
    struct stopper s = {.state = state, .wakes = 2};
    struct runner_fixture *f = *state;

    f->limits.kill_after_ms = 3600 * 1000;
    run_and_stop(&s, "trap '' TERM\n" EACH_JOB ": >$D/started; "
                     "exec sleep 1000" END);
    expect_verdict(s.d, VERDICT_RELEASE, "stopped");
    delivery_free(s.d);
}

static void job_that_is_cancelled_while_a_child_starts(void **state)
{
    struct stopper s = {.state = state, .job = true, .wakes = 1};

    run_and_stop(&s, ": >$D/started; exec sleep 1000");
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    delivery_free(s.d);
    /* Nothing is broken: the next one is started at once. */
    run_and_stop(&s, ": >$D/started; exec sleep 1000");
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    delivery_free(s.d);
}

static void cancelled_before_the_start_does_not_run(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    start(state, ": >$D/ran", NULL);
    d = runner_delivery(f, "p", NULL, NULL);
    atomic_store(&d->cancel, CANCEL_FENCED);
    handler_run(d, f->cancel_fd);
    expect_verdict(d, VERDICT_RELEASE, "stopped");
    assert_false(runner_has(f, "ran"));
    delivery_free(d);
}

static void time_out_is_told_and_is_a_retry(void **state)
{
    struct runner_fixture *f = *state;

    f->limits.timeout_ms = 50;
    start(state, "echo >>$D/starts\n" OBEDIENT(":"), NULL);
    expect_run(state, VERDICT_RETRY, "timeout", "timed out after 50ms");
    expect_cancel_line(state, "timeout");
    expect_run(state, VERDICT_RETRY, "timeout", NULL);
    assert_int_equal(starts(state), 1);
}

static void time_out_kills_in_the_end(void **state)
{
    struct runner_fixture *f = *state;
    int64_t begin_ms = clock_ms();

    f->limits.timeout_ms = 40;
    f->limits.kill_after_ms = 40;
    start(state, "trap '' TERM\n" EACH_JOB "exec sleep 1000" END, NULL);
    expect_run(state, VERDICT_RETRY, "timeout", NULL);
    assert_in_range(clock_ms() - begin_ms, 80, 20 * 1000);
}

static void silence_is_told_and_is_a_retry(void **state)
{
    static const char *const keys[] = {"heartbeat", "500ms", NULL};

    start(state,
          OBEDIENT("for i in 1 2 3 4 5 6; do sleep 0.1\n"
                   "echo '{\"op\":\"heartbeat\",\"id\":\"job-1\"}'; done\n"
                   "test -e $D/cancel && " ANSWER("5")),
          keys);
    expect_run(state, VERDICT_RETRY, "heartbeat", "said nothing for 500ms");
    expect_cancel_line(state, "timeout");
    assert_int_equal(run_number(state, NULL), 5);
}

/* A thread runs a job and keeps the only child busy. */
static void *occupy(void *arg)
{
    struct delivery *d = arg;
    int cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    handler_run(d, cancel_fd);
    close(cancel_fd);
    return NULL;
}

static void open_fifo(void **state, const char *name, int flags)
{
    struct runner_fixture *f = *state;
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    if (flags == O_CREAT) {
        assert_int_equal(mkfifo(path, 0600), 0);
        return;
    }
    fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
}

static void job_that_waits_for_a_child_can_be_cancelled(void **state)
{
    static const char *const keys[] = {"processes", "1", NULL};
    struct runner_fixture *f = *state;
    struct stopper s = {.state = state, .job = true, .wakes = 1};
    struct delivery *busy;
    uint64_t one = 1;
    pthread_t thread;

    open_fifo(state, "runs", O_CREAT);
    open_fifo(state, "go-on", O_CREAT);
    open_fifo(state, "started", O_CREAT);
    start(state, EACH_JOB ": >$D/runs; : >$D/go-on; " ANSWER("1") END, keys);
    busy = runner_delivery(f, "p", NULL, NULL);
    assert_int_equal(pthread_create(&thread, NULL, occupy, busy), 0);
    open_fifo(state, "runs", O_RDONLY);

    /* A wake without cancel means nothing. */
    assert_int_equal(write(f->cancel_fd, &one, sizeof(one)), sizeof(one));
    s.d = runner_delivery(f, "p", NULL, NULL);
    assert_int_equal(pthread_create(&s.thread, NULL, stopper_main, &s), 0);
    open_fifo(state, "started", O_WRONLY);
    handler_run(s.d, f->cancel_fd);
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    pthread_join(s.thread, NULL);

    open_fifo(state, "go-on", O_RDONLY);
    pthread_join(thread, NULL);
    expect_verdict(busy, VERDICT_DONE, "");
    delivery_free(busy);
    delivery_free(s.d);
}

/* Whether the keeper has logged what a child says between jobs. */
static bool has_looked(void **state)
{
    struct buf log = runner_log(*state);
    bool found = log.len > 0 && strstr(log.data, "ev=stderr handler=p") != NULL;

    buf_done(&log);
    return found;
}

/* The keeper has it in hand when all are dismissed. */
static void child_that_never_is_silent_is_dismissed(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    int pid;

    start(state, "yes noise >&2 & " PID_LOOP, NULL);
    d = run(state, NULL);
    expect_verdict(d, VERDICT_DONE, "");
    pid = atoi(d->outcome.result.data);
    delivery_free(d);
    while (!has_looked(state))
        usleep(1000);
    handlers_stop(f->hs);
    assert_int_equal(kill(pid, 0), -1);
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(child_that_does_not_get_ready_puts_jobs_off),
        IN_DIR(program_that_cannot_be_started_puts_jobs_off),
        IN_DIR(broken_one_is_not_started_again_at_once),
        IN_DIR(first_accident_is_forgiven),
        IN_DIR(one_that_gets_ready_again_is_broken_no_more),
        IN_DIR(child_that_ends_at_a_job_blames_it),
        IN_DIR(answer_before_the_end_counts),
        IN_DIR(answer_without_the_end_of_its_line_counts),
        IN_DIR(child_that_ends_between_jobs_blames_nobody),
        IN_DIR(child_that_ends_with_the_job_unread_blames_nobody),
        IN_DIR(child_that_closes_its_stdout_is_of_no_use),
        IN_DIR(group_of_a_child_ends_with_it),
        IN_DIR(child_ends_after_so_many_jobs),
        IN_DIR(child_that_grew_ends),
        IN_DIR(next_job_does_not_wait_for_a_goodbye),
        IN_DIR(there_are_no_more_children_than_processes),
        IN_DIR(all_children_hear_of_the_stop_and_are_waited_for),
        IN_DIR(child_that_obeys_lives_on),
        IN_DIR(end_of_the_worker_is_told_too),
        IN_DIR(child_that_does_not_obey_gets_term_then_kill),
        IN_DIR(second_wake_kills_at_once),
        IN_DIR(job_that_is_cancelled_while_a_child_starts),
        IN_DIR(cancelled_before_the_start_does_not_run),
        IN_DIR(time_out_is_told_and_is_a_retry),
        IN_DIR(time_out_kills_in_the_end),
        IN_DIR(silence_is_told_and_is_a_retry),
        IN_DIR(job_that_waits_for_a_child_can_be_cancelled),
        IN_DIR(child_that_never_is_silent_is_dismissed),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
