/*
 * Claims about jobs on their way to other queues: who brings them on, and
 * when, whoever ends meanwhile.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define OK "--handler=t=builtin:noop"
#define FOLLOWED                                                               \
    "{\"id\":\"a\",\"type\":\"t\",\"then\":{\"type\":\"t\",\"queue\":\"r\"}}"

static long long depth_of_r(void)
{
    return redis_int(runs_redis, "LLEN belt:{r}");
}

static void tell(void)
{
    redis_do(runs_redis, "PUBLISH belt:{q}:control outbox");
}

static void who_fills_it_brings_it_on_at_once(void **state)
{
    (void)state;
    struct worker *w = runs_worker(OK, NULL);
    runs_await_idle(1);
    int64_t before = clock_ms();
    runs_push(FOLLOWED);
    runs_await("LLEN belt:{r}", 1);
    assert_true(clock_ms() - before < 1500); /* two renewals take longer */
    runs_await_rest();
    assert_int_equal(redis_int(runs_redis, "SISMEMBER belt:queues r"), 1);
    runs_end(w);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:outbox"), 0);
}

static void what_others_left_there_is_brought_on(void **state)
{
    (void)state;
    redis_do(runs_redis, "RPUSH belt:{q}:outbox %s",
             "{\"id\":\"a\",\"type\":\"t\",\"queue\":\"r\"}");
    struct worker *w = runs_worker(OK, "--lease=3s", NULL);
    runs_await("LLEN belt:{r}", 1);
    /* And at once when they say so. */
    redis_do(runs_redis, "RPUSH belt:{q}:outbox %s",
             "{\"id\":\"b\",\"type\":\"t\",\"queue\":\"r\"}");
    tell();
    runs_await("LLEN belt:{r}", 2);
    runs_end(w);
    assert_int_equal(depth_of_r(), 2);
}

/* A worker of both queues that ends when they are empty. */
static void a_burst_runs_what_follows(void **state)
{
    (void)state;
    redis_do(runs_redis, "RPUSH belt:{q} %s",
             "{\"id\":\"a\",\"type\":\"t\",\"then\":{\"type\":\"t\",\"queue\":"
             "\"r\",\"then\":{\"type\":\"t\",\"queue\":\"q\"}}}");
    struct worker *w =
        worker_start(runs_redis, NULL,
                     (const char *const[]){"-q", "q,r", OK, "--burst", NULL});
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    worker_free(w);
    assert_int_equal(redis_int(runs_redis, "HINCRBY belt:{q}:stats done 0"), 2);
    assert_int_equal(redis_int(runs_redis, "HINCRBY belt:{r}:stats done 0"), 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:outbox "
                                           "belt:{r}:outbox belt:{r} belt:{q}"),
                     0);
}

static void what_is_refused_does_not_keep_a_worker(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{r}:config format 2");
    struct worker *w = runs_worker(OK, NULL);
    runs_push(FOLLOWED);
    runs_await_stat("done", 1);
    runs_await_rest();
    runs_push(FOLLOWED); /* which is tried, too, and not said again */
    runs_await_stat("done", 2);
    worker_signal(w, SIGTERM);
    (void)worker_wait(w, RUN_MS);
    assert_int_equal(worker_count(w, "ev=relay"), 1);
    runs_end(w);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}:outbox"), 2);
    redis_do(runs_redis, "DEL belt:{r}:config");
    w = runs_worker(OK, NULL);
    tell();
    runs_await("LLEN belt:{r}", 2);
    runs_end(w);
}

static void planted_things_end_in_dead(void **state)
{
    (void)state;
    redis_do(runs_redis, "RPUSH belt:{q}:outbox nonsense {}");
    struct worker *w = runs_worker(OK, NULL);
    tell();
    runs_await("ZCARD belt:{q}:dead", 2);
    runs_end(w);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:outbox"), 0);
    assert_int_equal(redis_int(runs_redis, "HINCRBY belt:{q}:stats invalid 0"),
                     2);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(who_fills_it_brings_it_on_at_once),
        CLAIM(what_others_left_there_is_brought_on),
        CLAIM(a_burst_runs_what_follows),
        CLAIM(what_is_refused_does_not_keep_a_worker),
        CLAIM(planted_things_end_in_dead),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
