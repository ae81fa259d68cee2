#ifndef TESTS_FAULTS_AUDIT_H
#define TESTS_FAULTS_AUDIT_H

#include "tests/faults/battle.h"

struct journal;

/*
 * Holds four books against each other when a battle is over: what producers
 * were told, Redis as it is and as its journal says it became so (journal.h),
 * the record that handlers wrote (record.h), and the store that they worked on
 * (store.h). Nothing that a worker says of itself is believed.
 */
struct verdict {
    uint64_t jobs; /* that were to be settled */
    uint64_t lost; /* acknowledged, and not settled */
    uint64_t settled_twice;
    uint64_t stranded;       /* left in some list, set or lease table */
    uint64_t runs, runs_max; /* of handlers; of one job at most */
    uint64_t interrupted;    /* runs without an end */
    int64_t recovery_ms;     /* longest time from a strike to the next start
                                of a job, or of the job it interrupted */
};

/* Tells each breach by battle_breach. The workers have ended, Redis runs. */
void audit(struct battle *b, struct verdict *ret);

/* ---- parts of it, for scenarios that audit for themselves ---- */

/* What is left of a queue in Redis. */
uint64_t audit_left(struct battle *b, const char *queue);

/*
 * Replays the journal of a queue and holds the queue's counters against it.
 * Returns owned, for journal_free.
 */
struct journal *audit_books(struct battle *b, const char *queue,
                            struct verdict *v);

#endif
