/*
 * Guard: kills what handlers left behind when the worker dies abruptly.
 *
 * The death signal of a handler's first process does not reach the processes
 * which that one started. This process outlives the worker by a moment: it
 * reads from a pipe whose only writer is the worker, keeps the list of living
 * process groups, and at the end of the pipe, which the kernel brings about
 * however the worker died, kills those groups. An entry is made by the child
 * before it runs handler code, and removed before the group's number can be
 * used again, so the guard never kills a stranger. A process that left its
 * group on purpose (setsid) is out of its reach.
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
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/spawn.h"

/* One write of this is atomic, and so is every read of a multiple. */
struct note {
    pid_t pgid;
    int alive;
};

static int guard_fd = -1; /* written before threads start */
static pid_t guard_pid;
static atomic_bool guard_lost;

static void guard_main(int fd) __attribute__((noreturn));

int guard_start(struct errbuf *eb)
{
    int p[2];
    pid_t pid;

    if (pipe2(p, O_CLOEXEC) < 0)
        return errbuf_set(eb, ERR_SYSTEM, "guard: pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0) {
        int err = errno;

        close(p[0]);
        close(p[1]);
        return errbuf_set(eb, ERR_SYSTEM, "guard: fork: %s", strerror(err));
    }
    if (pid == 0)
        guard_main(p[0]);
    close(p[0]);
    guard_fd = p[1];
    guard_pid = pid;
    atomic_store(&guard_lost, false);
    return 0;
}

SPAWN_RAW static bool tell(pid_t pgid, int alive)
{
    struct note n = {.pgid = pgid, .alive = alive};

    return guard_fd < 0 || syscall(SYS_write, guard_fd, &n, sizeof(n)) >= 0;
}

SPAWN_RAW void guard_add(pid_t pgid)
{
    /* A child cannot complain; the removal of its entry will. */
    tell(pgid, 1);
}

void guard_remove(pid_t pgid)
{
    if (!tell(pgid, 0) && !atomic_exchange(&guard_lost, true))
        LOG_ERROR("guard_lost", F_STR("why", strerror(errno)));
}

void guard_stop(void)
{
    if (guard_fd < 0)
        return;
    close(guard_fd);
    guard_fd = -1;
    while (waitpid(guard_pid, NULL, 0) < 0 && errno == EINTR)
        continue;
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
    struct note notes[64];
    pid_t *groups = NULL;
    size_t len = 0, cap = 0;
    ssize_t n;

    leave_the_crowd(fd);
    while ((n = read(fd, notes, sizeof(notes))) > 0 ||
           (n < 0 && errno == EINTR))
        for (ssize_t i = 0; i < n / (ssize_t)sizeof(notes[0]); i++) {
            size_t at = 0;

            /* Groups of ours only: kill(-1) would reach everybody. */
            if (notes[i].pgid <= 1 ||
                (notes[i].alive != 0 && notes[i].alive != 1))
                continue;
            while (at < len && groups[at] != notes[i].pgid)
                at++;
            if (!notes[i].alive) {
                if (at < len)
                    groups[at] = groups[--len];
                continue;
            }
            if (len == cap) {
                cap = cap > 0 ? 2 * cap : 64;
                groups = mem_resize(groups, cap * sizeof(*groups));
            }
            groups[len++] = notes[i].pgid;
        }
    for (size_t i = 0; i < len; i++)
        kill(-groups[i], SIGKILL);
    _exit(0);
}
