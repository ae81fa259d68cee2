/*
 * Claims about workers that stand still beyond their lease and wake again.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { THREADS = 4 };

/* Whoever has it first takes its time; it is quick after a recovery. */
#define SLOW_AT_FIRST                                                          \
    "[ \"$BELT_RECOVERED\" = 0 ] && while [ ! -e $d/gate ]; do sleep 0.05; "   \
    "done; echo \"$p\" >>$d/ends; exit 0"

static bool has_stopped(void *arg)
{
    siginfo_t info = {0};
    struct worker *w = arg;
    return waitid(P_PID, (id_t)worker_pid(w), &info,
                  WSTOPPED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid == worker_pid(w);
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGSTOP);
    assert_true(wait_until(has_stopped, w, PATIENCE_MS));
}

static struct worker *start(struct redis *r, const char *host,
                            const char *handler)
{
    return worker_up(r, host,
                     (const char *[]){"--lease", "3s", "--handler", handler,
                                      "--handler", "noop=builtin:noop", NULL});
}

/* Stops it in the midst of work, until others have done all of it. */
static struct worker *stopped_beyond_its_lease(struct redis *r,
                                               struct worker **ret_other,
                                               unsigned jobs)
{
    const char *handler = note_handler(r, SLOW_AT_FIRST);
    struct worker *w = start(r, "a", handler);
    queue_fill(r, "q", "note", 0, THREADS);
    wait_noted(r, "jobs", THREADS);
    queue_fill(r, "q", "noop", 0, jobs - THREADS);
    stop(w);
    *ret_other = start(r, "b", handler);
    wait_said(*ret_other, "lease ran out", 1);
    wait_stat(r, "done", jobs);
    expect_settled(r, jobs);
    return w;
}

/* What it finished meanwhile is not told, and what still runs is ended. */
static void it_commits_nothing_late(void **state)
{
    enum { JOBS = 500 };
    struct redis *r = *state;
    struct worker *other;
    struct worker *w = stopped_beyond_its_lease(r, &other, JOBS);
    worker_signal(w, SIGCONT);
    wait_said(w, "ev=fenced", 1);
    wait_said(w, "ev=stale", THREADS);
    wait_said(w, "ev=register", 2);
    expect_settled(r, JOBS);
    expect_each_ran(r, THREADS);
    assert_int_equal(noted(r, "ends"), THREADS); /* of the second runs */
    assert_int_equal(queue_stat(r, "q", "reaped"), THREADS);
    worker_free(w);
    worker_free(other);
}

/* Its handlers go on while it stands still, and end before it wakes. */
static void results_that_waited_for_it_are_not_told(void **state)
{
    enum { JOBS = 500 };
    struct redis *r = *state;
    struct worker *other;
    struct worker *w = stopped_beyond_its_lease(r, &other, JOBS);
    (void)script_file(r, "gate", "");
    wait_noted(r, "ends", 2 * THREADS);
    worker_signal(w, SIGCONT);
    wait_said(w, "ev=register", 2);
    expect_settled(r, JOBS);
    assert_int_equal(worker_count(w, "ev=fenced"), 1);
    worker_free(w);
    worker_free(other);
}

static void last_lane(struct worker *w, char *out, size_t size)
{
    char line[1024];
    FILE *f = fopen(worker_log(w), "re");
    assert_non_null(f);
    out[0] = '\0';
    while (fgets(line, sizeof(line), f) != NULL) {
        const char *lane = strstr(line, " lane=");
        if (strstr(line, "ev=register") != NULL && lane != NULL)
            (void)snprintf(out, size, "%.*s", (int)strcspn(lane + 6, " \n"),
                           lane + 6);
    }
    (void)fclose(f);
}

static void it_works_on_under_a_new_id(void **state)
{
    enum { JOBS = 100, MORE = 5000 };
    struct redis *r = *state;
    struct worker *other;
    char before[128], after[128];
    struct worker *w = stopped_beyond_its_lease(r, &other, JOBS);
    last_lane(w, before, sizeof(before));
    worker_signal(w, SIGCONT);
    wait_said(w, "ev=register", 2);
    last_lane(w, after, sizeof(after));
    assert_string_not_equal(before, after);
    assert_int_equal(redis_int(r, "HEXISTS belt:{q}:lanes %s", before), 0);
    assert_int_equal(redis_int(r, "HEXISTS belt:{q}:lanes %s", after), 1);
    worker_signal(other, SIGTERM);
    assert_int_equal(worker_wait(other, PATIENCE_MS), 0);
    queue_fill(r, "q", "noop", JOBS, MORE);
    wait_stat(r, "done", JOBS + MORE);
    expect_settled(r, JOBS + MORE);
    worker_free(w);
    worker_free(other);
}

/* A lease that ran out is held until somebody ends it. */
static void alone_it_goes_on_as_if_nothing_was(void **state)
{
    enum { JOBS = 100 };
    struct redis *r = *state;
    struct worker *w = start(r, "a", note_handler(r, SLOW_AT_FIRST));
    queue_fill(r, "q", "note", 0, THREADS);
    wait_noted(r, "jobs", THREADS);
    queue_fill(r, "q", "noop", 0, JOBS - THREADS);
    stop(w);
    (void)script_file(r, "gate", "");
    wait_noted(r, "ends", THREADS);
    redis_do(r, "EVAL %s 1 belt:{q}:leases",
             "local l = redis.call('ZRANGE', KEYS[1], 0, -1) "
             "for _, id in ipairs(l) do redis.call('ZADD', KEYS[1], 1, id) end "
             "return 1");
    worker_signal(w, SIGCONT);
    wait_stat(r, "done", JOBS);
    expect_settled(r, JOBS);
    expect_each_ran_once(r, THREADS);
    expect_nobody_reaped(r);
    assert_int_equal(worker_count(w, "ev=fenced"), 0);
    worker_free(w);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(it_commits_nothing_late),
        CLAIM(results_that_waited_for_it_are_not_told),
        CLAIM(it_works_on_under_a_new_id),
        CLAIM(alone_it_goes_on_as_if_nothing_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
