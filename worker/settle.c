/*
 * Settle: tells Redis how jobs ended.
 *
 * What has finished goes in one call, when none is under way: the run of
 * finished slots at the front by count, the others by value, and what
 * comes of them (outcome.c) with it, so that each job ends in one atomic step.
 * The slots leave the ledger when the call is sent, as they leave the list when
 * it runs; until the answer is there they wait in a batch, for the case that a
 * rebind finds them still in the list.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/notes.h"
#include "worker/settle_priv.h"

enum {
    FRONT_MS = 5,    /* then those behind the front do not wait */
    GATHER_MAX = 100 /* finished jobs that wait for an answer */
};

const char *const counter_names[COUNTERS] = {
    "done",    "retried",   "dead",    "put_off",  "discarded", "invalid",
    "snoozed", "cancelled", "expired", "released", "stale"};

static void on_settled(void *arg, int err, const struct reply *r);
static void on_released(void *arg, int err, const struct reply *r);
static void gather(struct work *w, struct batch *b) ON_LOOP;

/* ---- batches ---- */

static struct batch *batch_begin(struct lane *lane, bool release)
{
    struct batch *b = mem_new(sizeof(*b));
    b->lane = lane;
    b->release = release;
    if (lane->unacked_last != NULL)
        lane->unacked_last->next = b;
    else
        lane->unacked = b;
    lane->unacked_last = b;
    return b;
}

void batch_free(struct batch *b)
{
    while (b->slots != NULL) {
        struct slot *s = b->slots;
        b->slots = s->next;
        slot_free(s);
    }
    free(b->told);
    free(b);
}

/* Mostly the oldest one; a call that found its script not loaded is later. */
static void batch_end(struct lane *lane, struct batch *b) ON_LOOP;

static void batch_end(struct lane *lane, struct batch *b)
{
    struct batch **at = &lane->unacked, *before = NULL;
    while (*at != b) {
        assert(*at != NULL);
        before = *at;
        at = &before->next;
    }
    *at = b->next;
    if (lane->unacked_last == b)
        lane->unacked_last = before;
    for (const struct slot *s = b->slots; s != NULL; s = s->next)
        lane->counts[b->release ? C_RELEASED : s->counter]++;
    if (!b->release)
        lane_note_times(lane, b->slots);
    lane->outbox_filled = lane->outbox_filled || b->outbox;
    batch_free(b);
}

/* ---- the call ---- */

static void work_begin(struct work *w, struct lane *lane, unsigned max)
{
    *w = (struct work){.lane = lane, .now_ms = lane_now_ms(lane), .max = max};
}

static void work_end(struct work *w)
{
    for (unsigned i = 0; i < w->call.add_count; i++)
        buf_done(&w->envelopes[i]);
    free(w->refs);
    free(w->adds);
    free(w->envelopes);
    free(w->keeps);
    free(w->news);
    free(w->unlocks);
    free(w->locks);
    free(w->marks);
}

void work_count(struct work *w, const char *name, int64_t n)
{
    unsigned i = 0;
    while (i < w->call.count_count && strcmp(w->counts[i].name, name) != 0)
        i++;
    if (i == COUNTS_MAX)
        return;
    if (i == w->call.count_count)
        w->counts[w->call.count_count++] = (struct settle_count){name, 0};
    w->counts[i].n += n;
}

struct buf *work_envelope(struct work *w)
{
    const unsigned n = w->call.add_count;
    if (n == w->add_room) {
        w->add_room = n == 0 ? w->max : 2 * n;
        w->adds = mem_resize(w->adds, w->add_room * sizeof(*w->adds));
        w->envelopes =
            mem_resize(w->envelopes, w->add_room * sizeof(*w->envelopes));
        memset(&w->envelopes[n], 0, (w->add_room - n) * sizeof(*w->envelopes));
    }
    buf_clear(&w->envelopes[n]);
    return &w->envelopes[n];
}

void work_put(struct work *w, enum settle_where where, int64_t delay_ms)
{
    const struct buf *b = &w->envelopes[w->call.add_count];
    w->adds[w->call.add_count++] = (struct settle_add){
        .where = where, .delay_ms = delay_ms, .envelope = {b->data, b->len}};
    w->bytes += b->len;
}

/* The parts of the call; what was not needed is NULL, and none of it. */
static void work_finish(struct work *w, struct batch *b, bool times) ON_LOOP;

static void work_finish(struct work *w, struct batch *b, bool times)
{
    for (unsigned c = 0; c < SETTLE_COUNTERS; c++) {
        if (w->ended[c] > 0)
            work_count(w, counter_names[c], w->ended[c]);
    }
    if (w->pushed > 0)
        work_count(w, "pushed", w->pushed);
    if (w->sent > 0)
        work_count(w, "sent", w->sent);
    if (times || lane_times_due(w->lane, w->now_ms))
        work_tell_times(w, b);
    b->outbox = w->sent > 0;
    w->call.selective = w->refs;
    w->call.adds = w->adds;
    w->call.keeps = w->keeps;
    w->call.unlocks = w->unlocks;
    w->call.marks = w->marks;
    w->call.counts = w->counts;
}

static struct slot **chain(struct slot **end, struct slot *s)
{
    *end = s;
    s->next = NULL;
    return &s->next;
}

/* Takes finished slots off the ledger and into the batch and the call. */
static void gather(struct work *w, struct batch *b)
{
    struct ledger *l = &w->lane->ledger;
    struct slot *chosen[QUEUE_BATCH_MAX];
    size_t front = ledger_front_finished(l, w->max, NULL), i = 0, n = 0;
    struct slot *s = l->first;
    for (; i < front && work_fits(w, s); i++, s = s->next) {
        work_add(w, s);
        w->call.last = (struct ref){{s->raw, s->raw_len}, i};
    }
    w->call.cumulative = (unsigned)i;
    bool whole = i == front;
    for (; whole && s != NULL && i + n < w->max; s = s->next, front++) {
        if (s->state != SLOT_FINISHED)
            continue;
        if (!work_fits(w, s))
            break;
        work_add(w, s);
        if (w->refs == NULL)
            w->refs = mem_new(w->max * sizeof(*w->refs));
        w->refs[n] = (struct ref){{s->raw, s->raw_len}, front};
        w->bytes += s->raw_len <= REF_BYTES_MAX ? s->raw_len : 64;
        chosen[n++] = s;
    }
    w->call.selective_count = (unsigned)n;
    struct slot **end = &b->slots;
    while (i-- > 0)
        end = chain(end, ledger_shift(l));
    for (i = 0; i < n; i++) {
        ledger_remove(l, chosen[i]);
        end = chain(end, chosen[i]);
    }
}

static void settle_some(struct lane *lane, unsigned n, bool times) ON_LOOP;

static void settle_some(struct lane *lane, unsigned n, bool times)
{
    struct work w;
    work_begin(&w, lane, n);
    struct batch *b = batch_begin(lane, false);
    gather(&w, b);
    work_finish(&w, b, times);
    if (lane->agent->cfg->at_most_once) /* there is no list to take them off */
        w.call.cumulative = w.call.selective_count = 0;
    /* Not sent means down: rebind will find them in the list. */
    (void)queue_settle(lane->cmd, &lane->keys, lane->id, &w.call, on_settled,
                       b);
    work_end(&w);
}

/*
 * Whether the job in front is a long one, so that those behind it are to be
 * settled one by one. Mostly it ends in a moment, and they go by count.
 */
static bool front_is_long(struct lane *lane, const struct slot *front)
{
    int64_t now_us = clock_us();
    if (front->number != lane->front_number) {
        lane->front_number = front->number;
        lane->front_since_us = now_us;
    }
    return now_us - lane->front_since_us >= FRONT_MS * 1000LL;
}

/*
 * How many jobs the next call may settle, 0: none yet. While a call is under
 * way what finishes gathers for the next one, as small segments do in TCP
 * (RFC 896): the busier Redis, the fewer the calls. Many need not wait, so that
 * a long round trip does not hold up the lane.
 */
static unsigned due(struct lane *lane) ON_LOOP;

static unsigned due(struct lane *lane)
{
    size_t n = lane->ledger.count[SLOT_FINISHED];
    if (n > QUEUE_BATCH_MAX)
        n = QUEUE_BATCH_MAX;
    if (n == 0 || (n < GATHER_MAX && lane->unacked != NULL))
        return 0;
    const struct slot *front;
    size_t in_front = ledger_front_finished(&lane->ledger, n, &front);
    if (in_front < n && !lane->agent->cfg->at_most_once &&
        !front_is_long(lane, front)) {
        if (!evtimer_pending(lane->settle_timer, NULL))
            timer_in(lane->settle_timer, FRONT_MS);
        n = in_front;
    }
    return n >= GATHER_MAX || lane->unacked == NULL ? (unsigned)n : 0;
}

void lane_settle(struct lane *lane)
{
    if (lane->state != LANE_UP)
        return;
    /* After a suspension the lease may be gone: ask before telling. */
    if (clock_boot_ms() - lane->renewed_boot_ms > lane->agent->cfg->lease_ms) {
        if (!lane->renewing)
            timer_in(lane->renew_timer, 0);
        return;
    }
    lane_send_notes(lane);
    unsigned n;
    while (lane->state == LANE_UP && (n = due(lane)) > 0)
        settle_some(lane, n, false);
    lane_release(lane);
}

void lane_tell_times(struct lane *lane, bool all)
{
    if (lane->state == LANE_UP && lane->unacked == NULL &&
        (all ? lane->times.runs > 0 : lane_times_due(lane, lane_now_ms(lane))))
        settle_some(lane, 0, true);
}

void on_settle_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    agent_turn(lane->agent);
}

static void on_settled(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct lane *lane = b->lane;
    struct errbuf eb;
    int rc = queue_settle_result(err, r, &eb);
    if (rc != 0) {
        /* Told with the time a refusal comes late: the rest of it has run. */
        bool counted = err == 0 && reply_len(r) == 2;
        b->not_run = rc == ERR_REFUSED ||
                     (!lane->agent->cfg->at_most_once && err == 0 && !counted);
        lane_failed(lane, rc, &eb);
        return;
    }
    lane->settles++;
    batch_end(lane, b);
    if (lane->unacked == NULL)
        agent_turn(lane->agent);
}

/* ---- release ---- */

void lane_release(struct lane *lane)
{
    struct ledger *l = &lane->ledger;
    bool at_most_once = lane->agent->cfg->at_most_once;
    if (l->count[SLOT_GIVE_BACK] > 0)
        lane_unblock(lane);
    /* Jobs that come or are stamped now are behind these: they go first. */
    while (lane->state == LANE_UP && l->count[SLOT_GIVE_BACK] > 0 &&
           l->count[SLOT_STAMPING] == 0 && lane_is_quiescent(lane)) {
        /* From the end: what goes first ends up behind what goes next. */
        struct slot *chosen[QUEUE_BATCH_MAX];
        struct ref refs[QUEUE_BATCH_MAX];
        struct bytes raws[QUEUE_BATCH_MAX];
        size_t n = 0, bytes = 0, index = l->len, first = QUEUE_BATCH_MAX;
        for (struct slot *s = l->last; s != NULL; s = s->prev) {
            index--;
            if (s->state != SLOT_GIVE_BACK)
                continue;
            if (n == QUEUE_BATCH_MAX ||
                (n > 0 && bytes + s->raw_len > QUEUE_BATCH_MAX_BYTES))
                break;
            first--;
            n++;
            bytes += s->raw_len;
            chosen[first] = s;
            raws[first] = (struct bytes){s->raw, s->raw_len};
            refs[first] = (struct ref){raws[first], index};
        }
        struct batch *b = batch_begin(lane, true);
        if (at_most_once)
            (void)queue_unpop(lane->cmd, &lane->keys, &raws[first], (unsigned)n,
                              on_released, b);
        else
            (void)queue_release(lane->cmd, &lane->keys, lane->id, &refs[first],
                                (unsigned)n, on_released, b);
        LOG_INFO("release", F_STR("queue", lane->keys.queue),
                 F_INT("jobs", (int64_t)n));
        struct slot **end = &b->slots;
        for (size_t i = first; i < first + n; i++) {
            ledger_remove_last(l, chosen[i]);
            end = chain(end, chosen[i]);
        }
        lane->empty = false;
    }
}

static void on_released(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct lane *lane = b->lane;
    struct errbuf eb;
    int rc = lane->agent->cfg->at_most_once ? queue_unpop_result(err, r, &eb)
                                            : queue_release_result(err, r, &eb);
    if (rc != 0) {
        b->not_run = rc == ERR_REFUSED || rc == ERR_REDIS;
        lane_failed(lane, rc, &eb);
        return;
    }
    batch_end(lane, b);
    agent_turn(lane->agent);
}
