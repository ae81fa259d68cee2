/*
 * Cancel: a lane's copy of the marks, and what it does to jobs.
 *
 *     version of the marks differs ──► load ──► held: ended, unrun
 *     a job that came is marked   ──►   │  ──► in the channel: taken back,
 * ended jobs came with a new version ──►  │  ──► running: told to stop
 *
 * Fetches and renewals tell the version of the marks. Jobs that came with
 * another one than that of the copy wait for the next load, and so do those
 * that the copy has: a mark is believed only of a set that was read after the
 * job had come, since its id may be a new job's by now. So a job that was
 * marked before it was fetched does not run. (BLMOVE tells no version: a job
 * that comes by it right after its mark may begin, and is stopped.)
 *
 * The mark goes in the step that settles the job. Until then it stands in
 * Redis, so that a job whose lane dies is cancelled by the next one.
 *
 * Thread: event loop only.
 */
#include "worker/cancel.h"

#include <assert.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/queue_news.h"

enum {
    LOAD_MS = 50,        /* between loads that no job waits for */
    OLD_MS = 3600 * 1000 /* of a copy: marks in it run out */
};

static void on_marks(void *arg, int err, const struct reply *r);

void lane_await_marks(struct lane *lane, struct slot *s)
{
    struct cancelling *c = &lane->cancelling;
    s->load = 0;
    if (c->told == c->loaded && !marks_has(&c->marks, s->d->job->id))
        return;
    s->load = c->needed = c->sent + 1;
}

/*
 * Between two loads. Many marks are many bytes for each lane of the queue, and
 * while they come and go each lane reads them again and again.
 */
static int64_t pause_ms(const struct cancelling *c, bool needed)
{
    int64_t n = (int64_t)c->marks.count;
    return needed ? n / 50 : LOAD_MS + n / 20;
}

void lane_look_cancelled(struct lane *lane)
{
    struct cancelling *c = &lane->cancelling;
    bool needed = c->needed > c->done;
    if (lane->state != LANE_UP || c->sent > c->done)
        return;
    int64_t since_ms = clock_ms() - c->asked_ms;
    bool old = c->marks.count > 0 && since_ms > OLD_MS;
    if (!needed && !old && (c->told == c->loaded || c->told == CANCEL_UNTOLD))
        return;
    int64_t wait_ms = pause_ms(c, needed) - since_ms;
    if (c->asked_ms > 0 && wait_ms > 0) {
        timer_in(lane->marks_timer, wait_ms);
        return;
    }
    if (queue_marks(lane->cmd, &lane->keys, MARKS_MAX, on_marks, lane) != 0)
        return;
    c->sent++;
    c->asked_ms = clock_ms();
    c->asked_version = c->told;
    c->asked_taken = lane->ledger.taken;
}

void on_marks_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    lane_look_cancelled(arg);
}

/* ---- what a mark does ---- */

static void end_unrun(struct lane *lane, struct slot *s) ON_LOOP;

static void end_unrun(struct lane *lane, struct slot *s)
{
    struct outcome *o = &s->d->outcome;
    o->verdict = VERDICT_CANCEL;
    (void)snprintf(o->error_class, sizeof(o->error_class), "cancelled");
    ledger_set_state(&lane->ledger, s, SLOT_FINISHED);
}

/* It was there when the copy was asked for, so the mark is meant for it. */
static bool is_meant(const struct lane *lane, const struct slot *s)
{
    const struct cancelling *c = &lane->cancelling;
    return s->d != NULL && s->number <= c->asked_taken &&
           marks_has(&c->marks, s->d->job->id);
}

void lane_judge_cancelled(const struct lane *lane, struct delivery *d)
{
    enum verdict *v = &d->outcome.verdict;
    bool told = atomic_load(&d->cancel) == CANCEL_JOB;
    if (told && (*v == VERDICT_NONE || *v == VERDICT_RELEASE))
        *v = VERDICT_CANCEL;
    if (*v != VERDICT_RETRY && *v != VERDICT_PUT_OFF && *v != VERDICT_SNOOZE)
        return;
    /* It would wait, for nothing but to be cancelled. */
    if (told || is_meant(lane, d->slot))
        *v = VERDICT_CANCEL;
}

/* arg: the lane. A long job may be in front of it in the channel. */
static bool ends_unrun(void *arg, struct delivery *d)
{
    loop_role_assert();
    struct lane *lane = arg;
    if (d->lane != lane || !is_meant(lane, d->slot))
        return false;
    end_unrun(lane, d->slot);
    return true;
}

static void stop(struct lane *lane, struct slot *s) ON_LOOP;

static void stop(struct lane *lane, struct slot *s)
{
    if (atomic_load(&s->d->cancel) != CANCEL_NONE)
        return; /* a second wake would mean KILL */
    LOG_INFO("cancel", F_STR("job", s->d->job->id),
             F_STR("queue", lane->keys.queue), F_STR("so", "stopping it"));
    pool_cancel(lane->agent->pool, s->d, CANCEL_JOB);
    agent_look_soon(lane->agent);
}

/* Ends the jobs of this lane that are marked. */
static void apply(struct lane *lane) ON_LOOP;

static void apply(struct lane *lane)
{
    struct cancelling *c = &lane->cancelling;
    bool out = false;
    for (struct slot *s = lane->ledger.first; s != NULL; s = s->next) {
        if (s->d == NULL || !marks_has(&c->marks, s->d->job->id))
            continue;
        if (s->number > c->asked_taken)
            c->needed = c->sent + 1;
        else if (s->state == SLOT_HELD)
            end_unrun(lane, s);
        else if (s->state == SLOT_FINISHED)
            lane_judge_cancelled(lane, s->d);
        else
            out = out || s->state == SLOT_OUT;
    }
    if (!out)
        return;
    agent_recall(lane->agent, ends_unrun, lane);
    for (struct slot *s = lane->ledger.first; s != NULL; s = s->next) {
        if (s->state == SLOT_OUT && is_meant(lane, s))
            stop(lane, s);
    }
}

/* What was not to be run and has waited for the marks is none of them. */
static void finish_unrun(struct lane *lane)
{
    for (struct slot *s = lane->ledger.first; s != NULL; s = s->next) {
        if (s->state == SLOT_HELD && s->d->outcome.verdict != VERDICT_NONE &&
            s->load <= lane->cancelling.done)
            ledger_set_state(&lane->ledger, s, SLOT_FINISHED);
    }
}

/* ---- the set ---- */

/* Of a mark of more than seven days nobody knows any more. */
static void take_marks(struct lane *lane, const struct reply *r)
{
    struct marks *m = &lane->cancelling.marks;
    int64_t oldest_ms = lane_now_ms(lane) - QUEUE_MARK_MS;
    marks_done(m);
    for (size_t i = 0; i + 1 < reply_len(r); i += 2) {
        struct bytes id;
        int64_t at_ms;
        if (queue_marks_id(r, i, &id, &at_ms) && at_ms >= oldest_ms)
            marks_add(m, id.p, id.len);
    }
}

static void on_marks(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct cancelling *c = &lane->cancelling;
    struct errbuf eb;
    if (err != 0) { /* the connection is gone: it is asked for again */
        c->sent = c->done;
        return;
    }
    c->done++;
    c->loaded = c->asked_version;
    if (queue_marks_result(err, r, &eb) != 0) {
        if (!c->refused_said)
            LOG_WARN("cancel", F_STR("queue", lane->keys.queue),
                     F_STR("error", eb.text),
                     F_STR("so", "no job is cancelled"));
        c->refused_said = true;
        marks_done(&c->marks);
    } else {
        take_marks(lane, r);
        apply(lane);
    }
    finish_unrun(lane);
    agent_turn(lane->agent);
}
