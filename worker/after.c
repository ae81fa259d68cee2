/*
 * After: a job that is to run when another one is done.
 *
 * The other one is kept, so its state can be read. It is read each time that
 * the job comes to a worker: done, and the job may run; ended in another way,
 * or not kept, and the job is dead, since what it was to follow will not come;
 * otherwise it comes again later. How much later grows with how long it has
 * waited, so that a short wait is told soon and a long one costs little.
 *
 *     judged, may run ──► STAMPING: the state is asked for ──► judged again
 *
 * A slot that is STAMPING is touched by nobody else, and a rebind takes the
 * job in anew. A lane at most once keeps its slots then, and could not tell
 * whether its question is under way: it does not wait for jobs.
 *
 * Thread: event loop only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/redis/queue_news.h"
#include "worker/after.h"

enum { LOOK_MIN_MS = 250, LOOK_MAX_MS = 10 * 1000, LOOK_PART = 10 };

struct asking {
    struct lane *lane; /* borrowed */
    struct slot *slot; /* in the ledger while the answer is one of Redis */
};

static void on_state(void *arg, int err, const struct reply *r);

/* The outcome of a job that is not run now. */
static void tell(struct slot *s, enum verdict v, const struct job_after *after,
                 const char *what)
{
    struct outcome *o = &s->d->outcome;
    o->verdict = v;
    (void)snprintf(o->error_class, sizeof(o->error_class), "after");
    buf_clear(&o->message);
    buf_printf(&o->message, "after %s/%s, which %s", after->queue, after->id,
               what);
}

static void read_after(const struct lane *lane, const struct slot *s,
                       struct job_after *ret)
{
    /* Of a bad one, which no push lets pass, the id is "" and never kept. */
    if (job_after_read(s->d->job, ret, NULL) != 0)
        *ret = (struct job_after){0};
    if (ret->queue[0] == '\0')
        (void)snprintf(ret->queue, sizeof(ret->queue), "%s", lane->keys.queue);
}

bool lane_waits_for_other(const struct lane *lane, struct slot *s)
{
    struct job_after after;
    if (s->state != SLOT_HELD || s->d->job->after.p == NULL || s->followed ||
        s->d->outcome.verdict != VERDICT_NONE)
        return false;
    if (!lane->agent->cfg->at_most_once)
        return true;
    read_after(lane, s, &after);
    tell(s, VERDICT_DEAD, &after,
         "is not waited for by a worker that delivers at most once");
    s->state = SLOT_FINISHED;
    return false;
}

void lane_ask_other(struct lane *lane, struct slot *s)
{
    struct asking *q = mem_new(sizeof(*q));
    struct job_after after;
    struct keys keys;
    read_after(lane, s, &after);
    keys_init(&keys, lane->keys.ns, after.queue);
    *q = (struct asking){lane, s};
    if (queue_job_state(lane->cmd, &keys, after.id, on_state, q) != 0)
        free(q); /* down: the rebind takes the job in anew */
}

/* Each time a tenth longer, and so a tenth of the time that it has waited. */
static int64_t look_in_ms(const struct job *job)
{
    int64_t ms = LOOK_MIN_MS;
    for (int64_t n = job->snoozes; n > 0 && ms < LOOK_MAX_MS; n--)
        ms += ms / LOOK_PART;
    return ms < LOOK_MAX_MS ? ms : LOOK_MAX_MS;
}

static void judge_by(const struct lane *lane, struct slot *s, const char *state)
{
    static const char *const ends[] = {"dead", "cancelled", "expired"};
    struct job_after after;
    read_after(lane, s, &after);
    s->followed = true;
    if (state == NULL) {
        tell(s, VERDICT_DEAD, &after, "is not kept, or not any longer");
        return;
    }
    if (strcmp(state, "done") == 0)
        return;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char what[32];
        (void)snprintf(what, sizeof(what), "is %s", ends[i]);
        if (strcmp(state, ends[i]) == 0) {
            tell(s, VERDICT_DEAD, &after, what);
            return;
        }
    }
    tell(s, VERDICT_SNOOZE, &after, "has not ended");
    s->d->outcome.delay_ms = look_in_ms(s->d->job);
}

/* Redis would not tell: that is no end of the other one. */
static void put_off(const struct lane *lane, struct slot *s, const char *why)
{
    struct job_after after;
    read_after(lane, s, &after);
    s->followed = true;
    LOG_WARN("after", F_STR("job", s->d->job->id),
             F_STR("queue", lane->keys.queue), F_STR("after", after.id),
             F_STR("error", why), F_STR("so", "it is looked at again later"));
    tell(s, VERDICT_SNOOZE, &after, "could not be looked at");
    s->d->outcome.delay_ms = look_in_ms(s->d->job);
}

static void on_state(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct asking *q = arg;
    const char *state = NULL;
    size_t n;
    if (err == 0) {
        (void)reply_str(r, &state, &n);
        if (reply_is_error(r))
            put_off(q->lane, q->slot, reply_error(r));
        else
            judge_by(q->lane, q->slot, state);
        lane_judge_again(q->lane, q->slot);
        agent_turn(q->lane->agent);
    }
    free(q);
}
