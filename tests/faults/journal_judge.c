/*
 * Judging moves: each must be an arrow of the state diagram of
 * docs/PROTOCOL.md, made by one who may, and counted.
 *
 * Thread: the test's.
 */
#include <stdlib.h>

#include "common/base/mem.h"
#include "tests/faults/journal_account.h"

static const char *lane_of(const struct change *c, char out[SHOWN_MAX])
{
    return text_shown(c->key->lane, out);
}

void judge_need_lease(struct account *a, const struct change *c,
                      const char *what)
{
    char lane[SHOWN_MAX], name[SHOWN_MAX];
    if (!c->leased)
        BREACH(a, unleased, "%s %s by lane %s, which holds no lease",
               job_shown(c->element->job, name), what, lane_of(c, lane));
}

/* ---- ready -> active ---- */

static void number(struct account *a, struct job *j)
{
    if (a->numbered_count == a->numbered_cap) {
        a->numbered_cap = a->numbered_cap > 0 ? 2 * a->numbered_cap : 1024;
        a->numbered =
            mem_resize(a->numbered, a->numbered_cap * sizeof(struct job *));
    }
    a->numbered[a->numbered_count++] = j;
}

void judge_leave_ready(struct account *a, struct job *j)
{
    char name[SHOWN_MAX];
    if (!j->touched && j->seq < a->left)
        BREACH(a, order, "%s left ready after one that came later",
               job_shown(j, name));
    else if (!j->touched)
        a->left = j->seq;
    j->touched = true;
}

static void judge_fetch(struct account *a, const struct change *from,
                        const struct change *to)
{
    struct job *j = to->element->job;
    judge_leave_ready(a, j);
    COUNT(a, j, fetched);
    if (from->how == HOW_MOVED) /* BLMOVE asks nobody and gives no number */
        return;
    judge_need_lease(a, to, "fetched");
    number(a, j);
}

/* ---- active -> ready ---- */

enum way { RELEASE, REAP, STRAGGLE };

static enum way way_back(const struct account *a, const struct change *from)
{
    const struct world *w = &a->world;
    if (world_delta(w, "released") > 0)
        return RELEASE;
    if (world_delta(w, "straggled") > 0)
        return STRAGGLE;
    if (world_delta(w, "reaped") > 0 || !from->leased)
        return REAP;
    return RELEASE;
}

/* At the head, each in front of those that stood behind it. */
static void judge_place(struct account *a, const struct change *from,
                        const struct change *to)
{
    char name[SHOWN_MAX];
    const struct change *last = a->back;
    if (!to->at_head)
        BREACH(a, order, "%s was given back, but not at the head",
               job_shown(to->element->job, name));
    else if (to->element->job->gone_count == 1 && last != NULL &&
             last->key == from->key && last->element->at < from->element->at)
        BREACH(a, order, "%s was given back in front of one that it followed",
               job_shown(to->element->job, name));
    if (to->element->job->gone_count == 1)
        a->back = from;
}

static void judge_return(struct account *a, const struct change *from,
                         const struct change *to)
{
    struct job *j = to->element->job;
    char lane[SHOWN_MAX], name[SHOWN_MAX];
    enum way way = way_back(a, from);
    judge_place(a, from, to);
    if (way == RELEASE) {
        COUNT(a, j, released);
        judge_need_lease(a, from, "released");
        return;
    }
    if (way == REAP)
        COUNT(a, j, reaped);
    else
        COUNT(a, j, straggled);
    if (from->leased)
        BREACH(a, unleased, "%s reaped from lane %s, which holds its lease",
               job_shown(j, name), lane_of(from, lane));
}

/* ---- other arrows ---- */

static void count_failed(struct account *a, const struct change *to)
{
    struct job *j = to->element->job;
    const struct envelope *e = &to->element->envelope;
    if (to->role == ROLE_DEAD && e->invalid)
        COUNT(a, j, invalid);
    else if (to->role == ROLE_DEAD && e->expired)
        COUNT(a, j, expired);
    else if (to->role == ROLE_DEAD)
        COUNT(a, j, dead);
    else if (to->role == ROLE_SCHEDULED)
        COUNT(a, j, snoozed);
    else if (e->put_off)
        COUNT(a, j, put_off);
    else
        COUNT(a, j, retried);
}

static void no_arrow(struct account *a, const struct change *from,
                     const struct change *to)
{
    char name[SHOWN_MAX];
    BREACH(a, unknown, "%s went from %s to %s",
           job_shown(to->element->job, name), role_name(from->role),
           role_name(to->role));
}

static void judge_active(struct account *a, const struct change *from,
                         const struct change *to)
{
    if (to->role == ROLE_READY) {
        judge_return(a, from, to);
    } else if (to->role == ROLE_RETRY || to->role == ROLE_DEAD ||
               to->role == ROLE_SCHEDULED) {
        judge_need_lease(a, from, "settled");
        count_failed(a, to);
    } else if (from->key == to->key && from->how == HOW_MOVED) {
        judge_need_lease(a, from, "stamped");
        number(a, to->element->job);
    } else {
        no_arrow(a, from, to);
    }
}

/* The payload is carried byte for byte. */
static void judge_payload(struct account *a, const struct change *from,
                          const struct change *to)
{
    char name[SHOWN_MAX];
    if (!to->element->envelope.invalid &&
        !text_same(from->element->envelope.payload,
                   to->element->envelope.payload))
        BREACH(a, altered, "the payload of %s on its way from %s to %s",
               job_shown(to->element->job, name), role_name(from->role),
               role_name(to->role));
}

/* A push that replaces what is not due yet: under its id another payload. */
static bool is_replaced(const struct change *from, const struct change *to)
{
    return from->role == ROLE_SCHEDULED && to->role == ROLE_SCHEDULED;
}

/* People put what is dead or waits into ready, or send it elsewhere. */
static bool is_requeued(const struct account *a, const struct change *from,
                        const struct change *to)
{
    return judge_is_waiting(from->role) &&
           (to->role == ROLE_OUTBOX ||
            (to->role == ROLE_READY &&
             judge_is_left(a, "requeued", a->now.requeued)));
}

static void requeue(struct account *a, const struct change *from,
                    const struct change *to)
{
    struct job *j = to->element->job;
    char name[SHOWN_MAX];
    if (to->at_head)
        BREACH(a, order, "%s was put in front of those that wait",
               job_shown(j, name));
    j->touched = true;
    if (from->role == ROLE_DEAD) {
        COUNT(a, j, revived);
        j->h.settled = false;
    }
    if (to->role == ROLE_READY) {
        COUNT(a, j, requeued);
    } else {
        COUNT(a, j, sent);
        j->outbox++;
    }
}

void judge_move(struct account *a, const struct change *from,
                const struct change *to)
{
    struct job *j = to->element->job;
    if (from->role != ROLE_DEAD)
        j->alive--;
    if (to->role != ROLE_DEAD)
        j->alive++;
    if (is_replaced(from, to)) {
        COUNT(a, j, replaced);
        return;
    }
    judge_payload(a, from, to);
    if (is_requeued(a, from, to)) {
        requeue(a, from, to);
    } else if (from->role == ROLE_ACTIVE) {
        judge_active(a, from, to);
    } else if (from->role == ROLE_READY && to->role == ROLE_ACTIVE) {
        judge_fetch(a, from, to);
    } else if ((from->role == ROLE_RETRY || from->role == ROLE_SCHEDULED) &&
               to->role == ROLE_READY) {
        COUNT(a, j, promoted);
        j->touched = true;
    } else {
        no_arrow(a, from, to);
    }
    j->ended = j->ended || to->role == ROLE_DEAD;
    j->h.settled = j->h.settled || (to->role == ROLE_DEAD && j->alive == 0);
}

void judge_rename(struct account *a, const struct change *c)
{
    char lane[SHOWN_MAX];
    if (!c->leased)
        BREACH(a, unleased, "rebind of a lane without lease to %s",
               lane_of(c, lane));
    if (!world_has_lease(&a->world, c->key->lane))
        BREACH(a, unleased, "rebind to lane %s, which holds no lease",
               lane_of(c, lane));
    for (struct element *e = c->key->first; e != NULL; e = e->next) {
        if (e->job != NULL)
            COUNT(a, e->job, rebound);
    }
}

/* ---- arrivals ---- */

bool judge_is_push(const struct account *a)
{
    const struct world *w = &a->world;
    for (size_t i = 0; i < w->change_count; i++) {
        const struct change *c = &w->changes[i];
        if (!c->came || (c->role != ROLE_READY && c->role != ROLE_SCHEDULED))
            return false;
    }
    int64_t pushed = world_delta(w, "pushed"),
            ticked = world_delta(w, "ticked");
    return w->delta_count == 0 || (w->delta_count == 1 && pushed > 0) ||
           (w->delta_count == 2 && pushed > 0 && ticked > 0);
}

static void come_in(struct account *a, const struct change *to)
{
    struct job *j = to->element->job;
    j->touched = j->h.moves.pushed > 0 || to->role != ROLE_READY || to->at_head;
    j->seq = ++a->came;
    COUNT(a, j, pushed);
    if (judge_is_left(a, "ticked", a->now.ticked))
        COUNT(a, j, ticked);
}

/* A job that a lane of at-most-once took comes back, or failed. */
static void come_back(struct account *a, const struct change *to)
{
    struct job *j = to->element->job;
    j->popped -= j->popped > 0;
    a->popped--;
    if (to->role == ROLE_READY)
        come_in(a, to);
    else
        count_failed(a, to);
    j->h.settled = to->role == ROLE_DEAD;
}

/* What a done job names in its "then". */
static void follow(struct account *a, const struct change *to)
{
    struct job *j = to->element->job;
    if (to->role == ROLE_READY)
        come_in(a, to);
    else if (to->role == ROLE_OUTBOX)
        COUNT(a, j, sent);
    else
        COUNT(a, j, invalid);
    j->h.settled = to->role == ROLE_DEAD;
}

void judge_arrival(struct account *a, const struct change *to, bool fresh)
{
    struct job *j = to->element->job;
    bool into_queue = to->role == ROLE_READY || to->role == ROLE_SCHEDULED;
    bool failed = to->role == ROLE_RETRY || to->role == ROLE_DEAD ||
                  (to->role == ROLE_SCHEDULED && !a->push);
    bool relayed = j->outbox > 0 && j->alive == j->outbox;
    bool is_tick = world_delta(&a->world, "ticked") > 0;
    unsigned alive = j->alive;
    char name[SHOWN_MAX];
    if (to->role != ROLE_DEAD)
        j->alive++;
    if (to->role == ROLE_OUTBOX)
        j->outbox++;
    if ((fresh || j->h.serial == 0) && follow_parent(a, to)) {
        follow(a, to);
    } else if (j->popped > 0 || (fresh && failed && a->popped > 0)) {
        come_back(a, to);
    } else if (into_queue && a->push &&
               (fresh || relayed || (j->h.serial == 0 && !is_tick))) {
        come_in(a, to);
    } else if (to->role == ROLE_DEAD && relayed) {
        j->h.settled = false; /* cannot be delivered: it leaves next */
    } else if (to->role == ROLE_DEAD && fresh && a->world.delta_count <= 1 &&
               world_delta(&a->world, "dead_bytes") >= 0) {
        COUNT(a, j, imported);
        j->h.settled = true;
    } else if (alive == 0 && j->h.settled) {
        BREACH(a, settled_twice, "%s is in %s after its end",
               job_shown(j, name), role_name(to->role));
    } else {
        a->doubled = true;
        if (!(a->allowed & JOURNAL_TWICE))
            BREACH(a, twice, "%s is in %s %s", job_shown(j, name),
                   role_name(to->role),
                   alive > 0 ? "too" : "and came from nowhere");
    }
    if (to->role == ROLE_ACTIVE)
        number(a, j);
}

/* ---- counters and fences ---- */

static void settle_popped(struct account *a, const char *field, uint64_t *now,
                          uint64_t *total)
{
    int64_t counted = world_delta(&a->world, field);
    while ((int64_t)*now < counted && a->popped > 0) {
        a->popped--;
        (*now)++;
        (*total)++;
    }
}

/* A double is said already: it was counted as one. */
void judge_counters(struct account *a)
{
    int64_t pushed = world_delta(&a->world, "pushed");
    if (!judge_counts(a) || a->doubled)
        return;
    settle_popped(a, "done", &a->now.done, &a->total.done);
    settle_popped(a, "discarded", &a->now.discarded, &a->total.discarded);
    settle_popped(a, "cancelled", &a->now.cancelled, &a->total.cancelled);
    const struct {
        const char *field;
        uint64_t moved;
    } fields[] = {{"done", a->now.done},
                  {"discarded", a->now.discarded},
                  {"retried", a->now.retried},
                  {"put_off", a->now.put_off},
                  {"dead", a->now.dead},
                  {"expired", a->now.expired},
                  {"snoozed", a->now.snoozed},
                  {"cancelled", a->now.cancelled},
                  {"requeued", a->now.requeued},
                  {"removed", a->now.removed},
                  {"purged", a->now.purged},
                  {"ticked", a->now.ticked},
                  {"sent", a->now.sent},
                  {"invalid", a->now.invalid},
                  {"released", a->now.released},
                  {"reaped", a->now.reaped},
                  {"straggled", a->now.straggled},
                  {"promoted", a->now.promoted},
                  {"dead_evicted", a->evicted},
                  /* a plain RPUSH is not counted */
                  {"pushed", pushed != 0 ? a->now.pushed : 0}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        int64_t counted = world_delta(&a->world, fields[i].field);
        if (counted != (int64_t)fields[i].moved)
            BREACH(a, miscounted, "%s counted %lld, moved %llu",
                   fields[i].field, (long long)counted,
                   (unsigned long long)fields[i].moved);
    }
}

void judge_fences(struct account *a)
{
    const struct world *w = &a->world;
    size_t n = a->numbered_count;
    if (!w->fence_given && n > 0)
        BREACH(a, fences, "%zu deliveries got no number", n);
    if (!w->fence_given || (w->fence_set && n == 0))
        return;
    int64_t given = w->fence_set ? (int64_t)n : w->fence_by;
    int64_t first = w->fence - given + 1;
    /* A stamp without an id names no job. */
    if (given != (int64_t)n && !(n == 0 && given == 1))
        BREACH(a, fences, "%lld numbers for %zu deliveries", (long long)given,
               n);
    if (first <= a->fence)
        BREACH(a, fences, "%lld given after %lld", (long long)first,
               (long long)a->fence);
    a->fence = w->fence;
    for (size_t i = 0; i < n && (int64_t)i < given; i++) {
        struct job_history *h = &a->numbered[i]->h;
        h->last_fence = (uint64_t)first + i;
        if (h->fences == 0)
            h->first_fence = h->last_fence;
        /* What comes in bulk and is stamped then has two of one delivery. */
        if (h->fences < h->moves.fetched)
            h->fences++;
    }
}
