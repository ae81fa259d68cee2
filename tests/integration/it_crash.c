/*
 * Claims about workers that die without a word.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

/* Hangs, unless the job was taken from a dead worker. */
#define HANG_AT_FIRST "[ \"$BELT_RECOVERED\" = 0 ] && exec sleep 1000; exit 0"

enum { HELD = 4 }; /* jobs that the victim runs: its threads */

/* A worker that hangs in HELD jobs, all begun. */
static struct worker *victim(struct redis *r, const char *host,
                             const char *lease)
{
    const char *handler = note_handler(r, HANG_AT_FIRST);
    struct worker *w = worker_up(
        r, host,
        (const char *[]){"--lease", lease, "--handler", handler, NULL});
    queue_fill(r, "q", "note", 0, HELD);
    wait_noted(r, "jobs", HELD);
    return w;
}

/* How long until all that it held has begun again. */
static int64_t time_to_rerun(struct redis *r, int64_t from_ms)
{
    wait_noted(r, "recovered", HELD);
    int64_t took_ms = clock_ms() - from_ms;
    print_message("run again after %lld ms\n", (long long)took_ms);
    expect_settled(r, HELD);
    expect_each_ran(r, HELD);
    assert_int_equal(queue_stat(r, "q", "reaped"), HELD);
    return took_ms;
}

static int64_t time_on_other_host(struct redis *r, const char *lease)
{
    struct worker *a = victim(r, "a", lease);
    const char *flags[] = {"--lease", lease, "--handler",
                           note_handler(r, HANG_AT_FIRST), NULL};
    struct worker *b = worker_up(r, "b", flags);
    struct worker *c = worker_up(r, "c", flags);
    worker_kill9(a);
    int64_t took_ms = time_to_rerun(r, clock_ms());
    worker_free(a);
    worker_free(b);
    worker_free(c);
    return took_ms;
}

static void on_another_host_its_jobs_run_again_after_a_lease(void **state)
{
    assert_in_range(time_on_other_host(*state, "3s"), 0, 5000 * SLOWNESS);
}

static void the_lease_says_how_long_that_takes(void **state)
{
    int64_t took_ms = time_on_other_host(*state, "6s");
    assert_in_range(took_ms, 3000, 8000 * SLOWNESS);
}

/* The lease is long: only a look at the process can tell so soon. */
static void started_again_it_gives_back_what_it_held(void **state)
{
    struct redis *r = *state;
    struct worker *a = victim(r, "a", "10m");
    worker_kill9(a);
    int64_t now_ms = clock_ms();
    struct worker *again =
        worker_up(r, "a",
                  (const char *[]){"--lease", "10m", "--handler",
                                   note_handler(r, HANG_AT_FIRST), NULL});
    assert_in_range(time_to_rerun(r, now_ms), 0, 2000 * SLOWNESS);
    worker_free(a);
    worker_free(again);
}

static void a_neighbour_notices_its_death(void **state)
{
    struct redis *r = *state;
    struct worker *a = victim(r, "a", "10m");
    struct worker *b =
        worker_up(r, "a",
                  (const char *[]){"--lease", "10m", "--handler",
                                   note_handler(r, HANG_AT_FIRST), NULL});
    worker_kill9(a);
    int64_t from_ms = clock_ms();
    wait_said(b, "process is gone", 1);
    assert_in_range(clock_ms() - from_ms, 0, 2000 * SLOWNESS);
    (void)time_to_rerun(r, from_ms);
    worker_free(a);
    worker_free(b);
}

/* Three workers under load, of which one dies with jobs in flight. */
static void one_of_three_costs_no_job_and_no_attempt(void **state)
{
    enum { JOBS = 400 };
    struct redis *r = *state;
    const char *flags[] = {"--lease", "3s", "--handler",
                           note_handler(r, "sleep 0.03"), NULL};
    struct worker *w[3] = {worker_up(r, "a", flags), worker_up(r, "b", flags),
                           worker_up(r, "c", flags)};
    queue_fill(r, "q", "note", 0, JOBS);
    wait_noted(r, "jobs", JOBS / 4);
    worker_kill9(w[0]);
    wait_stat(r, "done", JOBS);
    expect_settled(r, JOBS);
    expect_each_ran(r, JOBS);
    assert_true(queue_stat(r, "q", "reaped") > 0);
    assert_true(noted(r, "recovered") > 0);
    for (unsigned i = 0; i < 3; i++)
        worker_free(w[i]);
}

static void the_death_of_all_costs_no_job(void **state)
{
    enum { JOBS = 400 };
    struct redis *r = *state;
    const char *flags[] = {"--lease", "3s", "--handler",
                           note_handler(r, "sleep 0.03"), NULL};
    const char *hosts[] = {"a", "a", "b"};
    struct worker *w[3];
    for (unsigned i = 0; i < 3; i++)
        w[i] = worker_up(r, hosts[i], flags);
    queue_fill(r, "q", "note", 0, JOBS);
    wait_noted(r, "jobs", JOBS / 4);
    for (unsigned i = 0; i < 3; i++)
        worker_signal(w[i], SIGKILL);
    for (unsigned i = 0; i < 3; i++)
        worker_free(w[i]);
    struct worker *heir = worker_up(r, "c", flags);
    wait_stat(r, "done", JOBS);
    expect_settled(r, JOBS);
    expect_each_ran(r, JOBS);
    assert_int_equal(worker_count(heir, "lease ran out"), 3);
    worker_free(heir);
}

/* Gone, or a zombie that its new parent has not looked at yet. */
static bool is_gone(long pid)
{
    char path[64], line[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return true;
    bool read = fgets(line, sizeof(line), f) != NULL;
    (void)fclose(f);
    const char *end = strrchr(line, ')');
    return !read || (end != NULL && end[1] == ' ' && end[2] == 'Z');
}

static bool all_are_gone(void *arg)
{
    char line[64];
    bool gone = true;
    FILE *f = fopen(arg, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        gone = gone && is_gone(strtol(line, NULL, 10));
    (void)fclose(f);
    return gone;
}

static void its_handlers_and_their_children_go_with_it(void **state)
{
    struct redis *r = *state;
    char path[NOTE_PATH_MAX];
    const char *handler = note_handler(
        r, "sleep 1000 & (sleep 1001 & echo $! >>$d/pids; wait) &\n"
           "echo $! >>$d/pids; echo $$ >>$d/pids; wait");
    struct worker *w =
        worker_up(r, "a", (const char *[]){"--handler", handler, NULL});
    queue_fill(r, "q", "note", 0, HELD);
    wait_noted(r, "pids", 3 * HELD);
    (void)snprintf(path, sizeof(path), "%s/pids", redis_dir(r));
    assert_false(all_are_gone(path));
    worker_kill9(w);
    assert_true(wait_until(all_are_gone, path, PATIENCE_MS));
    worker_free(w);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(on_another_host_its_jobs_run_again_after_a_lease),
        CLAIM(the_lease_says_how_long_that_takes),
        CLAIM(started_again_it_gives_back_what_it_held),
        CLAIM(a_neighbour_notices_its_death),
        CLAIM(one_of_three_costs_no_job_and_no_attempt),
        CLAIM(the_death_of_all_costs_no_job),
        CLAIM(its_handlers_and_their_children_go_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
