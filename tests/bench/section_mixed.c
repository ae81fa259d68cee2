/*
 * Mixed load: long jobs in front must not hold up the short ones behind them,
 * whose ends are then told one by one and no more by count.
 *
 * The worker is up and runs the long ones; then the short ones are there all at
 * once (RENAME). When the last of them is settled the long ones must still run.
 * The reference is the same without long ones, in the same round.
 *
 * Thread: main.
 */
#include <signal.h>
#include <stdio.h>

#include "tests/bench/bench.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum {
    THREADS = 4,
    BYTES = 200,
    SHORT = 100000,
    FEW = 10000,
    WAIT_MS = 120000
};

static const char queue[] = "bench", stock[] = "stock";

struct run {
    struct bench *bench;
    unsigned longs;
    int64_t jobs;
    struct cost cost;
};

static bool longs_run(void *arg)
{
    struct run *r = arg;
    return queue_active(r->bench->redis, queue) == r->longs;
}

static bool shorts_are_done(void *arg)
{
    struct run *r = arg;
    return queue_stat(r->bench->redis, queue, "done") == r->jobs;
}

static struct worker *start(struct run *r)
{
    const char *flags[] = {"-q",        queue,
                           "--threads", "4",
                           "--handler", "long=builtin:sleep 1h",
                           "--handler", "*=builtin:noop",
                           NULL};
    struct worker *w = bench_worker_begin(r->bench, flags);

    for (unsigned i = 0; i < r->longs; i++)
        redis_do(r->bench->redis, "RPUSH belt:{%s} {\"type\":\"long\"}", queue);
    if (!wait_until(longs_run, r, WAIT_MS))
        bench_fail("the long jobs do not begin");
    return w;
}

/* At a second signal it gives back what still runs. */
static void stop(struct run *r, struct worker *w)
{
    worker_signal(w, SIGTERM);
    worker_signal(w, SIGINT);
    if (worker_wait(w, WAIT_MS) != 0)
        bench_fail("the worker did not end with 0");
    worker_free(w);
    bench_expect_ready(r->bench, queue, r->longs);
}

static void measure(struct run *r)
{
    struct bench *b = r->bench;
    struct batch jobs = {stock, 0, r->jobs, BYTES};
    struct cost_mark m;

    bench_empty(b);
    textbook_push(b, &jobs, &r->cost);
    struct worker *w = start(r);
    cost_begin(b, &m);
    redis_do(b->redis, "RENAME belt:{%s} belt:{%s}", stock, queue);
    if (!wait_until(shorts_are_done, r, WAIT_MS))
        bench_fail("the short jobs do not end");
    cost_end(b, &m, &r->cost);
    if (!longs_run(r))
        bench_fail("a long job has ended");
    stop(r, w);
}

static double rate(const struct run *r)
{
    return (double)r->jobs / r->cost.wall_s;
}

static double redis_us(const struct run *r)
{
    return 1e6 * r->cost.redis_cpu_s / (double)r->jobs;
}

static void run_round(struct bench *b)
{
    static const struct figure flat = {"1 long: Redis CPU, 100000 short",
                                       "us/job", "10000 short", GOAL_RATIO_MAX,
                                       1.2};
    static const unsigned longs_of[] = {0, 1, THREADS - 1};
    struct run runs[3],
        few = {.bench = b, .longs = 1, .jobs = bench_jobs(b, FEW)};

    for (unsigned i = 0; i < 3; i++) {
        unsigned at = b->round % 2 == 0 ? i : 2 - i;
        runs[at] = (struct run){
            .bench = b, .longs = longs_of[at], .jobs = bench_jobs(b, SHORT)};
        measure(&runs[at]);
    }
    measure(&few);
    for (unsigned i = 1; i < 3; i++) {
        char name[64];
        struct figure f = {.name = name, .unit = "jobs/s", .against = "0 long"};

        snprintf(name, sizeof(name), "%u long: rate of short ones",
                 longs_of[i]);
        bench_record(b, &f, rate(&runs[i]), rate(&runs[0]));
        snprintf(name, sizeof(name), "%u long: Redis CPU", longs_of[i]);
        f.unit = "us/job";
        bench_record(b, &f, redis_us(&runs[i]), redis_us(&runs[0]));
    }
    bench_record(b, &flat, redis_us(&runs[1]), redis_us(&few));
}

const struct section section_mixed = {
    .name = "mixed",
    .about = "short jobs behind long ones, one worker of 4 threads",
    .round = run_round,
};
