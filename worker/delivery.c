/*
 * Deliveries: making and freeing them.
 *
 * A fresh delivery has not been run (VERDICT_NONE, all zeros) and leaves the
 * delay of a retry to the policy; what is not known yet is -1.
 *
 * Thread: whichever owns the delivery.
 */
#include "worker/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/job/then.h"
#include "worker/handler.h"
#include "worker/subtask_priv.h"

struct delivery *delivery_new(struct job *job)
{
    struct delivery *d = mem_new(sizeof(*d));

    d->job = job;
    d->outcome.delay_ms = -1;
    d->outcome.exit_status = -1;
    d->outcome.cpu_us = d->outcome.peak_rss = -1;
    d->envelope_max = JOB_ENVELOPE_MAX_BYTES;
    atomic_init(&d->cancel, CANCEL_NONE);
    atomic_init(&d->hold, HOLD_FIRM);
    return d;
}

static void pushes_free(struct pushes *p)
{
    if (p == NULL)
        return;
    buf_done(&p->text);
    free(p->ends);
    free(p->why);
    free(p);
}

void delivery_free(struct delivery *d)
{
    if (d == NULL)
        return;
    if (d->noted)
        LIST_REMOVE(d, by);
    if (d->logging)
        LIST_REMOVE(d, by_log);
    if (d->progress != NULL)
        mutex_done(&d->progress->mu);
    free(d->progress);
    pushes_free(d->pushes);
    run_log_free(d->log);
    subtask_free(d->part);
    buf_done(&d->outcome.message);
    buf_done(&d->outcome.result);
    buf_done(&d->outcome.stderr_tail);
    if (atomic_load(&d->hold) == HOLD_LOST)
        return; /* its thread may look into the rest, and the table, for ever */
    if (d->handlers != NULL)
        handlers_give_back(d->handlers);
    job_free(d->job);
    free(d);
}

/* ---- runs that may be taken away ---- */

static bool change_hold(struct delivery *d, int from, enum hold to)
{
    return atomic_compare_exchange_strong(&d->hold, &from, (int)to);
}

void delivery_loosen(struct delivery *d, int64_t limit_ms)
{
    d->limit_ms = limit_ms;
    atomic_store(&d->hold, HOLD_LOOSE);
}

bool delivery_fasten(struct delivery *d)
{
    return change_hold(d, HOLD_LOOSE, HOLD_FIRM);
}

bool delivery_hold(struct delivery *d)
{
    return change_hold(d, HOLD_LOOSE, HOLD_CALL);
}

void delivery_let_go(struct delivery *d)
{
    atomic_store(&d->hold, HOLD_LOOSE);
}

bool delivery_take_away(struct delivery *d)
{
    return change_hold(d, HOLD_LOOSE, HOLD_LOST);
}

/* ---- pushes ---- */

static struct pushes *pushes_of(struct delivery *d)
{
    if (d->pushes == NULL)
        d->pushes = mem_new(sizeof(*d->pushes));
    return d->pushes;
}

/* Notes the first refusal; nothing will be enqueued then. */
static int refuse(struct delivery *d, int err, struct errbuf *eb)
{
    struct pushes *p = d->pushes;

    if (p->refused != 0)
        return err;
    p->refused = p->asked;
    p->why = mem_strdup(eb->text);
    p->n = 0;
    buf_done(&p->text);
    LOG_WARN("push_refused", F_STR("job", d->job->id),
             F_STR("type", d->job->type), F_STR("queue", d->queue),
             F_STR("error", eb->text));
    return err;
}

static void take(struct pushes *p, const char *envelope, size_t len)
{
    if (p->n == p->room) {
        p->room = p->room == 0 ? 8 : 2 * p->room;
        p->ends = mem_resize(p->ends, p->room * sizeof(*p->ends));
    }
    buf_append(&p->text, envelope, len);
    p->ends[p->n++] = p->text.len;
}

static unsigned most(const struct delivery *d)
{
    return d->job->then.p != NULL ? PUSHES_MAX - THEN_MAX : PUSHES_MAX;
}

static int check_room(const struct delivery *d, size_t len, struct errbuf *eb)
{
    const struct pushes *p = d->pushes;

    if (p->n >= most(d))
        return errbuf_set(eb, ERR_TOO_BIG, "one run may push %u jobs%s",
                          most(d),
                          d->job->then.p != NULL ? " beside its \"then\"" : "");
    if (len > d->envelope_max)
        return errbuf_set(eb, ERR_TOO_BIG, "%zu bytes, %zu are allowed", len,
                          d->envelope_max);
    if (p->text.len + len > PUSHES_MAX_BYTES)
        return errbuf_set(eb, ERR_TOO_BIG, "one run may push %d MiB of jobs",
                          PUSHES_MAX_BYTES >> 20);
    return 0;
}

int delivery_push(struct delivery *d, const char *envelope, size_t len,
                  struct errbuf *eb)
{
    struct pushes *p = pushes_of(d);
    struct errbuf own, *why = eb != NULL ? eb : &own;
    int rc;

    p->asked++;
    rc = check_room(d, len, why);
    if (rc == 0)
        rc = then_check_one((struct json_span){envelope, len}, why);
    if (rc != 0)
        return refuse(d, errbuf_wrap(why, rc, "push %u", p->asked), why);
    if (p->refused == 0)
        take(p, envelope, len);
    return 0;
}

int delivery_push_refuse(struct delivery *d, int err, const char *why,
                         struct errbuf *eb)
{
    struct pushes *p = pushes_of(d);
    struct errbuf own, *text = eb != NULL ? eb : &own;

    p->asked++;
    (void)errbuf_set(text, err, "push %u: %s", p->asked, why);
    return refuse(d, err, text);
}

void delivery_push_all(struct delivery *d, struct delivery *from)
{
    struct pushes *p = from->pushes;
    struct errbuf eb;

    from->pushes = NULL;
    if (p != NULL && p->refused != 0) {
        (void)errbuf_set(&eb, ERR_INVALID, "%s of %s", p->why, from->job->id);
        (void)delivery_push_refuse(d, ERR_INVALID, eb.text, NULL);
    }
    for (unsigned i = 0; p != NULL && i < p->n; i++) {
        size_t start = i > 0 ? p->ends[i - 1] : 0;

        (void)delivery_push(d, p->text.data + start, p->ends[i] - start, NULL);
    }
    pushes_free(p);
}

struct json_span delivery_pushed(const struct delivery *d, unsigned i)
{
    const struct pushes *p = d->pushes;
    size_t start = i > 0 ? p->ends[i - 1] : 0;

    return (struct json_span){p->text.data + start, p->ends[i] - start};
}

void delivery_judge_pushes(struct delivery *d)
{
    struct outcome *o = &d->outcome;

    if (o->verdict != VERDICT_DONE || d->pushes == NULL ||
        d->pushes->refused == 0)
        return;
    o->verdict = VERDICT_RETRY;
    (void)snprintf(o->error_class, sizeof(o->error_class), "push");
    buf_done(&o->result);
    o->result_truncated = false;
    buf_clear(&o->message);
    buf_str(&o->message, d->pushes->why);
}

void delivery_expire(struct delivery *d)
{
    struct outcome *o = &d->outcome;

    o->verdict = VERDICT_EXPIRE;
    (void)snprintf(o->error_class, sizeof(o->error_class), "expired");
    buf_clear(&o->message);
    buf_str(&o->message, "not started before its expires_at");
}
