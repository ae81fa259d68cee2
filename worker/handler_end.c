/*
 * How a run has ended, as a verdict: in words, and of a process by its status.
 *
 * Thread: pool, and the loop for a run that was given up.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "worker/handler_priv.h"
#include "worker/usage.h"

/* ---- what is the same for all kinds ---- */

int64_t handler_timeout_ms(const struct delivery *d)
{
    return d->job->timeout_ms > 0 ? d->job->timeout_ms
                                  : d->handler->limits.timeout_ms;
}

int64_t handler_instant(int64_t now, int64_t ms)
{
    return ms < INT64_MAX - now ? now + ms : INT64_MAX;
}

void handler_fail(struct delivery *d, enum verdict v, const char *class,
                  const char *fmt, ...)
{
    struct outcome *o = &d->outcome;
    char text[1024];
    va_list ap;

    o->verdict = v;
    snprintf(o->error_class, sizeof(o->error_class), "%s", class);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_clear(&o->message);
    buf_str(&o->message, text);
}

void handler_stopped(struct delivery *d)
{
    if (atomic_load(&d->cancel) == CANCEL_JOB)
        handler_fail(d, VERDICT_CANCEL, "cancelled", "cancelled");
    else
        handler_fail(d, VERDICT_RELEASE, "stopped", "stopped by us");
}

int64_t handler_kill_after_ms(const struct delivery *d)
{
    const struct handler_limits *l = &d->handler->limits;

    /* Whoever cancels a job waits for it. */
    return atomic_load(&d->cancel) == CANCEL_JOB &&
                   l->cancel_kill_after_ms < l->kill_after_ms
               ? l->cancel_kill_after_ms
               : l->kill_after_ms;
}

void handler_fail_silent(struct delivery *d)
{
    char text[32];

    handler_fail(d, VERDICT_RETRY, "heartbeat", "said nothing for %s",
                 text_format_duration(d->handler->keys.heartbeat_ms, text));
}

void handler_fail_timeout(struct delivery *d)
{
    char text[32];

    handler_fail(d, VERDICT_RETRY, "timeout", "timed out after %s",
                 text_format_duration(handler_timeout_ms(d), text));
}

/* ---- processes ---- */

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
