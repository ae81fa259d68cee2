/*
 * Claims about cuts and deaths while jobs are cancelled: each ends once, as
 * cancelled, it does not begin if it was marked before, and no mark is left.
 */
#include <stdlib.h>

#include "tests/faults/sweep.h"
#include "tests/unit/unit.h"

enum { JOBS = 2 };

static struct sweep current;

/* They are marked before anybody fetches them. */
static void marked_jobs_wait(struct pair *p)
{
    sweep_cancel(p, JOBS, true);
    sweep_push(p, "hangs", JOBS);
}

static void jobs_run(struct pair *p)
{
    sweep_push(p, "hangs", JOBS);
    p->runs += JOBS;
    sweep_wait_runs(p, JOBS);
}
static void they_are_marked(struct pair *p)
{
    sweep_cancel(p, JOBS, false);
}

#define WAITING(what)                                                          \
    .name = (what), .early = true, .prepare = marked_jobs_wait, .named = true
#define RUNNING(what)                                                          \
    .name = (what), .prepare = jobs_run, .provoke = they_are_marked,           \
    .named = true

static const struct scene fetched = {WAITING("fetched"), .command = "fetch"};
static const struct scene read_waiting = {WAITING("marks, waiting"),
                                          .command = "ZRANGE"};
static const struct scene settle_waiting = {
    WAITING("settle, waiting"), .command = "settle", .fenced = true};
static const struct scene killed_waiting = {
    WAITING("settle, waiting, killed"), .command = "settle", .killed = true};
static const struct scene read_running = {RUNNING("marks, running"),
                                          .command = "ZRANGE"};
static const struct scene settle_running = {
    RUNNING("settle, running"), .command = "settle", .fenced = true};
static const struct scene killed_reading = {
    RUNNING("marks, running, killed"), .command = "ZRANGE", .killed = true};
static const struct scene killed_running = {
    RUNNING("settle, running, killed"), .command = "settle", .killed = true};

static void a_cancelled_job_ends_once_whatever_is_cut(void **state)
{
    const struct scene *const scenes[] = {
        &fetched,      &read_waiting,   &settle_waiting, &killed_waiting,
        &read_running, &settle_running, &killed_reading, &killed_running};
    (void)state;
    sweep_begin(&current, scenes, sizeof(scenes) / sizeof(scenes[0]), 1);
    sweep_run(&current);
    assert_int_equal(sweep_audit(&current), 0);
    sweep_end(&current);
}

/* However the test went. */
static int end(void **state)
{
    (void)state;
    sweep_end(&current);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_cancelled_job_ends_once_whatever_is_cut,
                                  end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
