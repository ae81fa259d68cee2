/*
 * Sub-tasks: a hundred thousand of one job, which do nothing, against as many
 * jobs that do nothing; and whether the worker grows with their number.
 *
 * The parent is a shell with yes and head, so that what is measured is the
 * worker. Both sides begin with the start of a worker and end with its end,
 * and their lines are as long as the envelopes.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/bench/bench.h"

enum { SUBTASKS = 100000, BYTES = 200 };

static const char queue[] = "bench";

struct race {
    struct bench *bench;
    bool results;
    int64_t n;
    struct cost jobs, parts;
};

static void run_jobs(void *arg)
{
    struct race *r = arg;
    struct batch jobs = {queue, 0, r->n, BYTES};
    const char *flags[] = {"-q",      queue,       "--threads",
                           "4",       "--handler", "*=builtin:noop",
                           "--burst", NULL};
    struct cost ignored;

    bench_empty(r->bench);
    textbook_push(r->bench, &jobs, &ignored);
    bench_worker(r->bench, flags, &r->jobs);
    bench_expect_done(r->bench, queue, r->n, -1);
}

/* A line of BYTES. */
static char *line(void)
{
    static const char head[] =
        "{\"op\":\"subtask\",\"type\":\"noop\",\"payload\":\"";
    char *text = mem_new(BYTES + 1);

    memset(text, 'x', BYTES);
    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + BYTES - 2, "\"}", 3);
    return text;
}

static char *parent(const struct race *r)
{
    static const char silent[] = "{\"op\":\"subtasks\",\"results\":false}";
    char *one = line(), *spec;

    spec = mem_printf("parent=exec:/bin/sh -c '%s echo \"$1\" >&3; "
                      "yes \"$2\" | head -n %lld >&3; "
                      "echo \"{\\\"op\\\":\\\"subtasks_end\\\"}\" >&3; wait' "
                      "sh '%s' '%s'",
                      r->results ? "cat <&4 >/dev/null &" : "", (long long)r->n,
                      r->results ? "{\"op\":\"subtasks\"}" : silent, one);
    free(one);
    return spec;
}

static void run_parts(void *arg)
{
    struct race *r = arg;
    char *spec = parent(r);
    const char *flags[] = {"-q",        queue, "--threads", "4",
                           "--handler", spec,  "--handler", "noop=builtin:noop",
                           "--burst",   NULL};

    bench_empty(r->bench);
    redis_do(r->bench->redis, "RPUSH belt:{%s} %s", queue,
             "{\"type\":\"parent\"}");
    bench_worker(r->bench, flags, &r->parts);
    bench_expect_done(r->bench, queue, 1, -1);
    free(spec);
}

static void measure(struct bench *b, bool results, const struct figure *f)
{
    struct race r = {
        .bench = b, .results = results, .n = bench_jobs(b, SUBTASKS)};

    bench_pair(b, run_jobs, run_parts, &r);
    bench_record(b, f, (double)r.n / r.parts.wall_s,
                 (double)r.n / r.jobs.wall_s);
}

static void measure_memory(struct bench *b)
{
    static const struct figure peak = {"peak memory, 100000 of one job", "KiB",
                                       "a tenth of them", GOAL_RATIO_MAX, 1.2};
    struct race many = {.bench = b, .n = bench_jobs(b, SUBTASKS)};
    struct race few = {.bench = b, .n = bench_jobs(b, SUBTASKS / 10)};

    run_parts(&few);
    run_parts(&many);
    bench_record(b, &peak, (double)many.parts.peak_kib,
                 (double)few.parts.peak_kib);
}

static void run_round(struct bench *b)
{
    static const struct figure silent = {.name = "sub-tasks without results",
                                         .unit = "sub-tasks/s",
                                         .against = "as many jobs"};
    static const struct figure read = {.name = "sub-tasks, results read",
                                       .unit = "sub-tasks/s",
                                       .against = "as many jobs"};

    measure(b, false, &silent);
    measure(b, true, &read);
    measure_memory(b);
}

const struct section section_subtask = {
    .name = "subtask",
    .about = "sub-tasks of one job, and as many jobs",
    .round = run_round,
};
