/*
 * Fails: bench_fail where a failure is what is wanted.
 *
 * Thread: main.
 */
#include "tests/bench/fails.h"

#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 9 };

void bench_fail(const char *fmt, ...)
{
    (void)fmt;
    _exit(FAILED);
}

bool fails(void (*what)(struct bench *b), struct bench *b)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        what(b);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == FAILED;
}
