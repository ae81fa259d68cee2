/*
 * Claims about who holds how much: a worker takes what it can soon begin, and
 * gives back what it cannot.
 *
 * BELT_TEST_LONG=1 runs the first one with two thousand jobs of a second.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

/*
 * What runs, what has ended and is not settled yet, and a few that wait. The
 * list is looked at from outside, at any moment.
 */
enum { THREADS = 4, FEW = 4, MOST = 2 * THREADS + FEW };

static struct worker *sleeper(struct redis *r)
{
    return worker_up(r, NULL,
                     (const char *[]){"--threads", "4", "--handler",
                                      "nap=builtin:sleep", "--handler",
                                      "noop=builtin:noop", NULL});
}

/* Puts n jobs that take ms on the queue. */
static void push_naps(struct redis *r, unsigned n, int ms)
{
    redis_do(r, "EVAL %s 1 belt:{q} %u %d",
             "for _ = 1, ARGV[1] do redis.call('RPUSH', KEYS[1], "
             "'{\"type\":\"nap\",\"payload\":' .. ARGV[2] .. '}') end "
             "return 1",
             n, ms);
}

struct watch {
    struct redis *r;
    long long jobs, most;
    unsigned looks, both_work;
};

/* Looks at the lists of all lanes, until all jobs are done. */
static bool look(void *arg)
{
    struct watch *x = arg;
    unsigned working = 0;
    redisReply *lanes = redis_cmd(x->r, "ZRANGE belt:{q}:leases 0 -1");
    for (size_t i = 0; i < lanes->elements; i++) {
        long long n =
            redis_int(x->r, "LLEN belt:{q}:active:%s", lanes->element[i]->str);
        x->most = n > x->most ? n : x->most;
        working += n >= THREADS;
    }
    freeReplyObject(lanes);
    x->looks++;
    x->both_work += working == 2;
    return queue_stat(x->r, "q", "done") == x->jobs;
}

static void watch_until_done(struct watch *x, int64_t timeout_ms)
{
    assert_true(wait_until(look, x, timeout_ms));
    print_message("at most %lld held, both at work in %u of %u looks\n",
                  x->most, x->both_work, x->looks);
    assert_in_range(x->most, THREADS, MOST);
    assert_in_range(x->both_work, x->looks / 2, x->looks);
    expect_settled(x->r, x->jobs);
}

static void long_jobs_are_not_hoarded(void **state)
{
    struct redis *r = *state;
    const char *env = getenv("BELT_TEST_LONG");
    bool whole = env != NULL && strcmp(env, "1") == 0;
    struct watch x = {.r = r, .jobs = whole ? 2000 : 240};
    struct worker *first = sleeper(r);
    push_naps(r, (unsigned)x.jobs, whole ? 1000 : 200);
    wait_stat(r, "done", THREADS);
    struct worker *second = sleeper(r);
    watch_until_done(&x, whole ? 600000 : PATIENCE_MS);
    worker_free(first);
    worker_free(second);
}

/* Its jobs were so short until now that it takes hundreds at once. */
static struct worker *used_to_short_jobs(struct redis *r)
{
    struct worker *w = sleeper(r);
    queue_fill(r, "q", "noop", 0, 5000);
    wait_stat(r, "done", 5000);
    return w;
}

/* One worker, and not more, waits for a job. */
static bool one_waits(void *arg)
{
    redisReply *info = redis_cmd(arg, "INFO clients");
    bool one = strstr(info->str, "blocked_clients:1\r\n") != NULL;
    freeReplyObject(info);
    return one;
}

enum { BEHIND = 300 };

/* They are at the head again, in order: the payload is a number. */
static bool others_were_given_back(void *arg)
{
    char head[256], want[32];
    long long active = queue_active(arg, "q");
    long long ready = redis_int(arg, "LLEN belt:{q}");
    (void)redis_str(arg, head, sizeof(head), "LINDEX belt:{q} 0");
    (void)snprintf(want, sizeof(want), "\"payload\":%lld}", BEHIND - ready);
    return active >= THREADS && active <= THREADS + FEW &&
           ready >= BEHIND - FEW && strstr(head, want) != NULL;
}

static void stuck_in_long_jobs_it_gives_the_others_back(void **state)
{
    struct redis *r = *state;
    struct worker *w = used_to_short_jobs(r);
    assert_true(wait_until(one_waits, r, PATIENCE_MS));
    redis_do(r, "EVAL %s 1 belt:{q} %u %u",
             "local function push(type, n) redis.call('RPUSH', KEYS[1], "
             "'{\"type\":\"' .. type .. '\",\"payload\":' .. n .. '}') end "
             "for _ = 1, ARGV[1] do push('nap', 600000) end "
             "for i = 0, ARGV[2] - 1 do push('noop', i) end return 1",
             THREADS, BEHIND);
    assert_true(wait_until(others_were_given_back, r, PATIENCE_MS));
    struct worker *other = sleeper(r);
    wait_stat(r, "done", 5000 + BEHIND);
    worker_free(w);
    worker_free(other);
}

static bool only_naps_are_held(void *arg)
{
    return queue_active(arg, "q") == THREADS;
}

/* Few wait, and a BLMOVE is out when it gets stuck. */
static void not_one_job_waits_behind_them_for_long(void **state)
{
    struct redis *r = *state;
    struct worker *w = used_to_short_jobs(r);
    push_naps(r, THREADS, 600000);
    queue_fill(r, "q", "noop", 5000, 3);
    struct worker *other = sleeper(r);
    wait_stat(r, "done", 5003);
    assert_true(wait_until(only_naps_are_held, r, PATIENCE_MS));
    worker_free(w);
    worker_free(other);
}

struct calm {
    struct redis *r;
    unsigned looks; /* in a row */
};

/* At first the full worker tries again: it cannot know yet. */
static bool only_one_waits(void *arg)
{
    struct calm *x = arg;
    x->looks = one_waits(x->r) ? x->looks + 1 : 0;
    return x->looks == 80;
}

/*
 * What comes later goes to whoever has a thread for it. Left alone the BLMOVE
 * would stay out for 7.5 s.
 */
static void a_full_worker_takes_its_blmove_back(void **state)
{
    enum { LATER = 20 };
    struct redis *r = *state;
    struct worker *w = used_to_short_jobs(r);
    push_naps(r, THREADS, 600000);
    wait_active(r, THREADS);
    struct worker *other = sleeper(r);
    struct calm calm = {.r = r};
    assert_true(wait_until(only_one_waits, &calm, 5000));
    for (unsigned i = 0; i < LATER; i++) {
        queue_fill(r, "q", "noop", 5000 + i, 1);
        wait_stat(r, "done", 5001 + i);
    }
    assert_int_equal(queue_active(r, "q"), THREADS);
    assert_int_equal(queue_stat(r, "q", "released"), 0);
    worker_free(w);
    worker_free(other);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(long_jobs_are_not_hoarded),
        CLAIM(stuck_in_long_jobs_it_gives_the_others_back),
        CLAIM(not_one_job_waits_behind_them_for_long),
        CLAIM(a_full_worker_takes_its_blmove_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
