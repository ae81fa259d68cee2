/*
 * Spawn: a child process out of a program that has threads.
 *
 * fork(2) would copy the page tables of the whole worker for every job, and
 * in the copy every lock that another thread held stays locked for ever. So
 * the child is made by clone(CLONE_VM | CLONE_VFORK), as posix_spawn(3) does
 * inside glibc: it borrows our memory, on a stack of its own, while the
 * calling thread sleeps in the kernel until execve or exit. posix_spawn itself
 * knows no PR_SET_PDEATHSIG. What makes it safe:
 *
 * - The other threads run on, so the child must take no lock and touch none
 *   of their data: it makes raw system calls only, reads *s, which the
 *   sleeping caller owns, and writes *h and the caller's errno.
 *   Everything that needs libc (searching PATH, building argv and envp) is
 *   done before, by the parent. syscall(3) is not intercepted by sanitizers,
 *   and functions marked SPAWN_RAW are not instrumented by them.
 * - A signal handler that ran in the child would run in our memory. All
 *   signals, those that libc keeps for itself included, are blocked around
 *   clone; the child sets every disposition that the worker changes back to
 *   the default and unblocks only then, one step before execve.
 * - Descriptors are close-on-exec from birth, so a child that another thread
 *   starts meanwhile does not inherit our pipes; close_range is the second
 *   fence, for descriptors that a library opened without the flag.
 * - The child joins its group, arms its death signal and is known to the
 *   guard before execve, and the caller wakes after execve: there is no
 *   moment at which handler code runs and could not be killed.
 *
 * What is asked of the system needs rights, so the child becomes another user
 * after it has joined its cgroup, but before it enters its directory, which
 * that user may not be allowed to. Linux takes the death signal back when
 * credentials change, so it is armed after that. A program that runs with
 * more rights by itself (setuid) loses it again: only the guard reaches that.
 *
 * The death signal belongs to the thread, not to the process: it fires when
 * the thread that called spawn_start ends. Pool threads wait for their child,
 * so theirs ends later. If the parent died before prctl, getppid tells.
 *
 * Thread: any; see the header on its lifetime.
 */
#include "worker/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/guard.h"

enum {
    CHILD_STACK = 16 * 1024, /* raw system calls need a tenth of it */
    CLOSE_MAX = 4096,        /* descriptors tried without close_range(2) */
    GROUP_WAIT_MS = 100,     /* killed processes that are still there */
    KERNEL_SIGSET = 8        /* bytes of the kernel's sigset_t */
};

/* What the worker, libevent or a parent such as nohup may have changed. */
static const int reset_signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE,
                                    SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD};

/* Shared by the sleeping caller and the child. */
struct handover {
    const struct spawn *s;
    pid_t parent;
    volatile int err; /* errno of what failed in the child; 0: nothing */
    const char *volatile step; /* what that was: constant; NULL: the program */
};

/*
 * glibc's clone(2) under the name that sanitizers do not intercept: the thread
 * sanitizer takes every clone for a fork, and would in the child release locks
 * of its own that the parent then releases again.
 */
extern int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

static int child_main(void *arg);

int spawn_start(const struct spawn *s, struct child *ret_child,
                struct errbuf *eb)
{
    char stack[CHILD_STACK] __attribute__((aligned(16)));
    struct handover h = {.s = s, .parent = getpid()};
    uint64_t all = UINT64_MAX, old;
    int pidfd = -1, err;
    pid_t pid;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, KERNEL_SIGSET);
    pid = __clone(child_main, stack + sizeof(stack),
                  CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &h, &pidfd);
    err = pid < 0 ? errno : h.err;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_SIGSET);

    if (err != 0) {
        if (pid > 0) {
            guard_remove(pid);
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                continue;
            close(pidfd);
        }
        if (h.step != NULL)
            return errbuf_set(eb, ERR_SYSTEM, "%s: %s", h.step, strerror(err));
        return errbuf_set(eb, ERR_SYSTEM, "%s", strerror(err));
    }
    assert(pidfd >= 0);
    ret_child->pid = pid;
    ret_child->pidfd = pidfd;
    return 0;
}

/* Says why in errno, for the caller. */
SPAWN_RAW static int child_fds(const struct spawn *s)
{
    int src[SPAWN_FDS + 1];
    long i, n = s->fd4 > 0 ? SPAWN_FDS + 1 : SPAWN_FDS;

    /* Out of the way first: one of them may be the target of another. */
    for (i = 0; i < n; i++) {
        src[i] = i < SPAWN_FDS ? s->fds[i] : s->fd4;
        if (src[i] <= SPAWN_FDS)
            src[i] = (int)syscall(SYS_fcntl, src[i], F_DUPFD, SPAWN_FDS + 1L);
        if (src[i] < 0)
            return -1;
    }
    for (i = 0; i < n; i++)
        if (syscall(SYS_dup3, src[i], i, 0L) < 0)
            return -1;
    if (syscall(SYS_close_range, n, (long)UINT_MAX, 0L) == 0)
        return 0;
    for (i = n; i < CLOSE_MAX; i++)
        syscall(SYS_close, i);
    return 0;
}

/*
 * To ignore a signal for a moment discards it where it is pending: it was
 * sent to the group of the worker while the child was still in it, as a
 * terminal's Ctrl-C is, and is no crash of the handler.
 */
SPAWN_RAW static void child_signals(void)
{
    /* The kernel's struct sigaction, whose first member is the handler. */
    uintptr_t ignore[8] = {(uintptr_t)SIG_IGN}, reset[8] = {(uintptr_t)SIG_DFL};
    uint64_t none = 0;
    size_t i;

    for (i = 0; i < sizeof(reset_signals) / sizeof(reset_signals[0]); i++) {
        long sig = reset_signals[i];

        syscall(SYS_rt_sigaction, sig, ignore, NULL, KERNEL_SIGSET);
        syscall(SYS_rt_sigaction, sig, reset, NULL, KERNEL_SIGSET);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET);
}

/* Returns NULL, or the step that failed. */
SPAWN_RAW static const char *child_user(const struct spawn_setup *u)
{
    long uid = (long)u->uid, gid = (long)u->gid;

    if (syscall(SYS_setgroups, u->group_count, u->groups) < 0)
        return "user (its groups)";
    if (syscall(SYS_setresgid, gid, gid, gid) < 0)
        return "user (its group)";
    return syscall(SYS_setresuid, uid, uid, uid) < 0 ? "user" : NULL;
}

/* The same of all that was asked for. */
SPAWN_RAW static const char *child_setup(const struct spawn_setup *u)
{
    /* 0 is whoever writes it. */
    if (u->cgroup_procs >= 0 &&
        syscall(SYS_write, (long)u->cgroup_procs, "0", 1L) < 0)
        return "cgroup";
    if (u->has_nice &&
        syscall(SYS_setpriority, (long)PRIO_PROCESS, 0L, (long)u->nice) < 0)
        return "nice";
    for (unsigned i = 0; i < u->limit_count; i++) {
        const struct spawn_limit *l = &u->limits[i];

        if (syscall(SYS_prlimit64, 0L, (long)l->resource, &l->to, NULL) < 0)
            return l->name;
    }
    return u->has_user ? child_user(u) : NULL;
}

SPAWN_RAW static int child_main(void *arg)
{
    struct handover *h = arg;
    const struct spawn *s = h->s;
    const char *step = "process group";

    if (syscall(SYS_setpgid, 0L, 0L) < 0)
        goto fail;
    /* First of all that is big: a group's memory limit is to hold for it. */
    if (s->setup != NULL && (step = child_setup(s->setup)) != NULL)
        goto fail;
    step = "death signal";
    if (syscall(SYS_prctl, PR_SET_PDEATHSIG, (long)SIGKILL, 0L, 0L, 0L) < 0)
        goto fail;
    if (syscall(SYS_getppid) != h->parent)
        return 127; /* the death signal would come too late for us */
    guard_add((pid_t)syscall(SYS_getpid));
    step = "descriptors";
    if (child_fds(s) < 0)
        goto fail;
    step = "dir";
    if (s->dir != NULL && syscall(SYS_chdir, s->dir) < 0)
        goto fail;
    child_signals();
    step = NULL;
    syscall(SYS_execve, s->path, s->argv, s->envp);
fail:
    h->step = step;
    h->err = errno;
    return 127;
}

/*
 * As process 1 of a container we are the parent of a group's orphans, and must
 * reap them. Not waited for are processes that cannot die now (a disk that does
 * not answer), and those that died but that a lazy process 1 does not reap,
 * which look the same from here.
 */
static void wait_group(pid_t pgid)
{
    int64_t give_up_ms = clock_ms() + GROUP_WAIT_MS;

    while (kill(-pgid, 0) == 0) {
        while (waitpid(-pgid, NULL, WNOHANG) > 0)
            continue;
        if (clock_ms() >= give_up_ms) {
            LOG_DEBUG("group_lingers", F_INT("pgid", pgid));
            return;
        }
        poll(NULL, 0, 1);
    }
}

bool spawn_reap(struct child *child, siginfo_t *ret_end,
                struct rusage *ret_used)
{
    long rc;

    /* Before its leader is reaped the number cannot be anybody else's. */
    kill(-child->pid, SIGKILL);
    guard_remove(child->pid);
    do /* which waitid(3) does not tell what it used */
        rc = syscall(SYS_waitid, P_PID, (long)child->pid, ret_end,
                     (long)WEXITED, ret_used);
    while (rc < 0 && errno == EINTR);
    close(child->pidfd);
    child->pidfd = -1;
    wait_group(child->pid);
    return rc == 0;
}

int spawn_find(const char *name, const char *dirs, char *out, size_t size)
{
    const char *at = strchr(name, '/') != NULL ? NULL : dirs;

    if (at == NULL)
        return snprintf(out, size, "%s", name) < (int)size ? 0 : ERR_TOO_BIG;
    for (;;) {
        size_t n = strcspn(at, ":");
        struct stat st;

        int len =
            snprintf(out, size, "%.*s%s%s", (int)n, at, n > 0 ? "/" : "", name);
        if (len < (int)size && stat(out, &st) == 0 && S_ISREG(st.st_mode) &&
            access(out, X_OK) == 0)
            return 0;
        if (at[n] == '\0')
            return ERR_MISSING;
        at += n + 1;
    }
}
