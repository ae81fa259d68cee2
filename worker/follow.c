/*
 * Follow: what the "then" of a done job says, and what its run asked to be
 * pushed, is pushed in the step that settles it, so that it follows exactly if
 * the job is done.
 *
 * What simply goes to the end of this queue goes there; the rest goes to the
 * outbox, from where it is pushed at least once and arrives once (relay.h).
 * What is no envelope is buried: the job that named it is done all the same.
 *
 * Thread: event loop only.
 */
#include "common/base/log.h"
#include "common/job/then.h"
#include "worker/settle_priv.h"

struct following {
    struct work *work;     /* borrowed */
    const struct job *job; /* borrowed: the parent */
    unsigned n;
};

/* what and n: which it is, for a person. */
static void follow(struct work *w, const struct job *parent, const char *what,
                   unsigned n, struct json_span element) ON_LOOP;

static void follow(struct work *w, const struct job *parent, const char *what,
                   unsigned n, struct json_span element)
{
    struct errbuf eb;
    bool ready;
    if (then_complete(element, w->lane->keys.queue, w->now_ms, work_envelope(w),
                      &ready, &eb) != 0) {
        (void)errbuf_wrap(&eb, ERR_INVALID, "%s %u of job %s", what, n,
                          parent->id);
        work_bury(w, element.p, element.len, eb.text);
        return;
    }
    work_put(w, ready ? SETTLE_READY : SETTLE_OUTBOX, 0);
    if (ready)
        w->pushed++;
    else
        w->sent++;
}

static int on_follower(void *arg, struct json_span element)
{
    loop_role_assert();
    struct following *f = arg;
    follow(f->work, f->job, "then", ++f->n, element);
    return 0;
}

void work_push(struct work *w, const struct slot *s)
{
    const struct delivery *d = s->d;
    const unsigned n = d->pushes != NULL ? d->pushes->n : 0;
    for (unsigned i = 0; i < n; i++)
        follow(w, d->job, "push", i + 1, delivery_pushed(d, i));
    if (n > 0)
        LOG_DEBUG("push", F_STR("job", d->job->id),
                  F_STR("queue", w->lane->keys.queue),
                  F_INT("jobs", (int64_t)n));
}

void work_follow(struct work *w, const struct slot *s)
{
    const struct job *job = s->d->job;
    struct following f = {w, job, 0};
    struct errbuf eb;
    if (job->then.p == NULL)
        return;
    if (then_each(job->then, on_follower, &f, &eb) != 0) {
        (void)errbuf_wrap(&eb, ERR_INVALID, "job %s", job->id);
        work_bury(w, job->then.p, job->then.len, eb.text);
    } else if (f.n > 0) {
        LOG_DEBUG("then", F_STR("job", job->id),
                  F_STR("queue", w->lane->keys.queue),
                  F_INT("jobs", (int64_t)f.n));
    }
}
