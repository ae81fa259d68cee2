/*
 * Claims about every cut of a bulk requeue: each job is among the dead or in
 * ready, once, whatever was lost; the command says so, and the same again
 * finishes it. Redis forgets the scripts before each, so that NOSCRIPT and
 * SCRIPT LOAD are in its way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { JOBS = 250, PATIENCE_MS = 60 * 1000 };

static struct redis *redis;
static struct proxy *proxy;

static int start(void **state)
{
    (void)state;
    redis = redis_start(NULL);
    proxy = proxy_start(redis, 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    proxy_stop(proxy);
    redis_stop(redis);
    return 0;
}

static void fill(void)
{
    redis_do(redis, "FLUSHALL");
    redis_do(redis, "SCRIPT FLUSH");
    redis_do(redis, "EVAL %s 0",
             "for i = 0, 249 do local e = string.format('{\"id\":\"%04d\","
             "\"type\":\"x\",\"unique\":\"%d\",\"attempt\":3}', i, i) "
             "redis.call('ZADD', 'belt:{q}:dead', i, e) "
             "redis.call('HINCRBY', 'belt:{q}:stats', 'dead_bytes', #e) end");
}

static void count(const char *command, unsigned seen[JOBS])
{
    redisReply *all = redis_cmd(redis, command);

    for (size_t i = 0; i < all->elements; i++) {
        unsigned n = JOBS;
        assert_int_equal(sscanf(all->element[i]->str, "{\"id\":\"%u", &n), 1);
        assert_true(n < JOBS);
        seen[n]++;
    }
    freeReplyObject(all);
}

/* Returns how many are in ready. */
static long long expect_each_once(const char *what)
{
    unsigned seen[JOBS] = {0};

    count("LRANGE belt:{q} 0 -1", seen);
    count("ZRANGE belt:{q}:dead 0 -1", seen);
    for (int i = 0; i < JOBS; i++) {
        if (seen[i] != 1)
            fail_msg("%s: job %d is there %u times", what, i, seen[i]);
    }
    return redis_int(redis, "LLEN belt:{q}");
}

static int requeue(const char *url)
{
    struct worker *w = worker_exec(
        redis,
        (const char *[]){BELT_BIN, "requeue", "-u", url, "q", "--all", NULL},
        NULL);
    int code = worker_wait(w, PATIENCE_MS);

    worker_free(w);
    return code;
}

static void cut(const char *point, const char *command, unsigned nth, int code)
{
    char what[96];
    int64_t fired = proxy_ask(proxy, "fired");

    fill();
    (void)snprintf(what, sizeof(what), "%s %s, number %u", point, command, nth);
    proxy_do(proxy, "cut 0 %s %s %u", point, command, nth);
    int got = requeue(proxy_url(proxy, 0));
    if (proxy_ask(proxy, "fired") != fired + 1)
        fail_msg("%s: the command never came", what);
    (void)expect_each_once(what);
    /* A late one runs now, if it was not in the way of the others. */
    (void)proxy_ask(proxy, "late");
    long long moved = expect_each_once(what);
    print_message("  %-32s exit %d, %3lld of %d moved\n", what, got, moved,
                  JOBS);
    if (got != code)
        fail_msg("%s: exit code %d and not %d", what, got, code);
    assert_int_equal(requeue(redis_url(redis)), 0);
    assert_int_equal(expect_each_once(what), JOBS);
    assert_int_equal(redis_int(redis, "HINCRBY belt:{q}:stats requeued 0"),
                     JOBS);
    assert_int_equal(redis_int(redis, "HINCRBY belt:{q}:stats dead_bytes 0"),
                     0);
    assert_int_equal(redis_int(redis, "EXISTS belt:{q}:unique:0 "
                                      "belt:{q}:unique:249"),
                     2);
}

static const char *const points[] = {"before", "after", "middle", "late"};
enum { POINTS = 4 };

static void a_cut_while_it_looks_leaves_the_rest(void **state)
{
    (void)state;
    for (int i = 0; i < POINTS; i++) {
        cut(points[i], "TIME", 1, EX_UNAVAILABLE);
        cut(points[i], "ZRANGEBYSCORE", 1, EX_UNAVAILABLE);
        cut(points[i], "ZRANGEBYSCORE", 3, EX_UNAVAILABLE);
    }
}

/* The first call meets NOSCRIPT; SCRIPT LOAD travels with the second. */
static void a_cut_while_it_moves_is_told_and_can_be_mended(void **state)
{
    (void)state;
    for (int i = 0; i < POINTS; i++) {
        cut(points[i], "requeue", 1, EX_TEMPFAIL);
        cut(points[i], "SCRIPT|LOAD", 1, EX_TEMPFAIL);
        cut(points[i], "requeue", 2, EX_TEMPFAIL);
        cut(points[i], "requeue", 3, EX_TEMPFAIL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_while_it_looks_leaves_the_rest),
        cmocka_unit_test(a_cut_while_it_moves_is_told_and_can_be_mended),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
