#ifndef TESTS_FAULTS_JOURNAL_INDEX_H
#define TESTS_FAULTS_JOURNAL_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "tests/faults/journal_read.h"

/*
 * A hash table from bytes to pointers. Keys are borrowed until they are
 * removed; values are never NULL. {0} is an empty one. Thread: the test's.
 */
struct index_slot {
    uint64_t hash;
    struct text key;
    void *value; /* NULL: free */
};

struct index {
    struct index_slot *slots; /* owned; a power of two, or NULL */
    size_t cap, count;
};

void index_done(struct index *x); /* frees it, not the values */

void *index_get(const struct index *x, struct text key);       /* NULL: none */
void index_put(struct index *x, struct text key, void *value); /* key is new */
void *index_remove(struct index *x, struct text key);          /* NULL: none */

/* The values, in no order: *at begins at 0; NULL at the end. */
void *index_next(const struct index *x, size_t *at);

#endif
