#ifndef WORKER_SPAWN_H
#define WORKER_SPAWN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/thread.h"

enum { SPAWN_FDS = 4, SPAWN_LIMITS = 3 };

/*
 * What a child makes of itself before the new program begins. All of it was
 * looked up before: the child can only make system calls.
 */
struct spawn_setup {
    int cgroup_procs; /* open cgroup.procs of its cgroup; -1: stays in ours */
    bool has_nice;
    int nice; /* absolute */
    struct spawn_limit {
        const char *name;   /* constant, for errors */
        int resource;       /* RLIMIT_* */
        struct rlimit64 to; /* as the kernel has it */
    } limits[SPAWN_LIMITS];
    unsigned limit_count;
    bool has_user; /* becomes that user, in these groups alone */
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* borrowed */
    size_t group_count;
};

/*
 * Starts one child process from a large threaded one.
 *
 * The child leads a process group of its own, has exactly the descriptors
 * 0 to 3 or 4, no blocked and no ignored signal of ours, and is killed when the
 * *thread* that started it ends (PR_SET_PDEATHSIG), so that thread must live
 * as long as the child. SIGCHLD must not be ignored. Linux >= 5.3.
 */
struct spawn {
    const char *path; /* as for execve(2): no search */
    char *const *argv;
    char *const *envp;
    const char *dir;                 /* NULL: that of the worker */
    const struct spawn_setup *setup; /* NULL: nothing */
    int fds[SPAWN_FDS]; /* become stdin, stdout, stderr and 3; stay open here */
    int fd4;            /* becomes 4, and stays open here; 0: there is none */
};

struct child {
    pid_t pid; /* of its process group too */
    int pidfd; /* owned, close-on-exec: readable once it has ended */
};

/*
 * Starts it and tells the guard. Returns once the new program is in place;
 * ERR_SYSTEM, with a text that says which step failed and why, when it is not,
 * and then nothing of the child is left. spawn_reap ends it.
 */
int spawn_start(const struct spawn *s, struct child *ret_child,
                struct errbuf *eb) MAY_BLOCK;

/*
 * Kills the group of a child, waits for the child's end, which may have been
 * before, and for a moment until nothing of the group is left. The guard
 * forgets it. Returns false when someone else has taken the status.
 */
bool spawn_reap(struct child *child, siginfo_t *ret_end,
                struct rusage *ret_used) MAY_BLOCK;

/*
 * Writes the path of a command: itself if it has a slash, else the first
 * executable regular file of that name in dirs ("a:b:c"; an empty element is
 * the current directory). ERR_MISSING when there is none, ERR_TOO_BIG when
 * out is too small.
 */
int spawn_find(const char *name, const char *dirs, char *out, size_t size);

/*
 * Functions that run in a child between clone and exec, in memory that it
 * shares with us: no sanitizer may keep books of what they do.
 */
#if defined(__clang__)
#define SPAWN_RAW                                                              \
    __attribute__((disable_sanitizer_instrumentation,                          \
                   no_sanitize("address", "thread", "undefined")))
#else
#define SPAWN_RAW __attribute__((no_sanitize("address", "thread", "undefined")))
#endif

#endif
