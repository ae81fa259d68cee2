/*
 * Claims about a Redis that is far away: jobs that take next to nothing are
 * fetched ahead, by several calls under way at once, and none of the orders
 * in which that can end loses, doubles or shuffles one.
 *
 * How much is held of longer jobs is in it_spread.c.
 */
#include <signal.h>

#include "tests/faults/proxy.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

/* Each way. A build that is slow needs more for the same number of jobs. */
enum {
    DELAY_MS = 50 * SLOWNESS,
    JOBS = 100000,
    JOBS_ONE_BY_ONE = 10000,
    ONE_FETCH = 1000
};

struct far {
    struct redis *r;
    struct proxy *p;
    struct worker *w;
    long long jobs;
};

/* Jobs that take next to nothing, numbered. */
static void push(struct redis *r, const char *queue, long long jobs)
{
    redis_do(r, "EVAL %s 1 belt:{%s} %lld",
             "for i = 0, ARGV[1] - 1 do redis.call('RPUSH', KEYS[1], "
             "'{\"type\":\"noop\",\"payload\":' .. i .. '}') end return 1",
             queue, jobs);
}

/* A worker that is far away and at work; it may have another queue. */
static void begin(struct far *f, struct redis *r, long long jobs,
                  const char *delivery, const char *other)
{
    f->r = r;
    f->jobs = jobs;
    f->p = proxy_start(r, 1);
    proxy_do(f->p, "delay %d", DELAY_MS);
    push(r, "q", jobs);
    f->w =
        worker_up(r, NULL,
                  (const char *[]){"-u", proxy_url(f->p, 0), "--threads", "4",
                                   "--lease", "3s", "--delivery", delivery,
                                   "--handler", "noop=builtin:noop",
                                   other != NULL ? "-q" : NULL, other, NULL});
    wait_stat(r, "done", jobs / 5);
}

static void end(struct far *f)
{
    worker_free(f->w);
    proxy_stop(f->p);
}

struct calm {
    struct redis *r;
    long long active;
    unsigned looks; /* that found the same, in a row */
};

/* Whatever was on its way has arrived. */
static bool is_calm(void *arg)
{
    struct calm *x = arg;
    long long active = queue_active(x->r, "q");
    x->looks = active == x->active ? x->looks + 1 : 0;
    x->active = active;
    return x->looks == DELAY_MS;
}

/*
 * No answer of Redis comes any more: soon all is settled that can be, and what
 * is in the list was brought there by fetches that are under way.
 */
static void stop_answers(struct far *f)
{
    struct calm x = {.r = f->r};
    proxy_do(f->p, "stall 0 s2c");
    assert_true(wait_until(is_calm, &x, PATIENCE_MS));
    print_message("fetches under way bring %lld\n", x.active);
}

static void expect_all_done(struct far *f)
{
    wait_stat(f->r, "done", f->jobs);
    expect_settled(f->r, f->jobs);
    assert_int_equal(worker_count(f->w, "ev=job_gone"), 0);
    assert_int_equal(worker_count(f->w, "ev=fenced"), 0);
    expect_nobody_reaped(f->r);
}

/* The audit of every renewal would tell, and settle, which is by place. */
static void several_fetches_keep_the_order(void **state)
{
    struct far f;
    begin(&f, *state, JOBS, "at-least-once", NULL);
    expect_all_done(&f);
    assert_int_equal(worker_count(f.w, "ev=resync"), 0);
    end(&f);
}

static void a_cut_behind_several_fetches_loses_nothing(void **state)
{
    struct far f;
    begin(&f, *state, JOBS, "at-least-once", NULL);
    stop_answers(&f);
    assert_true(queue_active(f.r, "q") > ONE_FETCH);
    proxy_do(f.p, "heal"); /* cuts */
    wait_said(f.w, "ev=adopt", 1);
    expect_all_done(&f);
    end(&f);
}

static void scripts_forgotten_behind_several_fetches_are_loaded(void **state)
{
    struct far f;
    begin(&f, *state, JOBS, "at-least-once", NULL);
    redis_do(f.r, "SCRIPT FLUSH");
    expect_all_done(&f);
    end(&f);
}

/* Jobs on the ready list; fails unless they are in the order of the push. */
static long long left_in_order(struct redis *r)
{
    long long n = redis_int(
        r, "EVAL %s 1 belt:{q}",
        "local last = -1 for _, e in ipairs(redis.call('LRANGE', KEYS[1], 0, "
        "-1)) do local n = tonumber(string.match(e, '\"payload\":(%d+)}')) "
        "if n <= last then return -1 end last = n end "
        "return redis.call('LLEN', KEYS[1])");
    assert_true(n >= 0);
    return n;
}

static void sigterm_gives_back_what_several_fetches_bring(void **state)
{
    struct far f;
    begin(&f, *state, JOBS, "at-least-once", NULL);
    worker_signal(f.w, SIGTERM);
    assert_int_equal(worker_wait(f.w, PATIENCE_MS), 0);
    long long left = left_in_order(f.r), done = queue_stat(f.r, "q", "done");
    print_message("%lld done, %lld given back\n", done,
                  queue_stat(f.r, "q", "released"));
    assert_true(queue_stat(f.r, "q", "released") > ONE_FETCH);
    assert_int_equal(left + done, f.jobs);
    assert_int_equal(redis_int(f.r, "ZCARD belt:{q}:leases"), 0);
    end(&f);
}

/* Each fetches as its weight allows, while the other one's is under way. */
static void lanes_do_not_wait_for_each_other(void **state)
{
    struct far f;
    push(*state, "r", JOBS_ONE_BY_ONE);
    begin(&f, *state, JOBS_ONE_BY_ONE, "at-least-once", "r:1");
    stop_answers(&f);
    assert_true(queue_active(f.r, "q") > 0);
    assert_true(queue_active(f.r, "r") > 0);
    end(&f);
}

/* What is popped and not heard of is lost: that is not to be the more. */
static void at_most_once_has_one_pop_under_way(void **state)
{
    struct far f;
    begin(&f, *state, JOBS_ONE_BY_ONE, "at-most-once", NULL);
    proxy_do(f.p, "drop 0");
    wait_said(f.w, "ev=rebind", 1);
    assert_true(queue_at_rest(f.r, "q", PATIENCE_MS));
    wait_stat(f.r, "done", f.jobs - 2 * ONE_FETCH);
    end(&f);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(several_fetches_keep_the_order),
        CLAIM(a_cut_behind_several_fetches_loses_nothing),
        CLAIM(scripts_forgotten_behind_several_fetches_are_loaded),
        CLAIM(sigterm_gives_back_what_several_fetches_bring),
        CLAIM(lanes_do_not_wait_for_each_other),
        CLAIM(at_most_once_has_one_pop_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
