/*
 * A hash table with open addresses, always at most half full. Removing moves
 * back what had to step aside, so that no grave markers fill it up.
 *
 * Thread: the test's.
 */
#include "tests/faults/journal_index.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/mem.h"

void index_done(struct index *x)
{
    free(x->slots);
    *x = (struct index){0};
}

/* FNV-1a. */
static uint64_t hash_of(struct text key)
{
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.p[i]) * 1099511628211ULL;
    return h ^ (h >> 32);
}

/* The slot of the key, or the free one where it would be. */
static struct index_slot *find(const struct index *x, uint64_t hash,
                               struct text key)
{
    size_t i = hash & (x->cap - 1);
    while (x->slots[i].value != NULL &&
           (x->slots[i].hash != hash || !text_same(x->slots[i].key, key)))
        i = (i + 1) & (x->cap - 1);
    return &x->slots[i];
}

static void grow(struct index *x)
{
    struct index bigger = {.cap = x->cap > 0 ? 2 * x->cap : 64,
                           .count = x->count};
    bigger.slots = mem_new(bigger.cap * sizeof(*bigger.slots));
    for (size_t i = 0; i < x->cap; i++) {
        const struct index_slot *s = &x->slots[i];
        if (s->value != NULL)
            *find(&bigger, s->hash, s->key) = *s;
    }
    free(x->slots);
    *x = bigger;
}

void *index_get(const struct index *x, struct text key)
{
    return x->count > 0 ? find(x, hash_of(key), key)->value : NULL;
}

void index_put(struct index *x, struct text key, void *value)
{
    uint64_t hash = hash_of(key);
    assert(value != NULL);
    if (2 * (x->count + 1) > x->cap)
        grow(x);
    struct index_slot *s = find(x, hash, key);
    assert(s->value == NULL);
    *s = (struct index_slot){hash, key, value};
    x->count++;
}

void *index_remove(struct index *x, struct text key)
{
    if (x->count == 0)
        return NULL;
    struct index_slot *s = find(x, hash_of(key), key);
    void *value = s->value;
    if (value == NULL)
        return NULL;
    size_t mask = x->cap - 1, hole = (size_t)(s - x->slots);
    for (size_t i = (hole + 1) & mask; x->slots[i].value != NULL;
         i = (i + 1) & mask) {
        size_t home = x->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            x->slots[hole] = x->slots[i];
            hole = i;
        }
    }
    x->slots[hole] = (struct index_slot){0};
    x->count--;
    return value;
}

void *index_next(const struct index *x, size_t *at)
{
    while (*at < x->cap) {
        void *value = x->slots[(*at)++].value;
        if (value != NULL)
            return value;
    }
    return NULL;
}
