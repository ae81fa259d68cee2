/*
 * Ten million jobs of 200 bytes: pushed in bulk while nothing works, then
 * settled by one worker, whose memory is looked at all the while.
 *
 * The textbook is measured with fewer jobs, before and after, so that a
 * machine that became slower meanwhile shows.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/bench/bench.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum {
    JOBS = 10 * 1000 * 1000,
    SAMPLE = 300 * 1000, /* of the textbook */
    BYTES = 200,
    NEED_BYTES = 350, /* in Redis, with room to spare */
    STEPS = 10,       /* at which memory is looked at */
    WAIT_MS = 3600 * 1000
};

static const char queue[] = "bench";

struct textbook {
    double push_rate, settle_rate; /* the mean of samples so far */
    unsigned samples;
};

static void sample(struct bench *b, struct textbook *t)
{
    struct batch jobs = {queue, 0, SAMPLE, BYTES};
    struct cost push, settle;
    double n = ++t->samples;

    if (jobs.count > bench_jobs(b, JOBS))
        jobs.count = bench_jobs(b, JOBS);
    bench_empty(b);
    textbook_push(b, &jobs, &push);
    textbook_settle(b, queue, jobs.count, &settle);
    bench_empty(b);
    t->push_rate += ((double)jobs.count / push.wall_s - t->push_rate) / n;
    t->settle_rate += ((double)jobs.count / settle.wall_s - t->settle_rate) / n;
}

static void check_memory(int64_t jobs)
{
    char line[256];
    double kib = 0, need = (double)jobs * NEED_BYTES;
    FILE *f = fopen("/proc/meminfo", "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "MemAvailable:", 13) == 0)
            kib = strtod(line + 13, NULL);
    if (f != NULL)
        fclose(f);
    if (kib * 1024 < need)
        bench_fail("%.1f GB of memory are needed, %.1f are available",
                   need / 1e9, kib * 1024 / 1e9);
}

/* ---- the worker, and what its memory was ---- */

struct watch {
    struct bench *bench;
    struct worker *worker;
    int64_t jobs;
    unsigned steps;        /* done so far */
    double rss[STEPS + 1]; /* [0]: when it had just come up */
};

/* Holds when the last step is done; STEPS + 1 looks are taken on the way. */
static bool next_step_is_done(void *arg)
{
    struct watch *w = arg;
    long long done = queue_stat(w->bench->redis, queue, "done");

    if (worker_has_ended(w->worker))
        bench_fail("the worker ended after %lld jobs; its log: %s", done,
                   worker_log(w->worker));
    return done >= w->jobs * (w->steps + 1) / STEPS;
}

static void look(struct watch *w, unsigned step)
{
    w->rss[step] = bench_memory(worker_pid(w->worker), "VmRSS") / (1 << 20);
    fprintf(stderr, "ten-million: %u of %d, worker %.2f MiB\n", step, STEPS,
            w->rss[step]);
}

/* Returns the seconds that it took. */
static double settle_all(struct watch *w)
{
    const char *flags[] = {"-q", queue, "--handler", "*=builtin:noop", NULL};
    int64_t begin_us = clock_us();

    w->worker = bench_worker_begin(w->bench, flags);
    look(w, 0);
    for (w->steps = 0; w->steps < STEPS; w->steps++) {
        if (!wait_until(next_step_is_done, w, WAIT_MS))
            bench_fail("the worker got stuck");
        look(w, w->steps + 1);
    }
    return (double)(clock_us() - begin_us) / 1e6;
}

static void record_memory(struct bench *b, const struct watch *w,
                          double peak_bytes)
{
    static const struct figure flat = {
        "worker at the end", "MiB", "itself after 10 %", GOAL_RATIO_MAX, 1.05};
    static const struct figure peak = {.name = "Redis at its peak, over empty",
                                       .unit = "MiB"};
    static const struct figure extra = {
        "Redis at its peak, a job over its size", "bytes", NULL, GOAL_VALUE_MAX,
        16};
    char name[64];
    struct figure f = {.name = name, .unit = "MiB"};

    for (int i = 0; i <= STEPS; i++) {
        snprintf(name, sizeof(name), "worker after %lld jobs",
                 (long long)(w->jobs * i / STEPS));
        f.goal = i == STEPS ? GOAL_VALUE_MAX : GOAL_NONE;
        f.limit = 12;
        bench_record(b, &f, w->rss[i], 0);
    }
    bench_record(b, &flat, w->rss[STEPS], w->rss[1]);
    bench_record(b, &peak, peak_bytes / (1 << 20), 0);
    bench_record(b, &extra, peak_bytes / (double)w->jobs - BYTES, 0);
}

static void record_rates(struct bench *b, double jobs, double push_s,
                         double settle_s, const struct textbook *t)
{
    static const struct figure push = {"push", "jobs/s", "RPUSH",
                                       GOAL_RATIO_MIN, 1.5};
    static const struct figure settle = {"settle", "jobs/s", "LMOVE+LREM",
                                         GOAL_RATIO_MIN, 1.5};
    static const struct figure push_time = {.name = "push, wall time",
                                            .unit = "s"};
    static const struct figure settle_time = {.name = "settle, wall time",
                                              .unit = "s"};

    bench_record(b, &push, jobs / push_s, t->push_rate);
    bench_record(b, &settle, jobs / settle_s, t->settle_rate);
    bench_record(b, &push_time, push_s, 0);
    bench_record(b, &settle_time, settle_s, 0);
}

static void run_once(struct bench *b)
{
    struct batch jobs = {queue, 0, bench_jobs(b, JOBS), BYTES};
    struct watch w = {.bench = b, .jobs = jobs.count};
    struct textbook t = {0};
    struct cost push;

    check_memory(jobs.count);
    sample(b, &t);
    double empty_bytes = bench_info(b, "memory", "used_memory");
    bench_push(b, &jobs, &push);
    bench_expect_ready(b, queue, jobs.count);
    fprintf(stderr, "ten-million: pushed in %.1f s\n", push.wall_s);
    double settle_s = settle_all(&w);
    bench_worker_end(w.worker);
    bench_expect_done(b, queue, jobs.count, jobs.count);
    double peak_bytes =
        bench_info(b, "memory", "used_memory_peak") - empty_bytes;
    sample(b, &t);
    record_rates(b, (double)jobs.count, push.wall_s, settle_s, &t);
    record_memory(b, &w, peak_bytes);
}

const struct section section_ten_million = {
    .name = "ten-million",
    .about = "jobs of 200 bytes, pushed in bulk, then settled by one worker",
    .when_named = true,
    .once = true,
    .round = run_once,
};
