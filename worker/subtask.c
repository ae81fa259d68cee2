/*
 * Sub-tasks of one parent: what it has emitted, and what came back.
 *
 * The thread of the parent's run emits and takes results, sub-task threads
 * hand them over; both under the parent's mutex. What has ended waits in a
 * ring by its place in the order that was asked for: the next one is at its
 * head or has not ended. What waits has no job and no delivery any more, only
 * what the parent is told.
 *
 * Whoever finds nothing to do says what it wants and is woken, once, when that
 * is there: results at once, room when half of the window is free, so that a
 * parent that emits many is not woken for each.
 *
 * The first failure and a cancel race for s->cancel; who sets it is the reason
 * why the others end. After that nothing is emitted, and what is still in the
 * channel comes back unrun.
 *
 * Thread: that of the parent's run; subtasks_ended in one of the sub-tasks'.
 */
#include "worker/subtask.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/handler_priv.h"
#include "worker/pool.h"
#include "worker/subtask_priv.h"

/* ---- making and freeing ---- */

struct subtasks *subtasks_of(struct delivery *d, struct errbuf *eb)
{
    struct subtask_pool *pool = pool_subtasks(d);
    struct subtasks *s = d->subtasks;
    int64_t begun = d->begun_boot_ms;

    if (s != NULL)
        return s;
    if (d->part != NULL || pool == NULL) {
        (void)errbuf_set(eb, ERR_INVALID,
                         d->part != NULL ? "a sub-task may not have sub-tasks"
                                         : "there are no sub-tasks here");
        return NULL;
    }
    s = mem_new(sizeof(*s));
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->fd < 0) {
        (void)errbuf_set(eb, ERR_SYSTEM, "eventfd: %s", strerror(errno));
        free(s);
        return NULL;
    }
    s->d = d;
    s->pool = pool;
    s->cfg = subtask_pool_config(pool);
    s->end_boot_ms = handler_instant(begun != 0 ? begun : clock_boot_ms(),
                                     handler_timeout_ms(d));
    atomic_init(&s->cancel, CANCEL_NONE);
    mutex_init(&s->mu);
    d->subtasks = s;
    return s;
}

struct subtask_private *subtask_private(struct subtask *t)
{
    return (struct subtask_private *)t;
}

void subtask_free(struct subtask *t)
{
    if (t == NULL)
        return;
    free(t->key);
    buf_done(&t->message);
    buf_done(&t->result);
    free(subtask_private(t)->type);
    buf_done(&subtask_private(t)->stderr_tail);
    delivery_free(subtask_private(t)->pushes);
    free(t);
}

static struct subtask_private *pop_locked(struct subtasks *s) REQUIRES(s->mu);

void subtasks_free(struct subtasks *s)
{
    struct subtask_private *t;

    mutex_lock(&s->mu);
    assert(s->unfinished == 0);
    while ((t = pop_locked(s)) != NULL)
        subtask_free(&t->t);
    mutex_unlock(&s->mu);
    if (s->first != NULL)
        subtask_free(&s->first->t);
    mutex_done(&s->mu);
    free(s->ring);
    close(s->fd);
    free(s);
}

const char *subtask_state_name(enum subtask_state state)
{
    static const char *const names[] = {"done", "failed", "cancelled"};

    return names[state];
}

/* ---- the ring ---- */

static void grow_locked(struct subtasks *s) REQUIRES(s->mu);

static void grow_locked(struct subtasks *s)
{
    size_t cap = s->ring_cap == 0 ? SUBTASK_WINDOW_MIN : 2 * s->ring_cap;
    struct subtask_private **ring = mem_new(cap * sizeof(*ring));

    for (size_t i = 0; i < s->ring_cap; i++) {
        size_t place = (size_t)s->head + i;

        ring[place & (cap - 1)] = s->ring[place & (s->ring_cap - 1)];
    }
    free(s->ring);
    s->ring = ring;
    s->ring_cap = cap;
}

static void put_locked(struct subtasks *s, struct subtask_private *t)
    REQUIRES(s->mu);

static void put_locked(struct subtasks *s, struct subtask_private *t)
{
    bool by_number =
        s->opt.order == SUBTASK_EMITTED && !s->opt.no_results && !s->dropped;
    int64_t place = by_number ? t->t.number - 1 : s->tail;

    while (place - s->head >= (int64_t)s->ring_cap)
        grow_locked(s);
    if (place >= s->tail)
        s->tail = place + 1;
    s->ring[(size_t)place & (s->ring_cap - 1)] = t;
    t->bytes = sizeof(*t) + t->t.message.len + t->t.result.len;
    if (t->pushes != NULL)
        t->bytes += sizeof(*t->pushes) + t->pushes->pushes->text.len;
    s->waiting_bytes += t->bytes;
}

static bool has_result_locked(const struct subtasks *s) REQUIRES(s->mu);

static bool has_result_locked(const struct subtasks *s)
{
    return s->ring_cap > 0 &&
           s->ring[(size_t)s->head & (s->ring_cap - 1)] != NULL;
}

static struct subtask_private *pop_locked(struct subtasks *s)
{
    struct subtask_private **at, *t;

    if (!has_result_locked(s))
        return NULL;
    at = &s->ring[(size_t)s->head & (s->ring_cap - 1)];
    t = *at;
    *at = NULL;
    s->head++;
    s->waiting_bytes -= t->bytes;
    return t;
}

/* ---- wakes ---- */

static void wake_locked(struct subtasks *s) REQUIRES(s->mu);

static void wake_locked(struct subtasks *s)
{
    uint64_t one = 1;

    s->wants = 0;
    if (s->woken)
        return;
    s->woken = true;
    if (write(s->fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

static bool is_wanted_locked(const struct subtasks *s) REQUIRES(s->mu);

static bool is_wanted_locked(const struct subtasks *s)
{
    bool all = s->unfinished == 0;

    if ((s->wants & WANT_RESULT) != 0 && (all || has_result_locked(s)))
        return true;
    if ((s->wants & WANT_ROOM) != 0 && s->unfinished <= s->cfg->window / 2 &&
        s->bytes <= SUBTASK_BYTES_MAX / 2)
        return true;
    return s->wants != 0 && all;
}

int subtasks_fd(const struct subtasks *s)
{
    return s->fd;
}

void subtasks_look(struct subtasks *s)
{
    uint64_t wakes;

    mutex_lock(&s->mu);
    if (s->woken && read(s->fd, &wakes, sizeof(wakes)) < 0)
        assert(errno == EAGAIN);
    s->woken = false;
    mutex_unlock(&s->mu);
}

/* ---- the end of one ---- */

/* What the parent is told of an outcome. */
static void digest(struct subtask_private *t, struct outcome *o)
{
    switch (o->verdict) {
    case VERDICT_DONE:
    case VERDICT_DISCARD:
        t->t.state = SUBTASK_DONE;
        break;
    case VERDICT_NONE:
    case VERDICT_CANCEL:
    case VERDICT_RELEASE:
    case VERDICT_EXPIRE:
        t->t.state = SUBTASK_CANCELLED;
        break;
    default:
        t->t.state = SUBTASK_FAILED;
    }
    t->verdict = o->verdict;
    t->crashed = o->crashed;
    t->exit_status = o->exit_status;
    t->delay_ms = o->delay_ms;
    t->cpu_us = o->cpu_us;
    memcpy(t->t.error_class, o->error_class, sizeof(t->t.error_class));
    t->t.result = o->result;
    t->t.result_truncated = o->result_truncated;
    t->t.message = o->message;
    t->stderr_tail = o->stderr_tail;
    o->result = o->message = o->stderr_tail = (struct buf){0};
    if (t->t.state == SUBTASK_CANCELLED && t->t.error_class[0] == '\0') {
        (void)snprintf(t->t.error_class, sizeof(t->t.error_class), "cancelled");
        buf_str(&t->t.message, "not started");
    } else if (o->verdict == VERDICT_SNOOZE) {
        (void)snprintf(t->t.error_class, sizeof(t->t.error_class), "snooze");
        buf_str(&t->t.message, "a sub-task cannot be run later");
    }
}

/* The bytes were counted when it was emitted. After this the parent may end. */
static void hand_over(struct subtasks *s, struct subtask_private *t)
{
    int none = CANCEL_NONE;
    bool first = t->t.state == SUBTASK_FAILED &&
                 s->opt.on_error == SUBTASK_FAIL &&
                 atomic_compare_exchange_strong(&s->cancel, &none, CANCEL_JOB);

    if (first)
        subtask_pool_cancel(s->pool, &s->cancel, CANCEL_JOB);
    subtask_pool_counted(s->pool, t->t.state);
    mutex_lock(&s->mu);
    s->unfinished--;
    s->bytes -= t->bytes;
    s->counts[t->t.state]++;
    if (t->cpu_us > 0)
        s->cpu_us += t->cpu_us;
    if (first) {
        s->first = t;
        t = NULL;
        wake_locked(s);
    } else if (((t->wanted && !s->dropped) || t->pushes != NULL) &&
               s->first == NULL) {
        put_locked(s, t);
        t = NULL;
    }
    if (is_wanted_locked(s))
        wake_locked(s);
    mutex_unlock(&s->mu);
    if (t != NULL)
        subtask_free(&t->t);
}

void subtasks_ended(struct delivery *d)
{
    struct subtask_private *t = subtask_private(d->part);

    d->part = NULL;
    digest(t, &d->outcome);
    if (t->t.state == SUBTASK_DONE && d->pushes != NULL)
        t->pushes = d;
    else
        delivery_free(d);
    hand_over(t->of, t);
}

/* ---- taking results ---- */

/* What it pushes its parent does. */
static void take_pushes(struct subtasks *s, struct subtask_private *t)
{
    if (t->pushes == NULL)
        return;
    delivery_push_all(s->d, t->pushes);
    delivery_free(t->pushes);
    t->pushes = NULL;
}

static int take_one(struct subtasks *s, struct subtask_private **ret)
{
    int rc = 0;

    mutex_lock(&s->mu);
    *ret = s->first == NULL ? pop_locked(s) : NULL;
    if (*ret == NULL) {
        bool none_comes = s->closed || atomic_load(&s->cancel) != CANCEL_NONE;

        rc = s->first != NULL || (none_comes && s->unfinished == 0) ? ERR_CLOSED
                                                                    : ERR_AGAIN;
        s->wants |= rc == ERR_AGAIN ? WANT_RESULT : 0;
    }
    mutex_unlock(&s->mu);
    return rc;
}

int subtasks_try_next(struct subtasks *s, struct subtask **ret)
{
    struct subtask_private *t;
    int rc;

    while ((rc = take_one(s, &t)) == 0) {
        take_pushes(s, t);
        if (t->wanted) {
            *ret = &t->t;
            break;
        }
        subtask_free(&t->t);
    }
    return rc;
}

void subtasks_drop_results(struct subtasks *s)
{
    struct subtask_private *t;

    for (;;) {
        mutex_lock(&s->mu);
        s->dropped = true;
        while ((t = pop_locked(s)) == NULL && s->head < s->tail)
            s->head++; /* one that has not ended */
        mutex_unlock(&s->mu);
        if (t == NULL)
            return;
        take_pushes(s, t);
        subtask_free(&t->t);
    }
}

bool subtasks_failed(struct subtasks *s)
{
    bool failed;

    mutex_lock(&s->mu);
    failed = s->first != NULL;
    mutex_unlock(&s->mu);
    return failed;
}

int64_t subtasks_count(struct subtasks *s, enum subtask_state state)
{
    int64_t n;

    mutex_lock(&s->mu);
    n = s->counts[state];
    mutex_unlock(&s->mu);
    return n;
}

/* ---- stopping ---- */

void subtasks_cancel(struct subtasks *s, enum cancel why)
{
    int none = CANCEL_NONE;

    if (atomic_compare_exchange_strong(&s->cancel, &none, (int)why))
        subtask_pool_cancel(s->pool, &s->cancel, why);
}

void subtasks_stop(struct delivery *d)
{
    enum cancel why = (enum cancel)atomic_load(&d->cancel);

    if (d->subtasks != NULL)
        subtasks_cancel(d->subtasks, why != CANCEL_NONE ? why : CANCEL_RELEASE);
}

void subtasks_hurry(struct subtasks *s)
{
    subtask_pool_cancel(s->pool, &s->cancel, CANCEL_JOB);
}
