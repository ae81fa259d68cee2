/*
 * Textbook: what everything else is compared to, by itself.
 *
 * Thread: main.
 */
#include <stdio.h>

#include "tests/bench/bench.h"

enum { JOBS = 200 * 1000, BYTES = 200 };

/* The rate, and what each job costs Redis and the client. */
static void record(struct bench *b, const char *what, const struct cost *c,
                   int64_t jobs)
{
    char name[64];
    struct figure f = {.name = name};
    double n = (double)jobs;

    snprintf(name, sizeof(name), "%s rate", what);
    f.unit = "jobs/s";
    bench_record(b, &f, n / c->wall_s, 0);
    f.unit = "us/job";
    snprintf(name, sizeof(name), "%s Redis CPU", what);
    bench_record(b, &f, 1e6 * c->redis_cpu_s / n, 0);
    snprintf(name, sizeof(name), "%s client CPU", what);
    bench_record(b, &f, 1e6 * c->cpu_s / n, 0);
}

static void run_round(struct bench *b)
{
    struct batch jobs = {"bench", 0, bench_jobs(b, JOBS), BYTES};
    struct cost c;

    textbook_push(b, &jobs, &c);
    record(b, "RPUSH", &c, jobs.count);
    textbook_settle(b, jobs.queue, jobs.count, &c);
    record(b, "LMOVE+LREM", &c, jobs.count);
}

const struct section section_textbook = {
    .name = "textbook",
    .about = "one hiredis client, pipeline of 100, jobs of 200 bytes",
    .round = run_round,
};
