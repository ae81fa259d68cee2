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

/* Of the workers' clients whose name ends so: at most max ids, oldest first. */
static unsigned clients(struct redis *r, const char *kind, long long *ids,
                        unsigned max)
{
    unsigned found = 0;
    redisReply *list = redis_cmd(r, "CLIENT LIST TYPE normal");
    for (char *line = strtok(list->str, "\n"); line != NULL && found < max;
         line = strtok(NULL, "\n")) {
        const char *name = strstr(line, " name=") + strlen(" name=");
        size_t len = strcspn(name, " "), n = strlen(kind);
        if (len > n && strncmp(name + len - n, kind, n) == 0)
            ids[found++] = strtoll(line + strlen("id="), NULL, 10);
    }
    freeReplyObject(list);
    return found;
}

static bool cut_one(void *arg)
{
    struct fleet *f = arg;
    long long id;
    if (clients(f->r, cuts % 3 == 0 ? ":wait" : ":cmd", &id, 1) == 0 ||
        redis_int(f->r, "CLIENT KILL ID %lld", id) != 1)
        return false;
    cuts++;
    return true;
}

static redisContext *another_client(struct redis *r)
{
    redisContext *c = redisConnectUnix(redis_url(r) + strlen("unix://"));
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    return c;
}

static bool is_past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

/*
 * All at once, so that replies are lost: while Redis is busy for 100 ms or so
 * the requests of the workers come in, and then ours. It runs them in that
 * order and closes the connections before it has written one byte of an answer.
 */
static bool cut_all(void *arg)
{
    struct fleet *f = arg;
    redisContext *busy = another_client(f->r);
    int64_t at_ms = clock_ms() + 40;
    int done = 0;
    (void)redisAppendCommand(
        busy, "EVAL %s 0",
        "local n = 0 while n < 8e6 do n = n + 1 end return n");
    while (done == 0)
        assert_int_equal(redisBufferWrite(busy, &done), REDIS_OK);
    assert_true(wait_until(is_past, &at_ms, PATIENCE_MS));
    cuts += (unsigned)redis_int(f->r, "CLIENT KILL TYPE normal SKIPME yes");
    redisFree(busy);
    return true;
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
    assert_true(fleet_said(f, "ev=rebind") >= FLEET);
    assert_true(fleet_said(f, "ev=adopt") > 0); /* a reply with jobs was lost */
    assert_int_equal(fleet_said(f, "ev=job_gone"), 0);
    assert_int_equal(fleet_said(f, "ev=fenced"), 0);
    assert_int_equal(fleet_said(f, "ev=stale"), 0);
    expect_nobody_reaped(f->r);
    print_message("%u rebinds, %u with lost replies of fetch or BLMOVE\n",
                  fleet_said(f, "ev=rebind"), fleet_said(f, "ev=adopt"));
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
    f.twin = "{\"type\":\"note\",\"payload\":7}";
    cut_under_load(&f);
    expect_settled(f.r, f.pushed);
    assert_int_equal(noted(f.r, "jobs"), f.pushed);
    assert_int_equal(noted_distinct(f.r, "ids"), f.pushed);
    expect_rebound(&f);
    fleet_end(&f);
}

/*
 * One job was settled and a twin of it came, and both answers were lost: the
 * list of the lane looks as if nothing had happened.
 */
static void nor_if_all_jobs_are_equal_and_have_one_id(void **state)
{
    struct fleet f;
    fleet_start(&f, *state, "15s", A_MOMENT);
    f.twin = "{\"id\":\"same\",\"type\":\"note\",\"payload\":7}";
    cut_under_load(&f);
    expect_settled(f.r, f.pushed);
    assert_int_equal(noted(f.r, "jobs"), f.pushed);
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
 * In one write: Redis hands the job to a waiting connection, and then closes
 * that before it has written one byte of the reply.
 */
static void push_and_cut(struct fleet *f)
{
    redisContext *c = another_client(f->r);
    char job[64];
    long long ids[FLEET];
    unsigned n = clients(f->r, ":wait", ids, FLEET);
    (void)snprintf(job, sizeof(job), "{\"type\":\"note\",\"payload\":%u}",
                   f->pushed++);
    (void)redisAppendCommand(c, "RPUSH belt:{q} %s", job);
    for (unsigned i = 0; i < n; i++)
        (void)redisAppendCommand(c, "CLIENT KILL ID %lld", ids[i]);
    for (unsigned i = 0; i < n + 1; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        freeReplyObject(reply);
    }
    redisFree(c);
}

static void a_job_whose_blmove_was_cut_is_not_stranded(void **state)
{
    enum { ROUNDS = 6 };
    struct fleet f;
    fleet_start(&f, *state, "15s", "");
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_true(wait_until(all_block, &f, PATIENCE_MS));
        push_and_cut(&f);
        wait_stat(f.r, "done", f.pushed);
    }
    expect_settled(f.r, ROUNDS);
    expect_each_ran_once(f.r, ROUNDS);
    expect_rebound(&f);
    assert_int_equal(fleet_said(&f, "ev=adopt"), ROUNDS);
    fleet_end(&f);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_cut_loses_nothing_and_runs_nothing_twice),
        CLAIM(nor_if_all_jobs_are_equal_and_have_no_id),
        CLAIM(nor_if_all_jobs_are_equal_and_have_one_id),
        CLAIM(a_job_whose_blmove_was_cut_is_not_stranded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
