/*
 * Claims about connections that are cut: that may not lose a job, run one
 * twice, or leave one behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { CUTS = 100, BACKLOG = 300 };

/* Connections that were cut in this test. */
static unsigned cuts;

static void feed_to(struct fleet *f, long long backlog)
{
    long long n = redis_int(f->r, "LLEN belt:{q}");
    if (n < backlog)
        fleet_feed(f, (unsigned)(backlog - n));
}

/* The client of a kind that has been there for the longest time, 0: none. */
static long long oldest_client(struct fleet *f, const char *kind)
{
    long long oldest = 0;
    redisReply *list = redis_cmd(f->r, "CLIENT LIST TYPE normal");
    for (char *line = strtok(list->str, "\n"); line != NULL;
         line = strtok(NULL, "\n")) {
        const char *name = strstr(line, " name=") + strlen(" name=");
        size_t len = strcspn(name, " "), n = strlen(kind);
        long long id = strtoll(line + strlen("id="), NULL, 10);
        if (len > n && strncmp(name + len - n, kind, n) == 0 &&
            (oldest == 0 || id < oldest))
            oldest = id;
    }
    freeReplyObject(list);
    return oldest;
}

static bool cut_one(void *arg)
{
    struct fleet *f = arg;
    long long id = oldest_client(f, cuts % 3 == 0 ? ":wait" : ":cmd");
    if (id == 0 || redis_int(f->r, "CLIENT KILL ID %lld", id) != 1)
        return false;
    cuts++;
    return true;
}

static bool cut_all(void *arg)
{
    struct fleet *f = arg;
    long long n = redis_int(f->r, "CLIENT KILL TYPE normal SKIPME yes");
    cuts += (unsigned)n;
    return n > 0;
}

/* Connections one by one, which the worker has had for some time or not. */
static void cut_under_load(struct fleet *f)
{
    cuts = 0;
    for (unsigned i = 0; cuts < CUTS; i++) {
        unsigned runs = noted(f->r, "jobs");
        feed_to(f, BACKLOG);
        assert_true(wait_until(i % 5 == 4 ? cut_all : cut_one, f, PATIENCE_MS));
        wait_noted(f->r, "jobs", runs + 40);
    }
    wait_stat(f->r, "done", f->pushed);
}

static void expect_rebound(struct fleet *f)
{
    for (unsigned i = 0; i < FLEET; i++) {
        assert_true(worker_count(f->w[i], "ev=rebind") > 0);
        assert_int_equal(worker_count(f->w[i], "ev=job_gone"), 0);
        assert_int_equal(worker_count(f->w[i], "ev=fenced"), 0);
        assert_int_equal(worker_count(f->w[i], "ev=stale"), 0);
    }
    expect_nobody_reaped(f->r);
}

static void a_cut_loses_nothing_and_runs_nothing_twice(void **state)
{
    struct fleet f;
    fleet_start(&f, *state, "15s", A_MOMENT);
    cut_under_load(&f);
    expect_settled(f.r, f.pushed);
    expect_each_ran_once(f.r, f.pushed);
    expect_rebound(&f);
    fleet_end(&f);
}

static void nor_if_all_jobs_are_equal_and_have_no_id(void **state)
{
    struct fleet f;
    fleet_start(&f, *state, "15s", "echo $BELT_JOB_ID >>$d/ids\n" A_MOMENT);
    f.equal = true;
    cut_under_load(&f);
    expect_settled(f.r, f.pushed);
    assert_int_equal(noted(f.r, "jobs"), f.pushed);
    assert_int_equal(noted_distinct(f.r, "ids"), f.pushed);
    expect_rebound(&f);
    fleet_end(&f);
}

static bool all_block(void *arg)
{
    struct fleet *f = arg;
    redisReply *list = redis_cmd(f->r, "CLIENT LIST TYPE normal");
    unsigned n = 0;
    for (const char *p = list->str; (p = strstr(p, "cmd=blmove")) != NULL; p++)
        n++;
    freeReplyObject(list);
    return n == FLEET;
}

/*
 * In one transaction: Redis hands the jobs to the waiting connections and
 * then closes these, before it has written one byte of their replies.
 */
static void a_job_whose_blmove_was_cut_is_not_stranded(void **state)
{
    enum { ROUNDS = 6 };
    struct fleet f;
    fleet_start(&f, *state, "15s", "");
    for (unsigned i = 0; i < ROUNDS; i++) {
        char job[64];
        assert_true(wait_until(all_block, &f, PATIENCE_MS));
        (void)snprintf(job, sizeof(job), "{\"type\":\"note\",\"payload\":%u}",
                       f.pushed++);
        redis_do(f.r, "MULTI");
        redis_do(f.r, "RPUSH belt:{q} %s", job);
        redis_do(f.r, "CLIENT KILL TYPE normal SKIPME yes");
        redis_do(f.r, "EXEC");
        wait_stat(f.r, "done", f.pushed);
    }
    expect_settled(f.r, ROUNDS);
    expect_each_ran_once(f.r, ROUNDS);
    expect_rebound(&f);
    fleet_end(&f);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_cut_loses_nothing_and_runs_nothing_twice),
        CLAIM(nor_if_all_jobs_are_equal_and_have_no_id),
        CLAIM(a_job_whose_blmove_was_cut_is_not_stranded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
