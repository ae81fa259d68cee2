/*
 * Claims about what a worker makes of Redis' clock.
 */
#include <signal.h>
#include <stdio.h>

#include "tests/faults/proxy.h"
#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { CLOCK_MS = 60 * 1000 };

struct renewals {
    struct proxy *p;
    int64_t wanted;
};

static bool are_seen(void *arg)
{
    struct renewals *r = arg;
    return proxy_ask(r->p, "seen renew") >= r->wanted;
}

static void await_renewals(struct proxy *p, int64_t n)
{
    struct renewals r = {p, proxy_ask(p, "seen renew") + n};
    assert_true(wait_until(are_seen, &r, CLOCK_MS));
}

/*
 * An answer that was under way for more than half a lease is old, and so is
 * the time in it. With a lease of three seconds 1.6 s each way are enough.
 */
static void a_slow_answer_is_no_step_of_the_clock(void **state)
{
    struct redis *r = redis_start(NULL);
    struct proxy *p = proxy_start(r, 1);
    const char *argv[] = {BELT_WORKER_BIN,
                          "-u",
                          proxy_url(p, 0),
                          "-q",
                          "q",
                          "--lease",
                          "3s",
                          "--handler",
                          "x=builtin:noop",
                          NULL};
    (void)state;
    struct worker *w = worker_exec(r, argv, NULL);
    assert_true(worker_is_up(w, 1));
    await_renewals(p, 2);
    proxy_do(p, "delay 1600");
    await_renewals(p, 4);
    proxy_do(p, "delay 0");
    await_renewals(p, 4);
    assert_int_equal(worker_count(w, "ev=clock_step"), 0);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, CLOCK_MS), 0);
    worker_free(w);
    proxy_stop(p);
    redis_stop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_answer_is_no_step_of_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
