/*
 * Intake: an element of the active list becomes a slot, and a job to run.
 *
 *     bytes ──parse──► judge ──► HELD ──► jobs channel
 *               │        └──► FINISHED (poison, no handler) or GIVE_BACK
 *               ├──no id, or after another job──► STAMPING ──answer──► judge
 *               └──no envelope──► FINISHED, to be buried
 *
 * BLMOVE and fetch_bulk cannot stamp: a job without id that came that way gets
 * one by the stamp script before it may run.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "worker/after.h"
#include "worker/cancel.h"
#include "worker/notes.h"

enum { SEND_MAX = 256 }; /* jobs that go into the channel at once */

/*
 * Settling a failure makes an envelope grow; it must still be read. The error
 * and nine earlier failures (failure.c) are that long when every byte of their
 * texts is escaped.
 */
#define ENVELOPE_SLACK (128 * 1024)

_Static_assert(sizeof((struct delivery){0}.queue) ==
                   sizeof((struct keys){0}.queue),
               "the name is copied whole");

static void on_stamped(void *arg, int err, const struct reply *r);
static void judge(struct lane *lane, struct slot *s) ON_LOOP;
static void send_stamp(struct lane *lane, struct slot *s) ON_LOOP;

/* It is not to be run. If the marks are to be read first, it waits for them. */
static void fail_slot(const struct lane *lane, struct slot *s,
                      enum verdict verdict, const char *class,
                      const char *message)
{
    struct outcome *o = &s->d->outcome;
    o->verdict = verdict;
    (void)snprintf(o->error_class, sizeof(o->error_class), "%s", class);
    buf_clear(&o->message);
    buf_str(&o->message, message);
    s->state = s->load > lane->cancelling.done ? SLOT_HELD : SLOT_FINISHED;
}

static void fail_unhandled(const struct lane *lane, struct slot *s)
{
    fail_slot(lane, s, VERDICT_PUT_OFF, "no_handler",
              "no handler for this type here");
}

/* Whether Redis is to know when it starts: most jobs cost nothing for that. */
static bool tells_start(const struct lane *lane, const struct job *job)
{
    struct unique u;
    if (job->keep_ms > 0)
        return true;
    return job->unique.p != NULL && unique_parse(job->unique, &u, NULL) == 0 &&
           lane_unlocks_at_start(lane, &u);
}

/*
 * Whether its expires_at has come, by Redis' clock. If not the pool looks once
 * more before it starts the handler.
 */
static bool has_expired(struct lane *lane, struct delivery *d)
{
    if (d->job->expires_at_ms == 0)
        return false;
    int64_t left_ms = d->job->expires_at_ms - lane_now_ms(lane);
    d->expires_boot_ms = clock_boot_ms() + left_ms;
    return left_ms <= 0;
}

/* What becomes of a job that is here and whole: s is not in the ledger yet. */
static void judge(struct lane *lane, struct slot *s)
{
    const struct worker_config *cfg = lane->agent->cfg;
    struct delivery *d = s->d;
    unsigned recovered = 0;
    if (d->job->recovered_count > 0)
        recovered = job_recoveries_since(d->job, lane_now_ms(lane) -
                                                     RECOVERY_WINDOW_MS);
    d->lane = lane;
    d->fence = cfg->fence ? s->fence : 0;
    d->tell_start = tells_start(lane, d->job);
    if (d->job->keep_ms > 0)
        d->ahead_ms = lane_now_ms(lane) - clock_wall_ms();
    d->good_until_ms = lane->good_until_ms;
    d->envelope_max = cfg->max_job_bytes;
    memcpy(d->queue, lane->keys.queue, sizeof(d->queue));
    lane_await_marks(lane, s);
    if (has_expired(lane, d)) {
        delivery_expire(d);
        s->state = SLOT_FINISHED;
        return;
    }
    if (cfg->max_recoveries > 0 && recovered >= cfg->max_recoveries) {
        char text[128];
        (void)snprintf(text, sizeof(text),
                       "recovered %u times within three days: its workers "
                       "died while they held it",
                       recovered);
        fail_slot(lane, s, VERDICT_DEAD, "poison", text);
        return;
    }
    if (d->outcome.verdict != VERDICT_NONE) { /* of the job it comes after */
        s->state = s->load > lane->cancelling.done ? SLOT_HELD : SLOT_FINISHED;
        return;
    }
    if (!handlers_lend(cfg->handlers, d)) {
        fail_unhandled(lane, s);
        return;
    }
    s->state =
        lane->agent->stage < AGENT_DRAINING && !lane->paused && !lane->going
            ? SLOT_HELD
            : SLOT_GIVE_BACK;
    s->recovered = recovered > 0;
    lane->wary = lane->wary || s->recovered;
    s->near = cfg->max_recoveries > 1 && recovered + 1 == cfg->max_recoveries;
    /* At most one, so that innocents are not condemned with the guilty. */
    if (s->near && lane->ledger.near > 0)
        s->state = SLOT_GIVE_BACK;
}

/* The envelope with a fresh id in front. */
static void stamp_text(struct job *job, struct buf *out)
{
    ulid_make(job->id);
    job_rewrite(job, NULL, 0, 0, out);
}

static struct slot *take_invalid(struct lane *lane, struct bytes raw,
                                 const char *why) ON_LOOP;

static struct slot *take_invalid(struct lane *lane, struct bytes raw,
                                 const char *why)
{
    struct slot *s = slot_new(raw.p, raw.len);
    s->invalid = mem_strdup(why);
    s->state = SLOT_FINISHED;
    ledger_append(&lane->ledger, s);
    return s;
}

struct slot *lane_take(struct lane *lane, struct bytes raw, int64_t fence)
{
    const struct worker_config *cfg = lane->agent->cfg;
    struct errbuf eb;
    struct job *job;
    struct slot *s;
    if (job_parse(raw.p, raw.len, cfg->max_job_bytes + ENVELOPE_SLACK, &job,
                  &eb) != 0)
        return take_invalid(lane, raw, eb.text);
    if (job->id[0] == '\0' && cfg->at_most_once) {
        struct buf out = {0};
        stamp_text(job, &out);
        job_free(job);
        s = lane_take(lane, (struct bytes){out.data, out.len}, fence);
        buf_done(&out);
        return s;
    }
    if (job->id[0] == '\0' ||
        (cfg->fence && fence == 0 && !cfg->at_most_once)) {
        job_free(job);
        s = slot_new(raw.p, raw.len);
        s->state = SLOT_STAMPING;
        ledger_append(&lane->ledger, s);
        send_stamp(lane, s);
        return s;
    }
    s = slot_of(delivery_new(job));
    s->fence = fence;
    judge(lane, s);
    bool asks = lane_waits_for_other(lane, s);
    if (asks)
        s->state = SLOT_STAMPING;
    ledger_append(&lane->ledger, s);
    if (asks)
        lane_ask_other(lane, s);
    return s;
}

void lane_judge_again(struct lane *lane, struct slot *s)
{
    ledger_set_state(&lane->ledger, s, SLOT_GIVE_BACK);
    judge(lane, s);
    bool asks = lane_waits_for_other(lane, s);
    enum slot_state state = asks ? SLOT_STAMPING : s->state;
    s->state = SLOT_GIVE_BACK;
    ledger_set_state(&lane->ledger, s, state);
    if (asks)
        lane_ask_other(lane, s);
}

struct stamping {
    struct lane *lane;
    struct slot *slot; /* in the ledger while the lane is up */
    struct buf now;
};

static void send_stamp(struct lane *lane, struct slot *s)
{
    struct stamping *st = mem_new(sizeof(*st));
    struct job *job = NULL;
    size_t max = lane->agent->cfg->max_job_bytes + ENVELOPE_SLACK;
    st->lane = lane;
    st->slot = s;
    if (job_parse(s->raw, s->raw_len, max, &job, NULL) == 0 &&
        job->id[0] == '\0')
        stamp_text(job, &st->now);
    job_free(job);
    if (queue_stamp(
            lane->cmd, &lane->keys, lane->id, ledger_index(&lane->ledger, s),
            (struct bytes){s->raw, s->raw_len},
            (struct bytes){st->now.data, st->now.len}, on_stamped, st) != 0) {
        buf_done(&st->now);
        free(st);
    }
}

static void on_stamped(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct stamping *st = arg;
    struct lane *lane = st->lane;
    struct slot *s = st->slot;
    struct errbuf eb;
    int64_t fence = 0;
    int rc = queue_stamp_result(err, r, &fence, &eb);
    if (rc != 0) {
        /* s may be gone with its ledger; the next rebind starts it anew */
        lane_failed(lane, rc, &eb);
    } else {
        struct job *job;
        const char *p = st->now.len > 0 ? st->now.data : s->raw;
        size_t len = st->now.len > 0 ? st->now.len : s->raw_len;
        size_t max = lane->agent->cfg->max_job_bytes + 2 * ENVELOPE_SLACK;
        s->fence = fence;
        if (job_parse(p, len, max, &job, &eb) != 0) {
            (void)errbuf_wrap(&eb, ERR_INVALID, "stamped");
            lane_failed(lane, ERR_MISSING, &eb);
        } else {
            ledger_replace(&lane->ledger, s, delivery_new(job));
            lane_judge_again(lane, s);
            agent_turn(lane->agent);
        }
    }
    buf_done(&st->now);
    free(st);
}

/*
 * A fetch brings many at once, and recovered jobs may be among them: then no
 * more than the threads can run stay here to be condemned with them. Those in
 * front of the first recovered one stay, and it goes back if they are as many:
 * the next fetch begins with it.
 */
void lane_spare_innocents(struct lane *lane)
{
    struct ledger *l = &lane->ledger;
    size_t n = 0, most = SIZE_MAX, threads = lane->agent->cfg->threads;
    if (l->recovered == 0 || lane->agent->cfg->at_most_once)
        return;
    for (struct slot *s = l->first; s != NULL; s = s->next) {
        if (s->state == SLOT_FINISHED || s->state == SLOT_GIVE_BACK)
            continue;
        if (s->recovered && most == SIZE_MAX)
            most = n > threads ? n : threads;
        if (n >= most && s->state == SLOT_HELD)
            ledger_set_state(l, s, SLOT_GIVE_BACK);
        else
            n++;
    }
}

/* NULL if none; mostly they stand together at the end. */
static struct slot *first_held(const struct ledger *l)
{
    size_t left = l->count[SLOT_HELD];
    struct slot *s = l->last;
    while (left > 0 && (s->state != SLOT_HELD || --left > 0))
        s = s->prev;
    return l->count[SLOT_HELD] > 0 ? s : NULL;
}

static bool may_go(const struct lane *lane, const struct slot *s)
{
    const struct ledger *l = &lane->ledger;
    if (s->state != SLOT_HELD || s->load > lane->cancelling.done ||
        s->d->outcome.verdict != VERDICT_NONE)
        return false;
    /* What has ended, or is given back, must be out of its reach. */
    return !s->near || (lane->unacked == NULL && l->count[SLOT_FINISHED] == 0 &&
                        l->count[SLOT_GIVE_BACK] == 0);
}

void lane_send_held(struct lane *lane)
{
    struct agent *a = lane->agent;
    struct slot *chosen[SEND_MAX], *s = NULL;
    void *items[SEND_MAX];
    if (a->stage < AGENT_DRAINING && !lane->paused && !lane->going)
        s = first_held(&lane->ledger);
    while (s != NULL) {
        unsigned n = 0;
        for (; s != NULL && n < SEND_MAX; s = s->next) {
            if (may_go(lane, s)) {
                items[n] = s->d;
                chosen[n++] = s;
            }
        }
        unsigned sent = chan_try_send_many(a->jobs, items, n);
        assert(sent <= n);
        if (sent > 0 && a->out == 0)
            window_busy(&a->window, clock_us());
        a->out += sent;
        a->sent += sent;
        lane->out += sent;
        for (unsigned i = 0; i < sent; i++)
            ledger_set_state(&lane->ledger, chosen[i], SLOT_OUT);
        if (sent < n)
            return;
    }
}

/* A slot whose delivery is ours. Returns whether it has another state now. */
static bool lend_again(struct slot *s)
{
    struct delivery *d = s->d;
    struct lane *lane = d->lane;
    struct slot changed = *s;
    if (d->outcome.verdict != VERDICT_NONE ||
        handlers_lend(lane->agent->cfg->handlers, d))
        return false;
    fail_unhandled(lane, &changed);
    bool moved = changed.state != s->state;
    ledger_set_state(&lane->ledger, s, changed.state);
    return moved;
}

static bool lend_waiting(void *arg, struct delivery *d)
{
    (void)arg;
    return lend_again(d->slot);
}

void agent_lend_again(struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        struct ledger *l = &a->lanes[i]->ledger;
        for (struct slot *s = l->first; s != NULL; s = s->next) {
            if (s->state == SLOT_HELD)
                (void)lend_again(s);
        }
    }
    agent_recall(a, lend_waiting, NULL);
}
