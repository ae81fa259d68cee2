/*
 * Claims about what a worker makes of Redis' clock: whose lease has run out is
 * not dead if Redis was away, and an old answer does not tell the time.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static struct worker *start(struct redis *r, const char *url, const char *host,
                            const char *handler)
{
    const char *argv[] = {BELT_WORKER_BIN, "-u", url,         "-q",    "q",
                          "--lease",       "3s", "--handler", handler, NULL};
    const char *env[] = {host, NULL};
    struct worker *w = worker_exec(r, argv, env);
    assert_true(worker_is_up(w, 1));
    return w;
}

static bool holds_a_job(void *arg)
{
    return queue_active(arg, "q") == 1;
}

/* One that ran out, of a lane that nobody renews any more. */
static bool a_lease_is_over(void *arg)
{
    static const char script[] =
        "local t = redis.call('TIME') return redis.call('ZCOUNT', "
        "'belt:{q}:leases', '-inf', t[1] * 1000 + t[2] / 1000 - 500)";
    return redis_int(arg, "EVAL %s 0", script) > 0;
}

static bool has_reaped(void *arg)
{
    return worker_said(arg, "ev=reap ");
}

/* Milliseconds of the day of the last line of a log that has this text. */
static long when_said(struct worker *w, const char *text)
{
    char line[1024];
    long at_ms = -1;
    FILE *log = fopen(worker_log(w), "re");
    assert_non_null(log);
    while (fgets(line, sizeof(line), log) != NULL) {
        long h, m, s, ms;
        if (strstr(line, text) != NULL &&
            sscanf(line, "t=%*10sT%2ld:%2ld:%2ld.%3ldZ", &h, &m, &s, &ms) == 4)
            at_ms = ((h * 60 + m) * 60 + s) * 1000 + ms;
    }
    (void)fclose(log);
    return at_ms;
}

/*
 * One of its connections was there all the time, the other was not to be had,
 * so it had no lane for longer than a lease. Others may have been in the same
 * case: they have one lease to come back before anybody is declared dead.
 */
static void who_was_away_waits_a_lease_before_it_reaps(void **state)
{
    enum { LEASE_MS = 3000, DAY_MS = 24 * 3600 * 1000 };
    struct redis *r = redis_start(NULL);
    struct proxy *p = proxy_start(r, 1);
    (void)state;
    struct worker *w =
        start(r, proxy_url(p, 0), "BELT_HOST=here", "x=builtin:noop");
    await_renewals(p, 1);
    proxy_do(p, "chance 0 before CLIENT|ID 1000 1");
    proxy_do(p, "drop 0");
    struct worker *dead =
        start(r, redis_url(r), "BELT_HOST=there", "x=exec:/bin/sleep 1000");
    queue_fill(r, "q", "x", 0, 1);
    assert_true(wait_until(holds_a_job, r, CLOCK_MS));
    worker_signal(dead, SIGKILL);
    assert_int_equal(worker_wait(dead, CLOCK_MS), -SIGKILL);
    assert_true(wait_until(a_lease_is_over, r, CLOCK_MS));
    proxy_do(p, "heal");
    assert_true(wait_until(has_reaped, w, CLOCK_MS));
    long waited = when_said(w, "ev=reap ") - when_said(w, "ev=rebind");
    assert_true((waited + DAY_MS) % DAY_MS >= LEASE_MS);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, CLOCK_MS), 0);
    worker_free(dead);
    worker_free(w);
    proxy_stop(p);
    redis_stop(r);
}

static bool has_left(void *arg)
{
    return worker_said(arg, "ev=leave");
}

/* It has left, and waits for the answer to its last call: none is away. */
static void a_signal_after_leaving_changes_nothing(void **state)
{
    struct redis *r = redis_start(NULL);
    struct proxy *p = proxy_start(r, 1);
    const char *argv[] = {
        BELT_WORKER_BIN,  "-u", proxy_url(p, 0), "-q", "q", "--handler",
        "x=builtin:noop", NULL};
    (void)state;
    struct worker *w = worker_exec(r, argv, NULL);
    assert_true(worker_is_up(w, 1));
    proxy_do(p, "delay 200");
    worker_signal(w, SIGTERM);
    assert_true(wait_until(has_left, w, CLOCK_MS));
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, CLOCK_MS), 0);
    assert_false(worker_said(w, "ev=farewell"));
    worker_free(w);
    proxy_stop(p);
    redis_stop(r);
}

static bool is_done(void *arg)
{
    return redis_int(arg, "HEXISTS belt:{q}:job:a ended_at") == 1;
}

/* Redis is an hour ahead of the worker; what is kept has one clock. */
static void news_go_by_the_clock_of_redis(void **state)
{
    const int64_t shifts[] = {3600 * 1000, 0};
    char path[] = "/tmp/belt-clock-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_int_equal(write(fd, shifts, sizeof(shifts)), sizeof(shifts));
    (void)close(fd);
    setenv("LD_PRELOAD", CLOCK_SHIM, 1);
    setenv("BELT_CLOCK_FILE", path, 1);
    struct redis *r = redis_start(NULL);
    unsetenv("LD_PRELOAD");
    unsetenv("BELT_CLOCK_FILE");
    struct worker *w =
        start(r, redis_url(r), "BELT_HOST=here", "x=builtin:noop");
    redis_do(r, "RPUSH belt:{q} %s",
             "{\"id\":\"a\",\"type\":\"x\",\"keep\":600000}");
    assert_true(wait_until(is_done, r, CLOCK_MS));
    assert_in_range(redis_int(r, "EVAL %s 0",
                              "local t = redis.call('HMGET', "
                              "'belt:{q}:job:a', 'started_at', 'ended_at') "
                              "return t[2] - t[1] + 1000"),
                    0, 1000 + CLOCK_MS);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, CLOCK_MS), 0);
    worker_free(w);
    redis_stop(r);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_away_waits_a_lease_before_it_reaps),
        cmocka_unit_test(a_slow_answer_is_no_step_of_the_clock),
        cmocka_unit_test(a_signal_after_leaving_changes_nothing),
        cmocka_unit_test(news_go_by_the_clock_of_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
