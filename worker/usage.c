/*
 * Usage: what processes of handlers used of the machine.
 *
 * A child begins in our memory (CLONE_VM), and at its execve Linux notes the
 * peak of the memory that it leaves, ours, as the first peak of its own
 * (ru_maxrss). Nothing takes that back, and when the process has ended its own
 * memory is gone. So a peak above ours is the child's, and what is below is
 * hidden by it. We read our own peak after the end: it only grows. Both are
 * sums of counters that each processor keeps a part of, hence the margin.
 *
 * Thread: any.
 */
#include "worker/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MARGIN_KIB = 1024 };

bool usage_cpu_clock(pid_t pid, clockid_t *ret_clock)
{
    return clock_getcpuclockid(pid, ret_clock) == 0;
}

int64_t usage_cpu_us(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) != 0)
        return -1;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t usage_peak_rss(pid_t pid)
{
    static const char name[] = "VmHWM:";
    char path[32], text[2048];
    const char *at;
    ssize_t n = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    at = strstr(text, name);
    return at != NULL ? strtoll(at + sizeof(name) - 1, NULL, 10) * 1024 : -1;
}

static int64_t us(const struct timeval *t)
{
    return (int64_t)t->tv_sec * 1000000 + t->tv_usec;
}

int64_t usage_of_child_cpu_us(const struct rusage *ru)
{
    return us(&ru->ru_utime) + us(&ru->ru_stime);
}

int64_t usage_of_child_peak_rss(const struct rusage *ru)
{
    struct rusage ours;

    if (getrusage(RUSAGE_SELF, &ours) != 0 ||
        ru->ru_maxrss <= ours.ru_maxrss + MARGIN_KIB)
        return -1;
    return (int64_t)ru->ru_maxrss * 1024;
}
