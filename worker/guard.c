/*
 * Guard: kills what handlers left behind when the worker dies abruptly.
 *
 * The death signal of a handler's first process does not reach the processes
 * which that one started. This process outlives the worker by a moment: it
 * shares a table of living process groups with the worker, sleeps in a read of
 * a pipe whose only writer is the worker, and at the end of the pipe, which the
 * kernel brings about however the worker died, kills those groups. An entry is
 * made by the child before it runs handler code, and removed before the group's
 * number can be used again, so the guard never kills a stranger. A process that
 * left its group on purpose (setsid) is out of its reach.
 *
 * A table and not messages: those would wake the guard twice for every job, and
 * a guard that does not read them would hold up the pool.
 *
 * Thread: guard_start and guard_stop in the main thread, while there is no
 * other; the rest anywhere, guard_add also between clone and execve.
 */
#include "worker/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "worker/spawn.h"

/* All written before threads start. */
static int guard_fd = -1;
static pid_t guard_pid;
static void *table;           /* owned; shared with the guard */
static _Atomic pid_t *groups; /* in it; 0: a free place */
static unsigned places;

static void guard_main(int fd) __attribute__((noreturn));

static int fail(const char *what, struct errbuf *eb)
{
    return errbuf_set(eb, ERR_SYSTEM, "guard: %s: %s", what, strerror(errno));
}

static void forget_table(void)
{
    munmap(table, places * sizeof(*groups));
    groups = NULL;
}

int guard_start(unsigned most, struct errbuf *eb)
{
    int p[2], rc;

    table = mmap(NULL, most * sizeof(*groups), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return fail("mmap", eb);
    groups = table;
    places = most;
    if (pipe2(p, O_CLOEXEC) < 0) {
        rc = fail("pipe", eb);
        forget_table();
        return rc;
    }
    guard_pid = fork();
    if (guard_pid < 0) {
        rc = fail("fork", eb);
        close(p[0]);
        close(p[1]);
        forget_table();
        return rc;
    }
    if (guard_pid == 0)
        guard_main(p[0]);
    close(p[0]);
    guard_fd = p[1];
    return 0;
}

/* Puts a number where another one stands. */
SPAWN_RAW static void put(pid_t there, pid_t instead)
{
    for (unsigned i = 0; groups != NULL && i < places; i++) {
        pid_t expected = there;

        if (atomic_load(&groups[i]) == there &&
            atomic_compare_exchange_strong(&groups[i], &expected, instead))
            return;
    }
}

SPAWN_RAW void guard_add(pid_t pgid)
{
    put(0, pgid);
}

void guard_remove(pid_t pgid)
{
    put(pgid, 0);
}

bool guard_has(pid_t pgid)
{
    for (unsigned i = 0; groups != NULL && i < places; i++)
        if (atomic_load(&groups[i]) == pgid)
            return true;
    return false;
}

void guard_stop(void)
{
    if (guard_fd < 0)
        return;
    close(guard_fd);
    guard_fd = -1;
    while (waitpid(guard_pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    forget_table();
}

/*
 * Lives through what ends a worker politely: a terminal's signals reach its
 * own session only, but service managers and pkill signal every process.
 */
static void leave_the_crowd(int fd)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                  SIGUSR1, SIGUSR2, SIGTSTP};

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    setsid();
    prctl(PR_SET_NAME, "belt-guard", 0, 0, 0);
    if (chdir("/") < 0)
        _exit(1);
    if (fd > 0)
        close_range(0, (unsigned)fd - 1, 0);
    close_range((unsigned)fd + 1, UINT_MAX, 0);
}

static void guard_main(int fd)
{
    char nothing;
    ssize_t n;

    leave_the_crowd(fd);
    do
        n = read(fd, &nothing, 1);
    while (n > 0 || (n < 0 && errno == EINTR));
    for (unsigned i = 0; i < places; i++) {
        pid_t pgid = atomic_load(&groups[i]);

        /* Groups of ours only: kill(-1) would reach everybody. */
        if (pgid > 1)
            kill(-pgid, SIGKILL);
    }
    _exit(0);
}
