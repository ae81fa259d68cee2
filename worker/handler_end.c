/*
 * How a process that ran for a job has ended, as a verdict.
 *
 * Thread: pool.
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "common/base/text.h"
#include "worker/handler_priv.h"
#include "worker/usage.h"

int exec_end_status(const struct exec_end *end)
{
    const siginfo_t *si = &end->info;

    return si->si_code == CLD_EXITED ? si->si_status : 128 + si->si_status;
}

static enum verdict verdict_of_exit(int code, bool plain)
{
    if (code != 0 && plain)
        return VERDICT_RETRY;
    switch (code) {
    case 0:
        return VERDICT_DONE;
    case 65:  /* EX_DATAERR of sysexits */
    case 100: /* permanent, as qmail's programs say it */
        return VERDICT_DEAD;
    case 99: /* qmail: do not go on, and no error */
        return VERDICT_DISCARD;
    case 126: /* shells: found, not executable */
    case 127: /* shells: not found */
        return VERDICT_PUT_OFF;
    default: /* 75 (EX_TEMPFAIL) and 111 (qmail) say so, the rest means it */
        return VERDICT_RETRY;
    }
}

/* XCPU comes at max-cpu, and KILL a second later to who catches it. */
static bool used_up_cpu(const struct delivery *d, const struct exec_end *end)
{
    int64_t max_ms = d->handler->keys.max_cpu_ms;
    int sig = end->info.si_status;

    return max_ms > 0 && (sig == SIGXCPU ||
                          (sig == SIGKILL &&
                           usage_of_child_cpu_us(&end->used) >= max_ms * 1000));
}

static void judge_signal(struct delivery *d, const struct exec_end *end)
{
    const struct handler_keys *k = &d->handler->keys;
    int sig = end->info.si_status;
    const char *abbrev = sigabbrev_np(sig);
    char text[32];

    if (used_up_cpu(d, end)) {
        /* As with the time limit, we ended it: it is no crash. */
        handler_fail(d, VERDICT_RETRY, "cpu",
                     "used more CPU time than max-cpu, %s",
                     text_format_duration(k->max_cpu_ms, text));
        return;
    }
    d->outcome.crashed = true;
    if (end->oom && sig == SIGKILL) {
        handler_fail(d, VERDICT_RETRY, "memory",
                     "killed: needed more memory than cgroup-memory, %" PRId64
                     " bytes",
                     k->cgroup_memory);
        return;
    }
    handler_fail(d, VERDICT_RETRY, "signal", "killed by signal %d (SIG%s)%s",
                 sig, abbrev != NULL ? abbrev : "?",
                 end->info.si_code == CLD_DUMPED ? ", core dumped" : "");
}

void exec_end_judge(struct delivery *d, const struct exec_end *end)
{
    int code = end->info.si_status;
    enum verdict v;

    if (end->info.si_code != CLD_EXITED)
        judge_signal(d, end);
    else if ((v = verdict_of_exit(code, end->plain)) != VERDICT_DONE)
        handler_fail(d, v, "exit", "exit code %d", code);
    else
        d->outcome.verdict = VERDICT_DONE;
}
