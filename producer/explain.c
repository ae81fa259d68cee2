/*
 * Explain: the first cause that keeps a job from running.
 *
 * Causes are asked in the order in which they would have to be taken away: a
 * job behind others in a paused queue waits because of the pause.
 *
 * Thread: any.
 */
#include "producer/explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "producer/age.h"
#include "producer/failure.h"

/* " since 5m" */
static void add_since(const struct known *k, struct buf *b, int64_t at_ms)
{
    char age[32];

    if (at_ms > 0)
        buf_printf(b, " since %s", age_format(k->now_ms - at_ms, age));
}

/* " 5m ago" */
static void add_ago(const struct known *k, struct buf *b, int64_t at_ms)
{
    char age[32];

    if (at_ms > 0)
        buf_printf(b, " %s ago", age_format(k->now_ms - at_ms, age));
}

/* " in 5m" */
static void add_in(const struct known *k, struct buf *b, int64_t at_ms)
{
    char age[32];

    buf_printf(b, " in %s", age_format(at_ms - k->now_ms + 999, age));
}

/* ": exit: no", of the envelope if it is at hand */
static void add_error(const struct known *k, struct buf *b)
{
    struct buf error = {0};

    if (k->found.job)
        failure_append(k->found.job, &error);
    if (error.len == 0 && k->kept.values[KEPT_error])
        failure_append_text(k->kept.values[KEPT_error],
                            k->kept.lens[KEPT_error], &error);
    if (error.len > 0) {
        buf_str(b, ": ");
        buf_append(b, error.data, error.len);
    }
    buf_done(&error);
}

static void add_worker(const struct known *k, struct buf *b, const char *lane)
{
    char worker[192];

    buf_printf(b, " worker %s", lane_worker(lane, worker));
    if (k->serving.host[0] != '\0')
        buf_printf(b, " on host %s", k->serving.host);
}

const char *known_type(const struct known *k)
{
    if (k->found.job)
        return k->found.job->type;
    return k->kept.values[KEPT_type] ? k->kept.values[KEPT_type] : "";
}

/* ---- jobs that are over ---- */

static const char *explain_end(const struct known *k, struct buf *b)
{
    int64_t ended_ms = kept_int(&k->kept, KEPT_ended_at, 0);

    if (kept_is(&k->kept, "done")) {
        buf_str(b, "is done");
        add_since(k, b, ended_ms);
        return "done";
    }
    if (kept_is(&k->kept, "cancelled")) {
        buf_str(b, "was cancelled");
        add_ago(k, b, ended_ms);
        return "cancelled";
    }
    if (kept_is(&k->kept, "expired")) {
        buf_str(b, "expired");
        add_ago(k, b, ended_ms);
        buf_str(b, ": it was not started in time");
        return "expired";
    }
    buf_str(b, "is dead");
    add_since(k, b, ended_ms);
    add_error(k, b);
    return "dead";
}

/* ---- jobs that a worker holds ---- */

static const char *explain_loss(const struct known *k, struct buf *b,
                                const char *lane)
{
    buf_str(b, "its");
    add_worker(k, b, lane);
    if (k->found.lease_ms > 0) {
        buf_str(b, " is dead: its lease ran out");
        add_ago(k, b, k->found.lease_ms);
    } else {
        buf_str(b, " is gone");
    }
    if (k->serving.live > 0)
        buf_str(b, "; another one is about to recover the job");
    else
        buf_printf(b,
                   "; no worker serves queue %s, which would recover the job",
                   k->name.queue);
    return "recovering";
}

/*
 * Leases are renewed every third of their term: of one that ends within half of
 * it the worker is late, and probably gone.
 */
static bool is_silent(const struct known *k)
{
    return k->found.lease_ms - k->now_ms < k->serving.term_ms / 2;
}

static const char *explain_silence(const struct known *k, struct buf *b)
{
    int64_t heard_ms = k->found.lease_ms - k->serving.term_ms;
    char age[32];

    buf_str(b, "its");
    add_worker(k, b, k->found.lane);
    buf_printf(b,
               " has not been heard of for %s; if it is dead, the job is "
               "recovered",
               age_format(k->now_ms - heard_ms, age));
    add_in(k, b, k->found.lease_ms);
    return "silent";
}

static const char *explain_held(const struct known *k, struct buf *b)
{
    const struct found *f = &k->found;
    int64_t since_ms = k->serving.since_ms;

    if (f->lease_ms <= k->now_ms)
        return explain_loss(k, b, f->lane);
    if (is_silent(k))
        return explain_silence(k, b);
    if (since_ms == 0 && kept_is(&k->kept, "active"))
        since_ms = kept_int(&k->kept, KEPT_started_at, 0);
    if (k->marked) {
        buf_str(b, "is being cancelled: held by");
        add_worker(k, b, f->lane);
        return "cancelling";
    }
    if (since_ms > 0) {
        buf_str(b, "runs on");
        add_worker(k, b, f->lane);
        add_since(k, b, since_ms);
        return "running";
    }
    buf_str(b, "held by");
    add_worker(k, b, f->lane);
    buf_str(b, ", which runs it next or has just begun");
    return "held";
}

/* ---- jobs that wait ---- */

/* What keeps all jobs of the queue, or of this type, from running. */
static const char *explain_queue(const struct known *k, struct buf *b)
{
    const struct serving *s = &k->serving;
    const char *queue = k->name.queue;

    if (k->paused != 0) {
        buf_printf(b, "queue %s is paused", queue);
        add_since(k, b, k->paused_at_ms);
        if (k->paused_by)
            buf_printf(b, " by %s", k->paused_by);
        if (k->paused_reason)
            buf_printf(b, " because of %s", k->paused_reason);
        if (k->paused > 1) {
            buf_str(b, ", which ends");
            add_in(k, b, k->paused);
        }
        return "paused";
    }
    if (s->live == 0) {
        buf_printf(b, "no worker serves queue %s", queue);
        return "no_worker";
    }
    if (s->able == 0) {
        buf_printf(
            b, "no worker of queue %s (%" PRId64 ") has a handler for type %s",
            queue, s->live, known_type(k));
        return "no_handler";
    }
    if (s->awake == 0) {
        buf_printf(b, "the workers of queue %s are quiet or stop", queue);
        return "quiet";
    }
    return NULL;
}

static void add_place(const struct known *k, struct buf *b)
{
    if (!k->found.job)
        buf_printf(b, "waits behind more than %d jobs", FIND_READY_MAX);
    else if (k->found.ahead == 0)
        buf_str(b, "is next");
    else
        buf_printf(b, "waits behind %" PRId64 " job%s", k->found.ahead,
                   k->found.ahead == 1 ? "" : "s");
}

static const char *explain_ready(const struct known *k, struct buf *b)
{
    const struct serving *s = &k->serving;
    const struct job *job = k->found.job;

    if (k->marked) {
        buf_str(b, "is marked to be cancelled: who takes it will not run it");
        return "marked";
    }
    if (job && job->expires_at_ms > 0 && job->expires_at_ms <= k->now_ms) {
        buf_str(b, "its time is over");
        add_since(k, b, job->expires_at_ms);
        buf_str(b, ": who takes it will not run it");
        return "expiring";
    }
    const char *reason = explain_queue(k, b);
    if (reason)
        return reason;
    add_place(k, b);
    if (s->full == s->awake) {
        buf_printf(b, "; the worker%s full: %" PRId64 " thread%s busy",
                   s->awake == 1 ? " is" : "s are", s->threads,
                   s->threads == 1 ? "" : "s");
        return "full";
    }
    return "waiting";
}

/* scheduled, or to be tried again */
static const char *explain_later(const struct known *k, struct buf *b,
                                 bool retry, int64_t due_ms)
{
    const struct job *job = k->found.job;
    bool put_off = job && job->put_offs > 0;

    if (due_ms <= k->now_ms) {
        buf_str(b, "is due");
        add_since(k, b, due_ms);
        buf_str(b, ": ");
        const char *reason = explain_queue(k, b);
        if (!reason)
            buf_str(b, "it is about to be moved to the others");
        return reason ? reason : "due";
    }
    if (!retry) {
        buf_str(b, "is due");
        add_in(k, b, due_ms);
        return "scheduled";
    }
    buf_str(b, put_off ? "put off, due" : "failed, is tried again");
    add_in(k, b, due_ms);
    add_error(k, b);
    return put_off ? "put_off" : "retry";
}

static const char *explain_found(const struct known *k, struct buf *b)
{
    switch (k->found.place) {
    case PLACE_ACTIVE:
        return explain_held(k, b);
    case PLACE_SCHEDULED:
    case PLACE_RETRY:
        return explain_later(k, b, k->found.place == PLACE_RETRY,
                             k->found.at_ms);
    case PLACE_DEAD:
        buf_str(b, "is dead");
        add_since(k, b, k->found.at_ms);
        add_error(k, b);
        return "dead";
    case PLACE_OUTBOX:
        buf_str(b, "is on its way to another queue");
        return "outbox";
    case PLACE_READY:
        return explain_ready(k, b);
    case PLACE_NONE:
        break;
    }
    return NULL;
}

/* Kept, not over, and in no place that was looked at. */
static const char *explain_missed(const struct known *k, struct buf *b)
{
    const char *state = k->kept.values[KEPT_state];

    if ((k->found.cut & PLACE_READY) != 0)
        return explain_ready(k, b);
    if (kept_is(&k->kept, "active") && k->kept.values[KEPT_lane] && !k->leased)
        return explain_loss(k, b, k->kept.values[KEPT_lane]);
    buf_printf(b,
               "was last told to be %s, and was not found: it moves, or is "
               "gone",
               state);
    return "missed";
}

void explain(const struct known *k, struct verdict *ret)
{
    struct buf *b = &ret->text;

    *ret = (struct verdict){0};
    if (kept_is_over(&k->kept)) {
        ret->reason = explain_end(k, b);
    } else if (k->found.job) {
        ret->reason = explain_found(k, b);
    } else if (k->kept.values[KEPT_state]) {
        ret->reason = explain_missed(k, b);
    } else {
        ret->reason = "not_found";
        buf_str(b, "not found: not kept, or gone");
        if ((k->found.cut & PLACE_READY) != 0)
            buf_printf(b, ", or behind more than %d ready jobs",
                       FIND_READY_MAX);
    }
}
