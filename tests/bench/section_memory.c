/*
 * Memory, of the worker and of Redis, and what a worker asks of Redis while it
 * has nothing to do.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "common/base/clock.h"
#include "tests/bench/bench.h"
#include "tests/support/worker.h"

enum {
    BYTES = 200,
    JOBS = 50 * 1000,
    WAITING = 200 * 1000,
    IDLE_S = 20,
    WAIT_MS = 60 * 1000
};

static const char queue[] = "bench";

static struct worker *start_idle(struct bench *b, const char *threads)
{
    const char *flags[] = {
        "-q", queue, "--threads", threads, "--handler", "*=builtin:noop", NULL};

    return bench_worker_begin(b, flags);
}

static void record_rss(struct bench *b, struct worker *w, unsigned threads,
                       const char *when, double max_mib)
{
    char name[64];
    struct figure f = {.name = name, .unit = "MiB"};

    snprintf(name, sizeof(name), "worker, threads %2u, %s", threads, when);
    if (max_mib > 0) {
        f.goal = GOAL_VALUE_MAX;
        f.limit = max_mib;
    }
    bench_record(b, &f, bench_memory(worker_pid(w), "VmRSS") / (1 << 20), 0);
}

static void measure_worker(struct bench *b, unsigned threads)
{
    struct batch jobs = {queue, 0, bench_jobs(b, JOBS), BYTES};
    struct cost ignored;
    char number[16];
    double max_mib = threads == 16 ? 12 : 0;

    bench_empty(b);
    snprintf(number, sizeof(number), "%u", threads);
    struct worker *w = start_idle(b, number);
    record_rss(b, w, threads, "idle", max_mib);
    textbook_push(b, &jobs, &ignored);
    if (!queue_at_rest(b->redis, queue, WAIT_MS))
        bench_fail("jobs are left");
    record_rss(b, w, threads, "after jobs", max_mib);
    bench_worker_end(w);
    bench_expect_done(b, queue, jobs.count, -1);
}

static void measure_waiting(struct bench *b)
{
    static const struct figure extra = {
        "Redis, waiting job of 200 bytes, over its size", "bytes", NULL,
        GOAL_VALUE_MAX, 16};
    struct batch jobs = {queue, 0, bench_jobs(b, WAITING), BYTES};
    struct cost ignored;

    bench_empty(b);
    double before = bench_info(b, "memory", "used_memory");
    bench_push(b, &jobs, &ignored);
    bench_expect_ready(b, queue, jobs.count);
    double used = bench_info(b, "memory", "used_memory") - before;
    bench_record(b, &extra, used / (double)jobs.count - BYTES, 0);
}

/* ---- an idle worker ---- */

struct heard {
    int from_clients, from_scripts;
};

/* Takes what MONITOR tells, for as long as said. */
static struct heard listen_for(redisContext *c, int64_t ms)
{
    struct heard h = {0, 0};
    int64_t end_ms = clock_ms() + ms, left_ms;

    while ((left_ms = end_ms - clock_ms()) > 0) {
        struct timeval t = {.tv_sec = left_ms / 1000,
                            .tv_usec = left_ms % 1000 * 1000};
        void *answer;
        redisSetTimeout(c, t);
        if (redisGetReply(c, &answer) != REDIS_OK)
            break; /* the time is over */
        redisReply *r = answer;
        if (strstr(r->str, " lua] ") != NULL)
            h.from_scripts++;
        else
            h.from_clients++;
        freeReplyObject(r);
    }
    return h;
}

static void measure_idle(struct bench *b)
{
    static const struct figure calls = {"commands of an idle worker, 1 queue",
                                        "/s", NULL, GOAL_VALUE_MAX, 1};
    static const struct figure inner = {
        .name = "commands that its scripts execute", .unit = "/s"};
    int seconds = b->smoke ? 1 : IDLE_S;

    bench_empty(b);
    struct worker *w = start_idle(b, "4");
    redisContext *c = bench_connect(b);
    freeReplyObject(redisCommand(c, "MONITOR"));
    struct heard h = listen_for(c, seconds * 1000);
    redisFree(c);
    bench_worker_end(w);
    bench_record(b, &calls, (double)h.from_clients / seconds, 0);
    bench_record(b, &inner, (double)h.from_scripts / seconds, 0);
}

static void run_round(struct bench *b)
{
    static const unsigned threads[] = {1, 4, 16};

    for (unsigned i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
        measure_worker(b, threads[i]);
    measure_waiting(b);
    measure_idle(b);
}

const struct section section_memory = {
    .name = "memory",
    .about = "of the worker and of Redis; idleness",
    .round = run_round,
};
