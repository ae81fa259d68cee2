/*
 * Settle: no-op jobs through one worker, against the textbook.
 *
 * Jobs are put into Redis first, by belt push and, for the textbook, by RPUSH;
 * then the worker takes them all and ends. Its start and its end are part of
 * its time, so there are jobs for about a second.
 *
 * Thread: main.
 */
#include <stdio.h>

#include "tests/bench/bench.h"

enum { QUEUES = 3, CELLS_MAX = 18 };

static const char *const queues[QUEUES] = {"bench0", "bench1", "bench2"};
static const char *const lists[QUEUES + 1] = {
    [1] = "bench0", [3] = "bench0,bench1,bench2"};

static const unsigned threads_of[] = {1, 4, 16};
static const unsigned queues_of[] = {1, 3};
static const struct {
    size_t bytes;
    const char *name;
    int64_t jobs;
} sizes[] = {
    {200, "200 B", 150000}, {2048, "2 KB", 60000}, {20480, "20 KB", 9000}};

struct cell {
    struct bench *bench;
    unsigned threads, queues, size;
    int64_t jobs; /* in each queue */
    char name[48];

    struct cost push, settle; /* of Belt */
    struct cost rpush, take;  /* of the textbook */
};

static void add(struct cost *sum, const struct cost *c)
{
    sum->redis_cpu_s += c->redis_cpu_s;
}

static void run_textbook(void *arg)
{
    struct cell *c = arg;
    struct batch all = {queues[0], 0, c->jobs * c->queues,
                        sizes[c->size].bytes};

    bench_empty(c->bench);
    textbook_push(c->bench, &all, &c->rpush);
    textbook_settle(c->bench, queues[0], all.count, &c->take);
}

static void run_belt(void *arg)
{
    struct cell *c = arg;
    char threads[16];
    const char *flags[] = {"--threads",      threads,     "-q",
                           lists[c->queues], "--handler", "*=builtin:noop",
                           "--burst",        NULL};

    bench_empty(c->bench);
    c->push = (struct cost){0};
    for (unsigned q = 0; q < c->queues; q++) {
        struct batch some = {queues[q], q * c->jobs, c->jobs,
                             sizes[c->size].bytes};
        struct cost cost;
        bench_push(c->bench, &some, &cost);
        bench_expect_ready(c->bench, queues[q], c->jobs);
        add(&c->push, &cost);
    }
    snprintf(threads, sizeof(threads), "%u", c->threads);
    bench_worker(c->bench, flags, &c->settle);
    for (unsigned q = 0; q < c->queues; q++)
        bench_expect_done(c->bench, queues[q], c->jobs, c->jobs);
}

static bool on_diagonal(unsigned threads, unsigned n_queues, unsigned size)
{
    return threads == size && n_queues == (size == 2);
}

static unsigned make_cells(struct bench *b, struct cell *cells)
{
    unsigned n = 0;

    for (unsigned s = 0; s < 3; s++)
        for (unsigned q = 0; q < 2; q++)
            for (unsigned t = 0; t < 3; t++) {
                struct cell *c = &cells[n];
                if (b->quick && !on_diagonal(t, q, s))
                    continue;
                *c = (struct cell){.bench = b,
                                   .threads = threads_of[t],
                                   .queues = queues_of[q],
                                   .size = s,
                                   .jobs = bench_jobs(b, sizes[s].jobs) /
                                           queues_of[q]};
                snprintf(c->name, sizeof(c->name), "%s %uq %2ut", sizes[s].name,
                         c->queues, c->threads);
                n++;
            }
    return n;
}

/* ---- what of it is recorded ---- */

/* What a figure takes from a cell, for each job. */
struct view {
    const char *name, *unit, *against;
    enum goal goal; /* of jobs of 200 bytes */
    double limit;
    double (*belt)(const struct cell *c);
    double (*textbook)(const struct cell *c);
};

static double jobs_in(const struct cell *c)
{
    return (double)(c->jobs * c->queues);
}

static double rate(const struct cell *c)
{
    return jobs_in(c) / c->settle.wall_s;
}

static double take_rate(const struct cell *c)
{
    return jobs_in(c) / c->take.wall_s;
}

static double whole_redis_us(const struct cell *c)
{
    return 1e6 * (c->push.redis_cpu_s + c->settle.redis_cpu_s) / jobs_in(c);
}

static double textbook_whole_redis_us(const struct cell *c)
{
    return 1e6 * (c->rpush.redis_cpu_s + c->take.redis_cpu_s) / jobs_in(c);
}

static double redis_us(const struct cell *c)
{
    return 1e6 * c->settle.redis_cpu_s / jobs_in(c);
}

static double take_redis_us(const struct cell *c)
{
    return 1e6 * c->take.redis_cpu_s / jobs_in(c);
}

static double worker_us(const struct cell *c)
{
    return 1e6 * c->settle.cpu_s / jobs_in(c);
}

static double client_us(const struct cell *c)
{
    return 1e6 * c->take.cpu_s / jobs_in(c);
}

static double both_us(const struct cell *c)
{
    return redis_us(c) + worker_us(c);
}

static double take_both_us(const struct cell *c)
{
    return take_redis_us(c) + client_us(c);
}

static double commands(const struct cell *c)
{
    return (double)c->settle.commands / jobs_in(c);
}

static double take_commands(const struct cell *c)
{
    return (double)c->take.commands / jobs_in(c);
}

static double scripts(const struct cell *c)
{
    return (double)c->settle.scripts / jobs_in(c);
}

static double peak_mib(const struct cell *c)
{
    return (double)c->settle.peak_kib / 1024;
}

static const struct view views[] = {
    {"rate", "jobs/s", "LMOVE+LREM", GOAL_RATIO_MIN, 1.5, rate, take_rate},
    {"Redis CPU push to settled", "us/job", "textbook", GOAL_RATIO_MAX, 0.5,
     whole_redis_us, textbook_whole_redis_us},
    {"Redis CPU of settling", "us/job", "LMOVE+LREM", GOAL_NONE, 0, redis_us,
     take_redis_us},
    {"worker CPU", "us/job", "the client", GOAL_NONE, 0, worker_us, client_us},
    {"CPU of Redis and worker", "us/job", "LMOVE+LREM", GOAL_NONE, 0, both_us,
     take_both_us},
    {"commands and those in scripts", "/job", "LMOVE+LREM", GOAL_NONE, 0,
     commands, take_commands},
    {"script calls", "/job", NULL, GOAL_NONE, 0, scripts, NULL},
    {"worker's peak", "MiB", NULL, GOAL_NONE, 0, peak_mib, NULL},
};
enum { VIEWS = sizeof(views) / sizeof(views[0]) };

static void record(struct bench *b, const struct view *v, const struct cell *c)
{
    char name[128];
    struct figure f = {.name = name, .unit = v->unit, .against = v->against};

    snprintf(name, sizeof(name), "%s %s", c->name, v->name);
    if (c->size == 0) {
        f.goal = v->goal;
        f.limit = v->limit;
    }
    bench_record(b, &f, v->belt(c), v->textbook != NULL ? v->textbook(c) : 0);
}

/* What the start and the end of a worker take of every cell's time. */
static void record_start(struct bench *b)
{
    const char *flags[] = {"-q",      queues[0], "--handler", "*=builtin:noop",
                           "--burst", NULL};
    struct figure f = {.name = "a worker that finds nothing", .unit = "ms"};
    struct cost cost;

    bench_empty(b);
    bench_worker(b, flags, &cost);
    bench_record(b, &f, 1e3 * cost.wall_s, 0);
}

static void run_round(struct bench *b)
{
    struct cell cells[CELLS_MAX];
    unsigned n = make_cells(b, cells);

    for (unsigned i = 0; i < n; i++)
        bench_pair(b, run_textbook, run_belt, &cells[i]);
    for (unsigned v = 0; v < VIEWS; v++)
        for (unsigned i = 0; i < n; i++)
            record(b, &views[v], &cells[i]);
    record_start(b);
}

const struct section section_settle = {
    .name = "settle",
    .about = "no-op jobs through one worker (q: queues, t: threads)",
    .round = run_round,
};
