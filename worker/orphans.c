/*
 * Orphans: reaps what comes to process 1.
 *
 * A pool thread waits for its handler by number, and one that was reaped here
 * would be lost to it. A handler leads a group of its own in our session, so
 * whoever is in another session, or leads no group, is none. Of the others, a
 * group that the guard knows is a handler's; one that it does not know may be a
 * handler's at the very moment of being reaped, which takes no time: who is
 * seen again and again is not.
 *
 * The kernel shows one dead child at a time. A handler in front of the others
 * is waited for: its thread is about to reap it.
 *
 * Thread: any one.
 */
#include "worker/orphans.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/guard.h"

enum {
    AT_ONCE = 1000, /* bounds one look */
    DOUBTS = 3      /* looks until a doubtful one is none of ours */
};

void orphans_init(struct orphans *o)
{
    int subreaper = 0;

    (void)prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    *o = (struct orphans){.ours = getpid() == 1 || subreaper != 0};
}

static bool is_orphan(struct orphans *o, pid_t pid)
{
    if (getsid(pid) != getsid(0) || getpgid(pid) != pid)
        return true;
    if (guard_has(pid))
        return false;
    o->looks = pid == o->doubtful ? o->looks + 1 : 1;
    o->doubtful = pid;
    return o->looks >= DOUBTS;
}

void orphans_reap(struct orphans *o)
{
    for (unsigned i = 0; i < AT_ONCE && o->ours; i++) {
        siginfo_t dead = {0};
        if (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            dead.si_pid == 0 || !is_orphan(o, dead.si_pid))
            return;
        (void)waitpid(dead.si_pid, NULL, WNOHANG);
    }
}
