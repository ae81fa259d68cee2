/*
 * Ledger: the mirror of a lane's active list.
 *
 * A doubly linked list keeps the order, a hash table finds equal slots. Most
 * jobs have an id of their own, so that chains are short and a slot is its
 * own first equal; twins exist when strangers push the same bytes twice.
 *
 * Thread: event loop only.
 */
#include "worker/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum { BUCKETS = 2048 }; /* power of two, twice what is held near Redis */

static void link_before(struct ledger *l, struct slot *s, struct slot *at);
static void unlink_slot(struct ledger *l, struct slot *s);
static void hash_add(struct ledger *l, struct slot *s);
static void hash_drop(struct ledger *l, struct slot *s);
static void count_slot(struct ledger *l, const struct slot *s, bool in);

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){0};
    l->buckets = mem_new(BUCKETS * sizeof(*l->buckets));
}

void ledger_done(struct ledger *l)
{
    assert(l->len == 0);
    free(l->buckets);
    *l = (struct ledger){0};
}

struct slot *slot_new(const char *raw, size_t len)
{
    struct slot *s = mem_new(sizeof(*s));
    s->own_raw = mem_dup(raw, len);
    s->raw = s->own_raw;
    s->raw_len = len;
    s->hash = slot_hash(raw, len);
    return s;
}

struct slot *slot_of(struct delivery *d)
{
    struct slot *s = mem_new(sizeof(*s));
    slot_set_delivery(s, d);
    return s;
}

void slot_set_delivery(struct slot *s, struct delivery *d)
{
    free(s->own_raw);
    s->own_raw = NULL;
    s->d = d;
    d->slot = s;
    s->raw = d->job->raw;
    s->raw_len = d->job->raw_len;
    s->hash = slot_hash(s->raw, s->raw_len);
}

void slot_free(struct slot *s)
{
    if (s == NULL)
        return;
    if (s->d != NULL && s->state == SLOT_OUT)
        s->d->slot = NULL; /* comes back later, to be dropped */
    else
        delivery_free(s->d);
    free(s->own_raw);
    free(s->invalid);
    free(s);
}

/* The beginning holds the id; eight bytes a step (FNV-1a's idea and prime). */
uint64_t slot_hash(const char *raw, size_t len)
{
    uint64_t h = 1469598103934665603ULL ^ len;
    size_t n = len < 64 ? len : 64;
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, raw, 8);
        h = (h ^ w) * 1099511628211ULL;
        h ^= h >> 29;
        raw += 8;
        n -= 8;
    }
    for (; n > 0; n--)
        h = (h ^ (unsigned char)*raw++) * 1099511628211ULL;
    return h ^ (h >> 32);
}

bool slot_equal(const struct slot *a, const struct slot *b)
{
    return a->hash == b->hash && a->raw_len == b->raw_len &&
           memcmp(a->raw, b->raw, a->raw_len) == 0;
}

void ledger_append(struct ledger *l, struct slot *s)
{
    s->number = ++l->taken;
    link_before(l, s, NULL);
    hash_add(l, s);
    count_slot(l, s, true);
}

void ledger_set_state(struct ledger *l, struct slot *s, enum slot_state state)
{
    count_slot(l, s, false);
    s->state = state;
    count_slot(l, s, true);
}

void ledger_replace(struct ledger *l, struct slot *s, struct delivery *d)
{
    hash_drop(l, s);
    l->bytes -= s->raw_len;
    slot_set_delivery(s, d);
    l->bytes += s->raw_len;
    hash_add(l, s);
}

size_t ledger_front_finished(const struct ledger *l, size_t max,
                             const struct slot **ret_next)
{
    const struct slot *s = l->first;
    size_t n = 0;
    while (s != NULL && n < max && s->state == SLOT_FINISHED) {
        s = s->next;
        n++;
    }
    if (ret_next != NULL)
        *ret_next = s;
    return n;
}

struct slot *ledger_shift(struct ledger *l)
{
    struct slot *s = l->first;
    assert(s != NULL);
    hash_drop(l, s);
    unlink_slot(l, s);
    count_slot(l, s, false);
    return s;
}

static bool has_twin(const struct ledger *l, const struct slot *s)
{
    size_t equal = 0;
    for (struct slot *o = l->buckets[s->hash % BUCKETS]; o; o = o->hash_next)
        equal += slot_equal(o, s);
    return equal > 1;
}

/* Takes s off; twin, or s itself, loses its place and has that of s. */
static void remove_at(struct ledger *l, struct slot *s, struct slot *twin)
{
    hash_drop(l, s);
    if (twin != s) {
        unlink_slot(l, twin);
        link_before(l, twin, s);
    }
    unlink_slot(l, s);
    count_slot(l, s, false);
}

void ledger_remove(struct ledger *l, struct slot *s)
{
    struct slot *o = has_twin(l, s) ? l->first : s;
    while (!slot_equal(o, s))
        o = o->next;
    remove_at(l, s, o);
}

void ledger_remove_last(struct ledger *l, struct slot *s)
{
    struct slot *o = has_twin(l, s) ? l->last : s;
    while (!slot_equal(o, s))
        o = o->prev;
    remove_at(l, s, o);
}

size_t ledger_index(const struct ledger *l, const struct slot *s)
{
    size_t i = 0;
    for (const struct slot *o = l->first; o != s; o = o->next) {
        assert(o != NULL);
        i++;
    }
    return i;
}

size_t ledger_unfinished(const struct ledger *l)
{
    return l->count[SLOT_STAMPING] + l->count[SLOT_HELD] + l->count[SLOT_OUT];
}

static void link_before(struct ledger *l, struct slot *s, struct slot *at)
{
    s->next = at;
    s->prev = at != NULL ? at->prev : l->last;
    *(s->prev != NULL ? &s->prev->next : &l->first) = s;
    *(at != NULL ? &at->prev : &l->last) = s;
    l->len++;
    l->bytes += s->raw_len;
}

static void unlink_slot(struct ledger *l, struct slot *s)
{
    *(s->prev != NULL ? &s->prev->next : &l->first) = s->next;
    *(s->next != NULL ? &s->next->prev : &l->last) = s->prev;
    s->prev = s->next = NULL;
    l->len--;
    l->bytes -= s->raw_len;
}

static void hash_add(struct ledger *l, struct slot *s)
{
    struct slot **b = &l->buckets[s->hash % BUCKETS];
    s->hash_next = *b;
    *b = s;
}

static void hash_drop(struct ledger *l, struct slot *s)
{
    struct slot **b = &l->buckets[s->hash % BUCKETS];
    while (*b != s) {
        assert(*b != NULL);
        b = &(*b)->hash_next;
    }
    *b = s->hash_next;
    s->hash_next = NULL;
}

static void count_slot(struct ledger *l, const struct slot *s, bool in)
{
    size_t one = in ? 1 : (size_t)-1;
    l->count[s->state] += one;
    if (s->state == SLOT_FINISHED || s->state == SLOT_GIVE_BACK)
        return;
    l->recovered += s->recovered ? one : 0;
    l->near += s->near ? one : 0;
}
