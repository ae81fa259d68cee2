/*
 * Processes: programs that are run to their end, and copies of this one. All
 * of them die with it.
 *
 * Thread: main.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/bench/bench.h"

enum { ARGS_MAX = 40 };

pid_t bench_fork(void (*body)(void *arg), void *arg)
{
    pid_t parent = getpid(), pid;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        bench_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        body(arg);
        fflush(NULL);
        _exit(0);
    }
    return pid;
}

void bench_join(pid_t pid, int sig)
{
    int status;

    if (sig != 0)
        kill(pid, sig);
    if (waitpid(pid, &status, 0) != pid)
        bench_fail("waitpid: %s", strerror(errno));
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == sig))
        bench_fail("a process ended with status 0x%x", (unsigned)status);
}

void *bench_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_fail("mmap: %s", strerror(errno));
    return p;
}

double bench_memory(pid_t pid, const char *field)
{
    char path[64], line[256];
    size_t n = strlen(field);
    double kib = -1;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, field, n) == 0 && line[n] == ':')
            kib = strtod(line + n + 1, NULL);
    if (f != NULL)
        fclose(f);
    if (kib < 0)
        bench_fail("%s has no %s", path, field);
    return 1024 * kib;
}

static double cpu_s_of(const struct rusage *used)
{
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6;
}

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
    ret->cpu_s = cpu_s_of(&used);
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
