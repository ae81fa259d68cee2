/*
 * Claims about a Redis that dies, comes back, and is away meanwhile.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { EX_AWAY = 69, THREADS = 4 };

/* Holds when so many of them have begun, without asking Redis. */
static void wait_begun(struct redis *r, unsigned more)
{
    wait_noted(r, "jobs", noted(r, "jobs") + more);
}

static bool is_past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

/* Everybody's lease runs out while nobody is there to look at it. */
static void stay_away(int64_t ms)
{
    int64_t until_ms = clock_ms() + ms;
    assert_true(wait_until(is_past, &until_ms, PATIENCE_MS));
}

static struct redis *persistent(const char *fsync)
{
    char conf[64];
    (void)snprintf(conf, sizeof(conf), "appendfsync %s", fsync);
    return redis_start(&(struct redis_opts){.appendonly = true, .conf = conf});
}

/* Killed under load several times, once for longer than a lease. */
static void kill_it_under_load(struct fleet *f)
{
    enum { KILLS = 4 };
    for (unsigned i = 0; i < KILLS; i++) {
        fleet_feed(f, 300);
        wait_begun(f->r, 100);
        redis_kill9(f->r);
        if (i == 1)
            stay_away(4000);
        redis_restart(f->r);
        wait_begun(f->r, 50);
    }
    wait_stat(f->r, "done", f->pushed);
    assert_true(queue_at_rest(f->r, "q", PATIENCE_MS));
    expect_each_ran(f->r, f->pushed);
    expect_nobody_reaped(f->r);
}

static void killed_under_load_it_ends_all_jobs(void **state)
{
    struct fleet f;
    struct redis *r = persistent("always");
    *state = r;
    fleet_start(&f, r, "3s", A_MOMENT);
    kill_it_under_load(&f);
    expect_settled(r, f.pushed);
    expect_each_ran_once(r, f.pushed);
    assert_int_equal(fleet_said(&f, "ev=fenced"), 0);
    fleet_end(&f);
}

/* What is not on the disk yet may be lost, and its jobs run again. */
static void with_fsync_every_second_few_run_twice(void **state)
{
    struct fleet f;
    struct redis *r = persistent("everysec");
    *state = r;
    fleet_start(&f, r, "3s", A_MOMENT);
    kill_it_under_load(&f);
    assert_in_range(noted(r, "jobs"), f.pushed,
                    f.pushed + 4 * FLEET * FLEET_THREADS);
    fleet_end(&f);
}

static void a_worker_waits_for_it_at_the_start(void **state)
{
    enum { JOBS = 100 };
    struct redis *r = persistent("always");
    *state = r;
    redis_kill9(r);
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", "q", "--handler", "noop=builtin:noop", NULL});
    wait_said(w, "ev=redis_away", 1);
    assert_false(worker_said(w, "ev=register"));
    redis_restart(r);
    wait_said(w, "ev=register", 1);
    queue_fill(r, "q", "noop", 0, JOBS);
    wait_stat(r, "done", JOBS);
    expect_settled(r, JOBS);
    worker_free(w);
}

/* The jobs run, and some end, while it is away. */
static void outcomes_are_kept_until_it_is_back(void **state)
{
    struct redis *r = persistent("always");
    *state = r;
    const char *flags[] = {
        "--handler",
        note_handler(r, "while [ ! -e $d/gate ]; do sleep 0.05; done\n"
                        "echo \"$p\" >>$d/ends; exit 0"),
        NULL};
    struct worker *w = worker_up(r, NULL, flags);
    queue_fill(r, "q", "note", 0, THREADS);
    wait_noted(r, "jobs", THREADS);
    redis_kill9(r);
    wait_said(w, "ev=redis_away", 1);
    (void)script_file(r, "gate", "");
    wait_noted(r, "ends", THREADS);
    redis_restart(r);
    wait_stat(r, "done", THREADS);
    expect_settled(r, THREADS);
    expect_each_ran_once(r, THREADS);
    worker_free(w);
}

/* It finishes what runs, waits a little, and says what it could not tell. */
static void told_to_end_while_it_is_away_a_worker_ends(void **state)
{
    struct redis *r = persistent("always");
    *state = r;
    const char *flags[] = {
        "--handler",
        note_handler(r, "while [ ! -e $d/gate ]; do sleep 0.05; done\n"
                        "echo \"$p\" >>$d/ends; exit 0"),
        NULL};
    struct worker *w = worker_up(r, NULL, flags);
    queue_fill(r, "q", "note", 0, THREADS);
    wait_noted(r, "jobs", THREADS);
    redis_kill9(r);
    worker_signal(w, SIGTERM);
    wait_said(w, "ev=drain", 1);
    (void)script_file(r, "gate", "");
    assert_int_equal(worker_wait(w, PATIENCE_MS), EX_AWAY);
    assert_int_equal(noted(r, "ends"), THREADS);
    assert_true(worker_said(w, "ev=farewell"));
    worker_free(w);
    redis_restart(r);
    struct worker *heir = worker_up(r, NULL, flags);
    wait_stat(r, "done", THREADS);
    expect_settled(r, THREADS);
    expect_each_ran(r, THREADS);
    worker_free(heir);
}

/* Back within the farewell: everything is told, nothing is left. */
static void back_in_time_it_is_told_everything(void **state)
{
    struct redis *r = persistent("always");
    *state = r;
    struct worker *w = worker_up(
        r, NULL,
        (const char *[]){"--handler", note_handler(r, "exec sleep 0.5"), NULL});
    queue_fill(r, "q", "note", 0, THREADS);
    wait_noted(r, "jobs", THREADS);
    redis_kill9(r);
    worker_signal(w, SIGTERM);
    wait_said(w, "ev=drain", 1);
    redis_restart(r);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    expect_settled(r, THREADS);
    expect_each_ran_once(r, THREADS);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:leases"), 0);
    worker_free(w);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_teardown(f, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(killed_under_load_it_ends_all_jobs),
        CLAIM(with_fsync_every_second_few_run_twice),
        CLAIM(a_worker_waits_for_it_at_the_start),
        CLAIM(outcomes_are_kept_until_it_is_back),
        CLAIM(told_to_end_while_it_is_away_a_worker_ends),
        CLAIM(back_in_time_it_is_told_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
