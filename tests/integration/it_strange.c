/*
 * Claims about a Redis that forgets scripts, stands still, or loses a list to
 * a stranger.
 */
#include <signal.h>

#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

/*
 * A call that finds its script gone may be overtaken by the next one, if
 * another worker has loaded it in between, and then be refused: its worker
 * binds again. How often that comes about is up to the machine.
 */
static void scripts_that_are_flushed_come_back(void **state)
{
    enum { FLUSHES = 30, STEP = 20 };
    struct fleet f;
    fleet_start(&f, *state, "15s", A_MOMENT);
    for (unsigned i = 0; i < FLUSHES; i++) {
        fleet_feed(&f, STEP);
        redis_do(f.r, "SCRIPT FLUSH");
        wait_noted(f.r, "jobs", f.pushed - STEP / 2);
    }
    wait_stat(f.r, "done", f.pushed);
    expect_settled(f.r, f.pushed);
    expect_each_ran_once(f.r, f.pushed);
    expect_nobody_reaped(f.r);
    print_message("%u rebinds\n", fleet_said(&f, "ev=rebind"));
    fleet_end(&f);
}

/* Nobody could renew, so everybody's lease has run out. */
static void a_pause_beyond_the_lease_is_nobodys_death(void **state)
{
    enum { JOBS = 300 };
    struct fleet f;
    fleet_start(&f, *state, "3s", A_MOMENT);
    fleet_feed(&f, JOBS / 3);
    wait_noted(f.r, "jobs", JOBS / 6);
    redis_do(f.r, "CLIENT PAUSE 4000 ALL");
    fleet_feed(&f, JOBS / 3); /* waits, too */
    fleet_feed(&f, JOBS / 3);
    wait_stat(f.r, "done", JOBS);
    expect_settled(f.r, JOBS);
    expect_each_ran_once(f.r, JOBS);
    expect_nobody_reaped(f.r);
    assert_int_equal(fleet_said(&f, "ev=fenced"), 0);
    fleet_end(&f);
}

/* A stranger takes away what the only worker holds. */
static void a_deleted_active_list_is_said_and_survived(void **state)
{
    struct redis *r = *state;
    const char *flags[] = {"--handler", note_handler(r, "exec sleep 1000"),
                           "--handler", "noop=builtin:noop", NULL};
    struct worker *w = worker_up(r, NULL, flags);
    queue_fill(r, "q", "note", 0, 4);
    wait_noted(r, "jobs", 4);
    redisReply *lists = redis_cmd(r, "KEYS belt:{q}:active:*");
    assert_int_equal(lists->elements, 1);
    redis_do(r, "DEL %s", lists->element[0]->str);
    freeReplyObject(lists);
    wait_said(w, "ev=job_gone", 4);
    queue_fill(r, "q", "noop", 0, 1000);
    wait_stat(r, "done", 1000);
    expect_settled(r, 1000);
    assert_int_equal(worker_count(w, "ev=job_gone"), 4);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    worker_free(w);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

/*
 * The settle of the first job is refused, that of the second one runs, and the
 * answers come in one piece: the second one is read by nobody. The count that
 * rebind tells is that of the second one.
 */
static void a_refused_settle_is_not_taken_for_the_one_behind_it(void **state)
{
    struct redis *r = *state;
    const char *waits =
        note_handler(r, "while [ ! -e $d/gate$p ]; do sleep 0.02; done");
    struct worker *w =
        worker_up(r, NULL, (const char *[]){"--handler", waits, NULL});
    queue_fill(r, "q", "note", 0, 2);
    wait_noted(r, "jobs", 2);
    redisReply *lists = redis_cmd(r, "KEYS belt:{q}:active:*");
    assert_int_equal(lists->elements, 1);
    const char *active = lists->element[0]->str;
    redis_do(r, "LMOVE %s %s LEFT RIGHT", active, active);
    freeReplyObject(lists);
    redis_do(r, "CLIENT PAUSE 1500 WRITE");
    (void)script_file(r, "gate0", "");
    (void)wait_until(never, NULL, 500); /* its settle is sent first */
    (void)script_file(r, "gate1", "");
    wait_stat(r, "done", 2);
    expect_settled(r, 2);
    assert_int_equal(worker_count(w, "ev=resync"), 1);
    assert_int_equal(worker_count(w, "ev=adopt"), 0);
    expect_each_ran_once(r, 2);
    worker_free(w);
}

/* Of the leases that have ended only the oldest is told. */
static void a_lease_that_is_no_lanes_hides_no_other(void **state)
{
    struct redis *r = *state;
    redis_do(r, "ZADD belt:{q}:leases 1 %b", "a\0b", (size_t)3);
    redis_do(r, "ZADD belt:{q}:leases 2 dead.1");
    redis_do(r, "RPUSH belt:{q}:active:dead.1 %s",
             "{\"id\":\"x\",\"type\":\"noop\"}");
    struct worker *w = worker_up(r, NULL,
                                 (const char *[]){"--lease", "3s", "--handler",
                                                  "noop=builtin:noop", NULL});
    wait_stat(r, "done", 1);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:leases"), 1);
    worker_free(w);
}

/* A stranger takes away all leases: what was held is given back. */
static void deleted_leases_strand_no_job(void **state)
{
    struct redis *r = *state;
    const char *waits =
        note_handler(r, "while [ ! -e $d/gate ]; do sleep 0.02; done");
    struct worker *w =
        worker_up(r, NULL, (const char *[]){"--handler", waits, NULL});
    queue_fill(r, "q", "note", 0, 8);
    wait_noted(r, "jobs", 4);
    redis_do(r, "DEL belt:{q}:leases");
    wait_said(w, "ev=fenced", 1);
    (void)script_file(r, "gate", "");
    wait_stat(r, "done", 8);
    expect_settled(r, 8);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    assert_int_equal(redis_int(r, "HLEN belt:{q}:lanes"), 0);
    worker_free(w);
}

/* What stands in the place of its list is no job, and not ours to remove. */
static void a_foreign_key_of_a_dead_lane_hides_no_other(void **state)
{
    struct redis *r = *state;
    const char *flags[] = {"--lease", "3s", "--handler", note_handler(r, ""),
                           NULL};
    redis_do(r, "SET belt:{q}:active:bad.1 x");
    redis_do(r, "RPUSH belt:{q}:active:dead.1 %s",
             "{\"id\":\"a\",\"type\":\"note\",\"payload\":1}");
    redis_do(r, "ZADD belt:{q}:leases 1000 bad.1 2000 dead.1");
    struct worker *w = worker_up(r, NULL, flags);
    wait_stat(r, "done", 1);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:leases"), 1);
    assert_int_equal(redis_int(r, "EXISTS belt:{q}:active:bad.1"), 1);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    worker_free(w);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(scripts_that_are_flushed_come_back),
        CLAIM(a_pause_beyond_the_lease_is_nobodys_death),
        CLAIM(a_deleted_active_list_is_said_and_survived),
        CLAIM(a_foreign_key_of_a_dead_lane_hides_no_other),
        CLAIM(a_refused_settle_is_not_taken_for_the_one_behind_it),
        CLAIM(a_lease_that_is_no_lanes_hides_no_other),
        CLAIM(deleted_leases_strand_no_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
