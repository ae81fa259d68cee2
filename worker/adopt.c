/*
 * Adopt: makes the ledger agree with Redis after a rebind.
 *
 * The list that rebind returns is the truth. What is in it and known here
 * stays; what is unknown was fetched for us and its reply was lost. Which calls
 * of settle ran Redis tells by their number, since the list does not: a job
 * may have gone, and one of the same bytes have come. What is unfinished here
 * and gone means that Redis lost its memory or that somebody interfered: that
 * is said loudly.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/notes.h"

/* Slots known before, in a table by hash; unfinished ones come first. */
struct known {
    struct slot **buckets;
    size_t mask;
};

static void forget_slot(struct lane *lane, struct slot *s) ON_LOOP;

/* Frees a slot; if its job is with the pool, that run is stopped. */
static void forget_slot(struct lane *lane, struct slot *s)
{
    if (s->state == SLOT_OUT)
        pool_cancel(lane->agent->pool, s->d, CANCEL_FENCED);
    slot_free(s);
}

static void drop_batches(struct lane *lane)
{
    while (lane->unacked != NULL) {
        struct batch *b = lane->unacked;
        lane->unacked = b->next;
        if (b->not_run)
            batch_give_back_times(b);
        batch_free(b);
    }
    lane->unacked_last = NULL;
}

void lane_drop(struct lane *lane)
{
    lane_forget_notes(lane);
    while (lane->ledger.len > 0)
        forget_slot(lane, ledger_shift(&lane->ledger));
    drop_batches(lane);
}

static void known_add(struct known *k, struct slot *s)
{
    struct slot **b = &k->buckets[s->hash & k->mask];
    /* Of equal elements the finished ones count as gone first. */
    if (s->state == SLOT_FINISHED)
        while (*b != NULL)
            b = &(*b)->hash_next;
    s->hash_next = *b;
    *b = s;
}

static struct slot *known_take(struct known *k, struct bytes raw)
{
    uint64_t hash = slot_hash(raw.p, raw.len);
    struct slot **b = &k->buckets[hash & k->mask];
    for (; *b != NULL; b = &(*b)->hash_next) {
        struct slot *s = *b;
        if (s->hash == hash && s->raw_len == raw.len &&
            memcmp(s->raw, raw.p, raw.len) == 0) {
            *b = s->hash_next;
            s->hash_next = NULL;
            return s;
        }
    }
    return NULL;
}

/*
 * Of the calls of settle whose answer is missing those that ran: done. One that
 * was refused did not, though those behind it may have.
 */
static void end_batches(struct lane *lane, int64_t ran) ON_LOOP;

static void end_batches(struct lane *lane, int64_t ran)
{
    struct batch **at = &lane->unacked;
    lane->unacked_last = NULL;
    while (*at != NULL) {
        struct batch *b = *at;
        if (b->release || b->not_run || ran <= 0) {
            lane->unacked_last = b;
            at = &b->next;
            continue;
        }
        ran--;
        *at = b->next;
        for (const struct slot *s = b->slots; s != NULL; s = s->next)
            lane->counts[s->counter]++;
        lane_note_times(lane, b->slots);
        lane->outbox_filled = lane->outbox_filled || b->outbox;
        batch_free(b);
    }
}

/*
 * Slots whose bytes were being changed, or that were being given back, are
 * forgotten: the list tells how that went, and they never started.
 */
static void collect(struct lane *lane, struct known *k) ON_LOOP;

static void collect(struct lane *lane, struct known *k)
{
    struct slot *all = NULL, **end = &all;
    size_t n = 1;
    while (lane->unacked != NULL) {
        struct batch *b = lane->unacked;
        lane->unacked = b->next;
        if (!b->release) {
            *end = b->slots;
            b->slots = NULL;
            for (; *end != NULL; end = &(*end)->next) {
                (*end)->sent = true;
                n++;
            }
        }
        batch_give_back_times(b);
        batch_free(b);
    }
    lane->unacked_last = NULL;
    while (lane->ledger.len > 0) {
        struct slot *s = ledger_shift(&lane->ledger);
        if (s->state == SLOT_STAMPING || s->state == SLOT_GIVE_BACK) {
            slot_free(s);
            continue;
        }
        *end = s;
        end = &s->next;
        n++;
    }
    size_t buckets = 64;
    while (buckets < n)
        buckets *= 2;
    k->buckets = mem_new(buckets * sizeof(*k->buckets));
    k->mask = buckets - 1;
    while (all != NULL) {
        struct slot *s = all;
        all = s->next;
        s->prev = s->next = NULL;
        known_add(k, s);
    }
}

static void say_gone(const struct lane *lane, const struct slot *s)
{
    LOG_ERROR(
        "job_gone", F_STR("queue", lane->keys.queue),
        F_STR("job", s->d != NULL ? s->d->job->id : ""),
        F_STR("was", s->state == SLOT_FINISHED ? "finished" : "unfinished"),
        F_STR("so", "Redis lost it or somebody took it: not settled"));
}

/* What is left over was known here and is not in the list. */
static void forget_rest(struct lane *lane, struct known *k) ON_LOOP;

static void forget_rest(struct lane *lane, struct known *k)
{
    for (size_t i = 0; i <= k->mask; i++) {
        while (k->buckets[i] != NULL) {
            struct slot *s = k->buckets[i];
            k->buckets[i] = s->hash_next;
            if (s->sent) /* and it was done: only the answer was lost */
                lane->counts[s->counter]++;
            else
                say_gone(lane, s);
            forget_slot(lane, s);
        }
    }
    free(k->buckets);
}

/*
 * At most once: no list tells what became of the batches. What certainly was
 * not executed is done again, the rest may be lost, but not run twice.
 */
static void keep_what_did_not_run(struct lane *lane)
{
    int64_t lost = 0;
    for (struct batch *b = lane->unacked; b != NULL; b = b->next) {
        if (b->not_run) {
            while (b->slots != NULL) {
                struct slot *s = b->slots;
                b->slots = s->next;
                ledger_append(&lane->ledger, s);
            }
        }
        for (const struct slot *s = b->slots; s != NULL; s = s->next)
            lost++;
    }
    if (lost > 0)
        LOG_WARN("lost", F_STR("queue", lane->keys.queue), F_INT("jobs", lost),
                 F_STR("so", "what was told of them may not have arrived; "
                             "at most once is not twice"));
    drop_batches(lane);
}

void lane_adopt(struct lane *lane, const struct reply *r, int64_t settles,
                size_t count)
{
    struct known k;
    size_t adopted = 0, kept = 0;
    int64_t ran = settles - lane->settles;
    lane->settles = settles;
    if (lane->agent->cfg->at_most_once) {
        keep_what_did_not_run(lane);
        return;
    }
    end_batches(lane, ran);
    collect(lane, &k);
    for (size_t i = 0; i < count && lane->state == LANE_UP; i++) {
        struct bytes raw;
        if (!queue_rebind_job(r, i, &raw))
            continue;
        struct slot *s = known_take(&k, raw);
        if (s != NULL) {
            s->sent = false;
            ledger_append(&lane->ledger, s);
            kept++;
        } else {
            (void)lane_take(lane, raw, 0);
            adopted++;
        }
    }
    forget_rest(lane, &k);
    if (adopted > 0)
        LOG_INFO("adopt", F_STR("queue", lane->keys.queue),
                 F_INT("jobs", (int64_t)adopted), F_INT("kept", (int64_t)kept));
}
