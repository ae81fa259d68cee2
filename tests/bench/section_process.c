/*
 * Process: handlers that are processes which stay, against a bare loop that
 * plays ping-pong with as many of the same program, a line each way.
 *
 * Thread: main, and the threads of the bare loop.
 */
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/bench/bench.h"

enum { THREADS = 4, JOBS = 60000, BYTES = 200 };

static const char queue[] = "bench";
static char program[] = BENCH_PROCESS_CHILD;
static char *const argv[] = {program, NULL}, *const no_env[] = {NULL};

struct race {
    struct bench *bench;
    int threads;
    int64_t jobs; /* a multiple of threads */
    struct cost belt;
    double bare_s, bare_cpu_s;
};

/* A child, and streams to and from it. */
struct peer {
    pid_t pid;
    int64_t jobs;
    FILE *to, *from;
};

static void start_peer(struct peer *p)
{
    posix_spawn_file_actions_t actions;
    int in[2], out[2];

    if (pipe(in) != 0 || pipe(out) != 0)
        bench_fail("pipe failed");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (posix_spawn(&p->pid, program, &actions, NULL, argv, no_env) != 0)
        bench_fail("%s cannot be started", program);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    if (p->to == NULL || p->from == NULL)
        bench_fail("fdopen failed");
}

static void expect_line(struct peer *p, char **line, size_t *cap)
{
    if (getline(line, cap, p->from) <= 0)
        bench_fail("%s does not answer", program);
}

/* Lines as long as those that a worker writes for the same job. */
static void *play(void *arg)
{
    struct peer *p = arg;
    char payload[BYTES + 1], *line = NULL;
    size_t cap = 0;

    memset(payload, 'x', BYTES);
    payload[BYTES] = '\0';
    expect_line(p, &line, &cap);
    for (int64_t i = 0; i < p->jobs; i++) {
        (void)fprintf(p->to,
                      "{\"op\":\"job\",\"id\":\"01JD0000000000000000000000\","
                      "\"type\":\"bench\",\"queue\":\"bench\",\"attempt\":1,"
                      "\"max_attempts\":20,\"recovered\":0,"
                      "\"deadline\":1764000120.500,\"payload\":\"%s\"}\n",
                      payload);
        (void)fflush(p->to);
        expect_line(p, &line, &cap);
    }
    free(line);
    return NULL;
}

static void stop_peer(struct peer *p)
{
    int status;

    (void)fclose(p->to);
    (void)fclose(p->from);
    if (waitpid(p->pid, &status, 0) != p->pid || status != 0)
        bench_fail("%s did not end with 0", program);
}

/* Of this process and of all that it has waited for. */
static double cpu_s(void)
{
    double s = 0;

    for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
        struct rusage ru;

        getrusage(who, &ru);
        s += (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
             (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
    }
    return s;
}

static void run_bare(void *arg)
{
    struct race *r = arg;
    struct peer peers[THREADS];
    pthread_t threads[THREADS];
    double cpu_before_s = cpu_s();
    int64_t begin_us = clock_us();

    for (int i = 0; i < r->threads; i++) {
        peers[i].jobs = r->jobs / r->threads;
        start_peer(&peers[i]);
        if (pthread_create(&threads[i], NULL, play, &peers[i]) != 0)
            bench_fail("no thread");
    }
    for (int i = 0; i < r->threads; i++)
        pthread_join(threads[i], NULL);
    r->bare_s = (double)(clock_us() - begin_us) / 1e6;
    for (int i = 0; i < r->threads; i++)
        stop_peer(&peers[i]);
    r->bare_cpu_s = cpu_s() - cpu_before_s;
}

static void run_belt(void *arg)
{
    struct race *r = arg;
    struct batch jobs = {queue, 0, r->jobs, BYTES};
    char *handler = mem_printf("*=process:%s", program);
    char threads[16];
    const char *flags[] = {"--threads", threads, "-q",      queue,
                           "--handler", handler, "--burst", NULL};
    struct cost ignored;

    (void)snprintf(threads, sizeof(threads), "%d", r->threads);
    bench_empty(r->bench);
    textbook_push(r->bench, &jobs, &ignored);
    bench_worker(r->bench, flags, &r->belt);
    bench_expect_done(r->bench, queue, r->jobs, -1);
    free(handler);
}

/* How many of each: 1 or THREADS. */
static void measure(struct bench *b, int threads, const struct figure *rate,
                    const struct figure *cpu)
{
    struct race r = {.bench = b, .threads = threads};
    int64_t n = bench_jobs(b, JOBS);

    r.jobs = n + threads - n % threads;
    bench_pair(b, run_bare, run_belt, &r);
    bench_record(b, rate, (double)r.jobs / r.belt.wall_s,
                 (double)r.jobs / r.bare_s);
    bench_record(b, cpu, 1e6 * r.belt.cpu_s / (double)r.jobs,
                 1e6 * r.bare_cpu_s / (double)r.jobs);
}

static void run_round(struct bench *b)
{
    static const char against[] = "ping-pong with the same child";
    static const struct figure rate = {"process handler, 1 process", "jobs/s",
                                       against, GOAL_RATIO_MIN, 0.5};
    static const struct figure rates = {.name = "process handler, 4 processes",
                                        .unit = "jobs/s",
                                        .against = against};
    static const struct figure cpu = {.name = "1 process: CPU",
                                      .unit = "us/job",
                                      .against = "bare loop and child"};
    static const struct figure cpus = {.name = "4 processes: CPU",
                                       .unit = "us/job",
                                       .against = "bare loop and children"};

    measure(b, 1, &rate, &cpu);
    measure(b, THREADS, &rates, &cpus);
}

const struct section section_process = {
    .name = "process",
    .about = "handlers that are processes which stay",
    .round = run_round,
};
