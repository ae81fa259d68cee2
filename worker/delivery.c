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

#include "common/base/mem.h"

struct delivery *delivery_new(struct job *job)
{
    struct delivery *d = mem_new(sizeof(*d));

    d->job = job;
    d->outcome.delay_ms = -1;
    d->outcome.exit_status = -1;
    d->outcome.cpu_us = d->outcome.peak_rss = -1;
    atomic_init(&d->cancel, CANCEL_NONE);
    return d;
}

void delivery_free(struct delivery *d)
{
    if (d == NULL)
        return;
    if (d->noted)
        LIST_REMOVE(d, by);
    if (d->progress != NULL)
        mutex_done(&d->progress->mu);
    free(d->progress);
    job_free(d->job);
    buf_done(&d->outcome.message);
    buf_done(&d->outcome.result);
    buf_done(&d->outcome.stderr_tail);
    free(d);
}

void delivery_expire(struct delivery *d)
{
    struct outcome *o = &d->outcome;

    o->verdict = VERDICT_EXPIRE;
    (void)snprintf(o->error_class, sizeof(o->error_class), "expired");
    buf_str(&o->message, "not started before its expires_at");
}
