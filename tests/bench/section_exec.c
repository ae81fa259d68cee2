/*
 * Exec: handlers that are processes, against a bare loop that starts the same
 * program; and what a start costs in a process with much memory.
 *
 * Thread: main, and the threads of the bare loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/bench/bench.h"
#include "worker/spawn.h"

enum { THREADS = 4, JOBS = 3000, BYTES = 200, SPAWNS = 30, MIB = 1 << 20 };

static const char queue[] = "bench";
static char program[] = "/bin/true";
static char *const argv[] = {program, NULL}, *const no_env[] = {NULL};

/* ---- a worker against a bare loop ---- */

struct race {
    struct bench *bench;
    int64_t jobs; /* a multiple of THREADS */
    struct cost belt;
    double bare_s, bare_cpu_s;
};

static void wait_for(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        bench_fail("%s did not end with 0", program);
}

static void by_posix_spawn(void)
{
    pid_t pid;

    if (posix_spawn(&pid, program, NULL, NULL, argv, no_env) != 0)
        bench_fail("posix_spawn failed");
    wait_for(pid);
}

static void *spawn_many(void *arg)
{
    const struct race *r = arg;

    for (int64_t i = 0; i < r->jobs / THREADS; i++)
        by_posix_spawn();
    return NULL;
}

/* Of this process and of all that it has waited for. */
static double cpu_s(void)
{
    struct rusage own, children;

    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec +
                    children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec +
                    children.ru_utime.tv_usec + children.ru_stime.tv_usec) /
               1e6;
}

static void run_bare(void *arg)
{
    struct race *r = arg;
    pthread_t threads[THREADS];
    double cpu_before_s = cpu_s();
    int64_t begin_us = clock_us();

    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, spawn_many, r) != 0)
            bench_fail("no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    r->bare_s = (double)(clock_us() - begin_us) / 1e6;
    r->bare_cpu_s = cpu_s() - cpu_before_s;
}

static void run_belt(void *arg)
{
    struct race *r = arg;
    struct batch jobs = {queue, 0, r->jobs, BYTES};
    const char *flags[] = {"--threads", "4",         "-q",
                           queue,       "--handler", "*=exec:/bin/true",
                           "--burst",   NULL};
    struct cost ignored;

    bench_empty(r->bench);
    textbook_push(r->bench, &jobs, &ignored);
    bench_worker(r->bench, flags, &r->belt);
    bench_expect_done(r->bench, queue, r->jobs, -1);
}

static void measure_race(struct bench *b)
{
    static const struct figure rate = {"exec handler, 4 threads", "jobs/s",
                                       "posix_spawn", GOAL_RATIO_MIN, 0.9};
    static const struct figure cpu = {.name = "CPU of worker and children",
                                      .unit = "us/job",
                                      .against = "posix_spawn"};
    struct race r = {.bench = b};
    int64_t n = bench_jobs(b, JOBS);

    r.jobs = n + THREADS - n % THREADS;
    bench_pair(b, run_bare, run_belt, &r);
    bench_record(b, &rate, (double)r.jobs / r.belt.wall_s,
                 (double)r.jobs / r.bare_s);
    bench_record(b, &cpu, 1e6 * r.belt.cpu_s / (double)r.jobs,
                 1e6 * r.bare_cpu_s / (double)r.jobs);
}

/* ---- a start in a process with much memory ---- */

static void by_spawn_start(void)
{
    struct spawn s = {.path = program, .argv = argv, .envp = no_env};
    struct child c;
    struct errbuf eb;
    siginfo_t info;

    s.fds[1] = 1;
    s.fds[2] = 2;
    s.fds[3] = 2;
    if (spawn_start(&s, &c, &eb) != 0)
        bench_fail("spawn_start: %s", eb.text);
    if (waitid(P_PIDFD, (id_t)c.pidfd, &info, WEXITED) != 0 ||
        info.si_status != 0)
        bench_fail("%s did not end with 0", program);
    close(c.pidfd);
}

static void by_fork(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        execve(program, argv, no_env);
        _exit(127);
    }
    wait_for(pid);
}

/* What a worker does around each start: five pipes, made and closed. */
static void by_pipes_alone(void)
{
    for (int i = 0; i < SPAWN_FDS + 1; i++) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) != 0)
            bench_fail("pipe2: %s", strerror(errno));
        close(fds[0]);
        close(fds[1]);
    }
}

enum way { SPAWN_START, POSIX_SPAWN, FORK, PIPES, WAYS };
static void (*const ways[WAYS])(void) = {by_spawn_start, by_posix_spawn,
                                         by_fork, by_pipes_alone};

struct starts {
    size_t touched_bytes;
    int times;
    double us[WAYS]; /* median */
};

/* In small pages: the most that a copy of the address space can cost. */
static void touch(size_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_fail("mmap: %s", strerror(errno));
    (void)madvise(p, bytes, MADV_NOHUGEPAGE);
    memset(p, 1, bytes);
}

static void time_starts(void *arg)
{
    struct starts *s = arg;
    static double us[WAYS][SPAWNS];

    touch(s->touched_bytes);
    for (int i = 0; i < s->times; i++)
        for (int w = 0; w < WAYS; w++) {
            int64_t begin_us = clock_us();
            ways[w]();
            us[w][i] = (double)(clock_us() - begin_us);
        }
    for (int w = 0; w < WAYS; w++)
        s->us[w] = bench_quantile(us[w], (size_t)s->times, 0.5);
}

static void record_starts(struct bench *b, const struct starts *s,
                          const char *size)
{
    char name[64];
    struct figure f = {.name = name, .unit = "us", .against = "posix_spawn"};

    snprintf(name, sizeof(name), "spawn_start, %s touched", size);
    bench_record(b, &f, s->us[SPAWN_START], s->us[POSIX_SPAWN]);
    snprintf(name, sizeof(name), "fork and exec, %s touched", size);
    bench_record(b, &f, s->us[FORK], s->us[POSIX_SPAWN]);
}

static void measure_starts(struct bench *b)
{
    static const struct figure growth = {.name = "spawn_start with 1 GiB",
                                         .unit = "us",
                                         .against = "the same with 8 MiB"};
    static const struct figure pipes = {.name = "5 pipes made and closed",
                                        .unit = "us",
                                        .against = "spawn_start"};
    struct starts *s = bench_shared(2 * sizeof(*s)), *small = s, *big = s + 1;

    small->touched_bytes = 8UL * MIB;
    big->touched_bytes = (b->smoke ? 32UL : 1024UL) * MIB;
    small->times = big->times = bench_times(b, SPAWNS);
    bench_join(bench_fork(time_starts, small), 0);
    bench_join(bench_fork(time_starts, big), 0);
    record_starts(b, small, "8 MiB");
    record_starts(b, big, "1 GiB");
    bench_record(b, &growth, big->us[SPAWN_START], small->us[SPAWN_START]);
    bench_record(b, &pipes, small->us[PIPES], small->us[SPAWN_START]);
    munmap(s, 2 * sizeof(*s));
}

static void run_round(struct bench *b)
{
    measure_race(b);
    measure_starts(b);
}

const struct section section_exec = {
    .name = "exec",
    .about = "handlers that are processes: /bin/true",
    .round = run_round,
};
