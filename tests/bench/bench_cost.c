/*
 * What something costs: time, our CPU, Redis' CPU and commands.
 *
 * Redis is asked before and after; the two questions are part of what is
 * counted, some microseconds in runs of a second.
 *
 * Thread: main.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/bench/bench.h"

enum { ARGS_MAX = 40 };

/* The number behind "\nfield" and the separator, or -1. */
static double find_number(const char *text, const char *field)
{
    char *key = mem_printf("\n%s", field);
    const char *at = strstr(text, key);
    double n = at != NULL ? strtod(at + strlen(key), NULL) : -1;

    free(key);
    return n;
}

/* Returns owned. */
static redisReply *info(struct bench *b, const char *section)
{
    redisReply *r = redis_cmd(b->redis, "INFO %s", section);

    if (r->type != REDIS_REPLY_STRING)
        bench_fail("INFO %s: no text", section);
    return r;
}

double bench_info(struct bench *b, const char *section, const char *field)
{
    redisReply *r = info(b, section);
    char *key = mem_printf("%s:", field);
    double n = find_number(r->str, key);

    freeReplyObject(r);
    if (n < 0)
        bench_fail("INFO %s has no %s", section, field);
    free(key);
    return n;
}

static double redis_cpu_s(struct bench *b)
{
    redisReply *r = info(b, "cpu");
    double s = find_number(r->str, "used_cpu_user:") +
               find_number(r->str, "used_cpu_sys:");

    freeReplyObject(r);
    return s;
}

static long long scripts_called(struct bench *b)
{
    redisReply *r = info(b, "commandstats");
    double n = find_number(r->str, "cmdstat_evalsha:calls=");

    freeReplyObject(r);
    return n < 0 ? 0 : (long long)n; /* never called yet */
}

static double now_s(void)
{
    return (double)clock_us() / 1e6;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double own_cpu_s(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void cost_begin(struct bench *b, struct cost_mark *m)
{
    m->commands = (long long)bench_info(b, "stats", "total_commands_processed");
    m->scripts = scripts_called(b);
    m->redis_cpu_s = redis_cpu_s(b);
    m->cpu_s = own_cpu_s();
    m->wall_s = now_s();
}

void cost_end(struct bench *b, const struct cost_mark *m, struct cost *ret)
{
    *ret = (struct cost){.wall_s = now_s() - m->wall_s,
                         .cpu_s = own_cpu_s() - m->cpu_s};
    ret->redis_cpu_s = redis_cpu_s(b) - m->redis_cpu_s;
    ret->commands =
        (long long)bench_info(b, "stats", "total_commands_processed") -
        m->commands;
    ret->scripts = scripts_called(b) - m->scripts;
}

/* ---- programs ---- */

static void child(struct bench *b, const char *const *argv, int in,
                  const char *log, pid_t parent)
{
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (in < 0)
        in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() != parent || out < 0 || in < 0 || dup2(in, 0) < 0 ||
        dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        setenv("BELT_REDIS_URL", redis_url(b->redis), 1) != 0)
        _exit(127);
    (void)signal(SIGPIPE, SIG_DFL);
    const char *args[ARGS_MAX] = {NULL};
    for (int i = 0; argv[i] != NULL && i < ARGS_MAX - 1; i++)
        args[i] = argv[i];
    /* execv takes char *const[] for history's sake and changes nothing. */
    execv(args[0], (char **)(void *)args);
    _exit(127);
}

static void show(const char *path)
{
    char line[512];
    FILE *f = fopen(path, "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        fputs(line, stderr);
    if (f != NULL)
        fclose(f);
}

void bench_run(struct bench *b, const char *const *argv, int in,
               struct cost *ret)
{
    char *log = mem_printf("%s/program.log", redis_dir(b->redis));
    pid_t parent = getpid(), pid;
    struct rusage used;
    struct cost_mark m;
    int status;

    fflush(NULL);
    cost_begin(b, &m);
    pid = fork();
    if (pid == 0)
        child(b, argv, in, log, parent);
    if (pid < 0 || wait4(pid, &status, 0, &used) != pid)
        bench_fail("%s: %s", argv[0], strerror(errno));
    cost_end(b, &m, ret);
    ret->cpu_s = seconds(used.ru_utime) + seconds(used.ru_stime);
    ret->peak_kib = used.ru_maxrss;
    if (status != 0) {
        show(log);
        bench_fail("%s ended with %s %d", argv[0],
                   WIFSIGNALED(status) ? "signal" : "exit code",
                   WIFSIGNALED(status) ? WTERMSIG(status)
                                       : WEXITSTATUS(status));
    }
    free(log);
}
