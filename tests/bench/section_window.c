/*
 * Window: how much of its throughput a worker keeps when Redis is far away, and
 * how evenly workers that came one after the other share the work.
 *
 * Redis is reached through the fault proxy. The reference is the same worker
 * through the same proxy without delay, in the same round. The first fifth of
 * the jobs is not measured: a worker finds out how long they take.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/bench/bench.h"
#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum {
    BYTES = 200,
    SKIPPED = 5, /* one of so many */
    PINGS = 20,
    FAR = 3,
    WORKERS = 3,
    WAIT_MS = 120 * 1000
};

static const char queue[] = "bench";

static const struct {
    const char *name, *delay;
} ways[FAR] = {{"next to it", "delay 0"},
               {"1 ms away", "delay 1 c2s"},
               {"10 ms away", "delay 5"}};

static const struct {
    const char *name, *handler;
    int64_t jobs;
} kinds[] = {{"sleep 10ms", "*=builtin:sleep 10ms", 1000},
             {"sleep 1ms", "*=builtin:sleep 1ms", 8000},
             {"noop", "*=builtin:noop", 300000}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct worker *start(struct bench *b, const char *url,
                            const char *handler)
{
    const char *flags[] = {"-u", url,         "-q",    queue, "--threads",
                           "4",  "--handler", handler, NULL};

    return bench_worker_begin(b, flags);
}

struct progress {
    struct bench *bench;
    int64_t wanted, done;
};

static bool is_done(void *arg)
{
    struct progress *p = arg;

    p->done = queue_stat(p->bench->redis, queue, "done");
    return p->done >= p->wanted;
}

static void wait_done(struct progress *p, int64_t wanted)
{
    p->wanted = wanted;
    if (!wait_until(is_done, p, WAIT_MS))
        bench_fail("only %lld of %lld jobs are done", (long long)p->done,
                   (long long)wanted);
}

/* ---- far away ---- */

struct measured {
    double rate, calls; /* jobs/s, script calls for each */
};

/* Each measurement begins and ends with a settle that was just seen. */
static struct measured measure(struct bench *b, const char *url, unsigned kind)
{
    struct batch jobs = {queue, 0, bench_jobs(b, kinds[kind].jobs), BYTES};
    struct progress p = {.bench = b};
    struct cost cost;
    struct cost_mark m;

    bench_empty(b);
    textbook_push(b, &jobs, &cost);
    cost_begin(b, &m);
    struct worker *w = start(b, url, kinds[kind].handler);
    if (!b->smoke) {
        wait_done(&p, jobs.count / SKIPPED);
        cost_begin(b, &m);
    }
    int64_t before = p.done;
    wait_done(&p, jobs.count - jobs.count / SKIPPED);
    cost_end(b, &m, &cost);
    double n = (double)(p.done - before);
    wait_done(&p, jobs.count);
    bench_worker_end(w);
    bench_expect_done(b, queue, jobs.count, -1);
    return (struct measured){n / cost.wall_s, (double)cost.scripts / n};
}

static void measure_kind(struct bench *b, struct proxy *p, unsigned kind)
{
    struct measured m[FAR];

    for (unsigned i = 0; i < FAR; i++) {
        unsigned way = b->round % 2 == 0 ? i : FAR - 1 - i;
        proxy_do(p, "%s", ways[way].delay);
        m[way] = measure(b, proxy_url(p, 0), kind);
    }
    for (unsigned i = 1; i < FAR; i++) {
        char name[64];
        struct figure rate = {name, "jobs/s", "without delay", GOAL_RATIO_MIN,
                              0.99};
        struct figure calls = {name, "/job", "without delay", GOAL_NONE, 0};

        snprintf(name, sizeof(name), "%s, %s: rate", kinds[kind].name,
                 ways[i].name);
        bench_record(b, &rate, m[i].rate, m[0].rate);
        snprintf(name, sizeof(name), "%s, %s: script calls", kinds[kind].name,
                 ways[i].name);
        bench_record(b, &calls, m[i].calls, m[0].calls);
    }
}

static double ping_ms(redisContext *c)
{
    int64_t began_us = clock_us();
    redisReply *r = redisCommand(c, "PING");

    if (r == NULL)
        bench_fail("ping: %s", c->errstr);
    freeReplyObject(r);
    return (double)(clock_us() - began_us) / 1e3;
}

/* What a way really takes, on a machine that others use. */
static void record_trips(struct bench *b, struct proxy *p)
{
    for (unsigned i = 0; i < FAR; i++) {
        char name[64];
        struct figure f = {.name = name, .unit = "ms"};
        double trips[PINGS];
        redisContext *c = redisConnectUnix(proxy_url(p, 0) + strlen("unix://"));

        if (c == NULL || c->err != 0)
            bench_fail("no connection through the proxy");
        proxy_do(p, "%s", ways[i].delay);
        (void)ping_ms(c);
        for (unsigned n = 0; n < PINGS; n++)
            trips[n] = ping_ms(c);
        redisFree(c);
        snprintf(name, sizeof(name), "round trip %s", ways[i].name);
        bench_record(b, &f, bench_quantile(trips, PINGS, 0.5), 0);
    }
}

/* ---- one after the other ---- */

/*
 * Jobs whose end is kept, with the worker's name: those that began after the
 * last worker came, and while there were enough for all, are counted.
 */
static void push_kept(struct bench *b, int64_t jobs)
{
    redis_do(b->redis, "EVAL %s 1 belt:{%s} %lld",
             "for i = 1, ARGV[1] do redis.call('RPUSH', KEYS[1], "
             "'{\"id\":\"' .. i .. '\",\"type\":\"nap\",\"keep\":600000}') "
             "end return 1",
             queue, (long long)jobs);
}

static int64_t redis_now_ms(struct bench *b)
{
    return redis_int(b->redis, "EVAL %s 0",
                     "local t = redis.call('TIME') "
                     "return t[1] * 1000 + math.floor(t[2] / 1000)");
}

/* Fewest and most jobs of a worker between two times. */
static void count_shares(struct bench *b, int64_t jobs, int64_t from_ms,
                         int64_t to_ms, double ret[2])
{
    redisReply *r = redis_cmd(
        b->redis, "EVAL %s 1 belt:{%s}:job: %lld %lld %lld",
        "local n, all = {}, {} for i = 1, ARGV[1] do "
        "local j = redis.call('HMGET', KEYS[1] .. i, 'worker', 'started_at') "
        "n[j[1]] = n[j[1]] or 0 if tonumber(j[2]) >= tonumber(ARGV[2]) and "
        "tonumber(j[2]) < tonumber(ARGV[3]) then n[j[1]] = n[j[1]] + 1 end "
        "end for _, x in pairs(n) do all[#all + 1] = x end "
        "table.sort(all) return { #all, all[1], all[#all] }",
        queue, (long long)jobs, (long long)from_ms, (long long)to_ms);

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 3)
        bench_fail("shares: %s", r->str != NULL ? r->str : "no answer");
    if (!b->smoke && r->element[0]->integer != WORKERS)
        bench_fail("%lld workers had jobs", r->element[0]->integer);
    ret[0] = (double)r->element[1]->integer;
    ret[1] = (double)r->element[2]->integer;
    freeReplyObject(r);
}

static bool is_past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

static void measure_spread(struct bench *b)
{
    static const struct figure spread = {"3 workers, 1 s apart: least share",
                                         "jobs", "greatest share",
                                         GOAL_RATIO_MIN, 0.9};
    struct progress p = {.bench = b};
    struct worker *w[WORKERS];
    int64_t jobs = bench_jobs(b, 900), from_ms = 0;
    double shares[2];

    bench_empty(b);
    push_kept(b, jobs);
    for (unsigned i = 0; i < WORKERS; i++) {
        int64_t next_ms = clock_ms() + (b->smoke ? 0 : 1000);
        w[i] = start(b, redis_url(b->redis), "nap=builtin:sleep 100ms");
        if (i + 1 < WORKERS)
            (void)wait_until(is_past, &next_ms, WAIT_MS);
    }
    if (!b->smoke)
        from_ms = redis_now_ms(b) + 200;
    wait_done(&p, jobs * 9 / 10);
    int64_t to_ms = redis_now_ms(b);
    wait_done(&p, jobs);
    for (unsigned i = 0; i < WORKERS; i++)
        bench_worker_end(w[i]);
    count_shares(b, jobs, from_ms, to_ms, shares);
    bench_record(b, &spread, shares[0], shares[1]);
}

static void run_round(struct bench *b)
{
    struct proxy *p = proxy_start(b->redis, 1);

    record_trips(b, p);
    for (unsigned i = 0; i < KINDS; i++)
        if (!b->quick || i == 1)
            measure_kind(b, p, i);
    proxy_stop(p);
    measure_spread(b);
}

const struct section section_window = {
    .name = "window",
    .about = "a worker of 4 threads far away from Redis, and three that share",
    .round = run_round,
};
