/*
 * Sub-tasks: waiting for them, and how their parent ends.
 *
 * A run has ended when all of its sub-tasks have. Until then its time limit
 * and a cancel hold: either stops them, and one more wake kills them. What the
 * run itself said counts only if it was done; how it failed is told as it
 * failed, unless it was stopped because a sub-task did.
 *
 * Thread: that of the parent's run.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/handler_priv.h"
#include "worker/subtask_priv.h"

/* Waits for news or a wake for cancel. Returns whether the latter came. */
static bool wait_news(struct subtasks *s, int cancel_fd, int64_t ms)
{
    struct pollfd p[] = {{.fd = s->fd, .events = POLLIN},
                         {.fd = cancel_fd, .events = POLLIN}};
    int n;

    subtasks_flush(s);
    n = poll(p, 2, ms < INT_MAX ? (int)ms : INT_MAX);

    if (n > 0 && p[0].revents != 0)
        subtasks_look(s);
    return n > 0 && p[1].revents != 0;
}

/* The first wake stops them, every later one kills them. */
static void on_wakes(struct subtasks *s, int cancel_fd)
{
    enum cancel why = (enum cancel)atomic_load(&s->d->cancel);
    uint64_t wakes;

    if (read(cancel_fd, &wakes, sizeof(wakes)) != sizeof(wakes) ||
        why == CANCEL_NONE)
        return;
    if (!s->stopped) {
        s->stopped = true;
        subtasks_cancel(s, why);
        wakes--;
    }
    if (wakes > 0)
        subtasks_hurry(s);
}

void subtasks_wait(struct subtasks *s, int cancel_fd)
{
    bool stopping = s->timed_out || s->stopped;

    if (wait_news(s, cancel_fd, stopping ? INT64_MAX : subtasks_left_ms(s)))
        on_wakes(s, cancel_fd);
    if (!s->timed_out && !s->stopped && subtasks_left_ms(s) == 0) {
        s->timed_out = true;
        subtasks_cancel(s, CANCEL_RELEASE);
    }
}

/* Whether the parent may wait at all, until when_ms. */
static int may_wait(struct subtasks *s, int cancel_fd, int64_t deadline_ms)
{
    int64_t left = subtasks_left_ms(s);
    int64_t ms = deadline_ms == INT64_MAX ? left : deadline_ms - clock_ms();

    if (atomic_load(&s->d->cancel) != CANCEL_NONE || left == 0)
        return ERR_CLOSED;
    if (ms <= 0)
        return ERR_TIMEOUT;
    (void)wait_news(s, cancel_fd, ms < left ? ms : left);
    return 0;
}

int subtasks_emit(struct subtasks *s, const struct subtask_spec *spec,
                  int cancel_fd, int64_t deadline_ms, struct errbuf *eb)
{
    int rc;

    while ((rc = subtasks_try_emit(s, spec, eb)) == ERR_AGAIN) {
        bool full;

        mutex_lock(&s->mu);
        full = s->unfinished == 0 && s->waiting_bytes >= s->cfg->results_max;
        mutex_unlock(&s->mu);
        if (full)
            return errbuf_set(eb, ERR_AGAIN,
                              "%zu bytes of results wait to be taken",
                              s->cfg->results_max);
        rc = may_wait(s, cancel_fd, deadline_ms);
        if (rc != 0)
            return errbuf_set(eb, rc, "no room for a sub-task: %s",
                              rc == ERR_CLOSED ? "the job is to stop"
                                               : err_str(rc));
    }
    return rc;
}

int subtasks_next(struct subtasks *s, struct subtask **ret, int cancel_fd,
                  int64_t deadline_ms)
{
    int rc;

    while ((rc = subtasks_try_next(s, ret)) == ERR_AGAIN) {
        bool idle;

        mutex_lock(&s->mu);
        idle = s->unfinished == 0;
        mutex_unlock(&s->mu);
        if (idle && subtasks_try_next(s, ret) == 0)
            return 0;
        rc = idle ? ERR_CLOSED : may_wait(s, cancel_fd, deadline_ms);
        if (rc != 0)
            return rc;
    }
    return rc;
}

/* ---- the end of the parent ---- */

static void wait_all(struct subtasks *s, int cancel_fd)
{
    for (;;) {
        bool all;

        mutex_lock(&s->mu);
        all = s->unfinished == 0;
        s->wants |= WANT_END;
        mutex_unlock(&s->mu);
        if (all)
            return;
        subtasks_wait(s, cancel_fd);
    }
}

/* The parent ends as its sub-task has. */
static void fail_as(struct delivery *d, struct subtask_private *t)
{
    struct outcome *o = &d->outcome;
    enum verdict v = t->verdict == VERDICT_DEAD || t->verdict == VERDICT_PUT_OFF
                         ? t->verdict
                         : VERDICT_RETRY;
    const char *key = t->t.key;

    if (t->cut && strcmp(t->t.error_class, "timeout") == 0) {
        handler_fail_timeout(d);
        return;
    }
    handler_fail(d, v, "subtask",
                 "sub-task %" PRId64 " (%s%s%s): ", t->t.number, t->type,
                 key != NULL ? ", " : "", key != NULL ? key : "");
    buf_append(&o->message, t->t.message.data, t->t.message.len);
    o->crashed = t->crashed;
    o->exit_status = t->exit_status;
    o->delay_ms = t->delay_ms;
    if (t->stderr_tail.len > 0) {
        buf_done(&o->stderr_tail);
        o->stderr_tail = t->stderr_tail;
        t->stderr_tail = (struct buf){0};
    }
}

static void judge(struct subtasks *s, bool was_done)
{
    struct delivery *d = s->d;
    struct outcome *o = &d->outcome;
    bool stopped =
        o->verdict == VERDICT_CANCEL || o->verdict == VERDICT_RELEASE;

    if (s->first != NULL && !stopped)
        fail_as(d, s->first);
    else if (was_done && s->stopped)
        handler_stopped(d);
    else if (was_done && s->timed_out)
        handler_fail_timeout(d);
    if (was_done && o->verdict != VERDICT_DONE &&
        o->verdict != VERDICT_SNOOZE) {
        buf_done(&o->result);
        o->result_truncated = false;
    }
    if (o->cpu_us >= 0)
        o->cpu_us += s->cpu_us;
}

static void say(struct subtasks *s)
{
    const struct delivery *d = s->d;

    LOG_INFO("subtasks", F_STR("job", d->job->id), F_STR("type", d->job->type),
             F_STR("queue", d->queue), F_INT("done", s->counts[SUBTASK_DONE]),
             F_INT("failed", s->counts[SUBTASK_FAILED]),
             F_INT("cancelled", s->counts[SUBTASK_CANCELLED]));
}

/* The parent was not done: neither are they. Its wake may be read already. */
static void stop_with(struct subtasks *s, int cancel_fd)
{
    on_wakes(s, cancel_fd);
    s->stopped = atomic_load(&s->d->cancel) != CANCEL_NONE;
    subtasks_cancel(s, CANCEL_JOB);
}

void subtasks_finish(struct delivery *d, int cancel_fd)
{
    struct subtasks *s = d->subtasks;
    struct outcome *o = &d->outcome;
    bool was_done;

    if (s == NULL)
        return;
    subtasks_flush(s);
    was_done = o->verdict == VERDICT_DONE || o->verdict == VERDICT_SNOOZE;
    if (!was_done)
        stop_with(s, cancel_fd);
    subtasks_drop_results(s);
    wait_all(s, cancel_fd);
    subtasks_drop_results(s);
    judge(s, was_done);
    if (s->emitted > 0)
        say(s);
    d->subtasks = NULL;
    subtasks_free(s);
}
