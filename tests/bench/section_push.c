/*
 * Push: belt push --ndjson against RPUSH of the same envelopes, and belt push
 * of one job against the start of a program that does nothing.
 *
 * Bulk is measured from start to end of the process: its start, the
 * connection, the file and the check of every line are part of it.
 *
 * Thread: main.
 */
#include <stdio.h>

#include "tests/bench/bench.h"

enum { BULK = 500 * 1000, BYTES = 200, SINGLES = 200 };

static const char queue[] = "bench";

struct bulk {
    struct bench *bench;
    struct batch jobs;
    struct cost belt, textbook;
};

static void file_of(struct bench *b, char *out, size_t size)
{
    snprintf(out, size, "%s/jobs.ndjson", redis_dir(b->redis));
}

static struct batch bulk_of(const struct bench *b)
{
    return (struct batch){queue, 0, bench_jobs(b, BULK), BYTES};
}

static void setup(struct bench *b)
{
    struct batch jobs = bulk_of(b);
    char path[128];

    file_of(b, path, sizeof(path));
    bench_write(&jobs, path);
}

static void push_by_textbook(void *arg)
{
    struct bulk *p = arg;

    bench_empty(p->bench);
    textbook_push(p->bench, &p->jobs, &p->textbook);
    bench_expect_ready(p->bench, queue, p->jobs.count);
}

static void push_by_belt(void *arg)
{
    struct bulk *p = arg;
    char path[128];

    bench_empty(p->bench);
    file_of(p->bench, path, sizeof(path));
    bench_push_file(p->bench, queue, path, &p->belt);
    bench_expect_ready(p->bench, queue, p->jobs.count);
}

static void measure_bulk(struct bench *b)
{
    static const struct figure rate = {"--ndjson rate", "jobs/s", "RPUSH",
                                       GOAL_RATIO_MIN, 1.5};
    static const struct figure redis = {
        .name = "--ndjson Redis CPU", .unit = "us/job", .against = "RPUSH"};
    static const struct figure client = {
        .name = "--ndjson belt CPU", .unit = "us/job", .against = "the client"};
    struct bulk p = {.bench = b, .jobs = bulk_of(b)};
    double n = (double)p.jobs.count;

    bench_pair(b, push_by_textbook, push_by_belt, &p);
    bench_record(b, &rate, n / p.belt.wall_s, n / p.textbook.wall_s);
    bench_record(b, &redis, 1e6 * p.belt.redis_cpu_s / n,
                 1e6 * p.textbook.redis_cpu_s / n);
    bench_record(b, &client, 1e6 * p.belt.cpu_s / n,
                 1e6 * p.textbook.cpu_s / n);
}

static double run_ms(struct bench *b, const char *const *argv)
{
    struct cost c;

    bench_run(b, argv, -1, &c);
    return 1e3 * c.wall_s;
}

static void measure_one(struct bench *b)
{
    static const char *const push[] = {BELT_BIN,    "push",     "-q", queue,
                                       "bench.job", "user:=42", NULL};
    static const char *const nothing[] = {"/bin/true", NULL};
    static const struct {
        struct figure figure;
        double share;
    } quantiles[] = {
        {{"one job p50", "ms", "/bin/true", GOAL_VALUE_MAX, 10}, 0.5},
        {{.name = "one job p99", .unit = "ms", .against = "/bin/true"}, 0.99},
        {{.name = "one job max", .unit = "ms", .against = "/bin/true"}, 1}};
    double belt[SINGLES], reference[SINGLES];
    size_t n = (size_t)bench_times(b, SINGLES);

    bench_empty(b);
    for (size_t i = 0; i < n; i++) {
        belt[i] = run_ms(b, push);
        reference[i] = run_ms(b, nothing);
    }
    bench_expect_ready(b, queue, (int64_t)n);
    for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++)
        bench_record(b, &quantiles[q].figure,
                     bench_quantile(belt, n, quantiles[q].share),
                     bench_quantile(reference, n, quantiles[q].share));
}

static void run_round(struct bench *b)
{
    measure_bulk(b);
    measure_one(b);
}

const struct section section_push = {
    .name = "push",
    .about = "belt push of jobs of 200 bytes",
    .setup = setup,
    .round = run_round,
};
