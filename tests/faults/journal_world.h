#ifndef TESTS_FAULTS_JOURNAL_WORLD_H
#define TESTS_FAULTS_JOURNAL_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/faults/journal.h"
#include "tests/faults/journal_envelope.h"
#include "tests/faults/journal_index.h"
#include "tests/faults/journal_read.h"

/*
 * A model of the keys of one queue, kept as Redis keeps them by running the
 * commands of its journal; and a note of everything that a transaction
 * changed, for the accountant to judge. Of what it does not know it says so.
 *
 * Thread: the test's.
 */
enum role {
    ROLE_READY,
    ROLE_ACTIVE,
    ROLE_RETRY,
    ROLE_SCHEDULED,
    ROLE_DEAD,
    ROLE_OUTBOX,
    ROLE_ASIDE, /* a list or set of jobs under another name of the queue */
    ROLE_LEASES,
    ROLE_REAPED,
    ROLE_STATS,
    ROLE_FENCE,
    ROLE_LOCK,  /* of a unique key */
    ROLE_MARKS, /* to cancel jobs */
    ROLE_PLAIN, /* holds no jobs and says nothing about them */
};
const char *role_name(enum role role);

struct job; /* the accountant's */

/* A field of stats, and its value or what was added to it. */
enum { FIELDS_MAX = 128 };
struct delta {
    struct text field;
    int64_t n;
};

/* A job's bytes in one place. */
struct element {
    struct element *prev, *next; /* in a list */
    struct text bytes;
    struct envelope envelope;
    struct job *job; /* NULL until the accountant has seen it */
    int64_t at;      /* grows from the head of a list to its end */
    size_t came_as; /* 1 + its place among the changes of now; 0: came before */
};

struct key {
    char *name; /* owned */
    struct text lane;
    enum role role;

    bool planted; /* holds something of another type */
    struct element *first, *last;
    int64_t first_at, last_at; /* places at both ends */
    size_t len;                /* of the list */
    struct index members;      /* of a set, to elements */
    struct text holder;        /* of a lock that has no end; .p NULL: none */
    struct delta *fields;      /* owned; of stats */
    size_t field_count;
};

/* How an element left its place. */
enum how {
    HOW_REMOVED, /* LTRIM, LREM, ZREM */
    HOW_POPPED,  /* LPOP, RPOP */
    HOW_MOVED,   /* LMOVE, LSET: the same job goes on in the next change */
    HOW_KILLED,  /* with its key */
    HOW_RENAMED, /* no element: key took over a whole active list */
};

/* One element came or went. What went lives till world_forget. */
struct change {
    bool came;
    struct element *element;
    enum role role;
    const struct key *key;
    enum how how;
    bool leased;  /* its lane (the old one, if renamed) held a lease then */
    bool at_head; /* came in front of the others */
    bool passing; /* came, and went again in the same transaction */
    bool matched; /* by the accountant, to its other end */
    unsigned followers; /* of those that its "then" names, how many came */
    struct change *other, *next;
};

struct report {
    FILE *out;
    unsigned lines;
    uint64_t transaction;
    struct breaches breaches;
};

/* Counts a breach and says it, if not too many were said. */
void report_breach(struct report *r, uint64_t *kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What the accountant reads: the changes and numbers of a transaction. */
struct world {
    struct report *report; /* borrowed */
    char *prefix;          /* owned: the ready list's name */
    size_t prefix_len;
    int64_t db;
    struct index keys; /* of struct key, owned */
    struct index held; /* ids, to the lock that each holds without an end */
    struct key *leases, *reaped, *stats_key, *marks;

    /* Of the transaction. */
    struct index unmarked;  /* ids whose mark went */
    struct change *changes; /* owned */
    size_t change_count, change_cap;
    bool passing;                    /* some changes are */
    struct delta deltas[FIELDS_MAX]; /* of stats, by HINCRBY */
    size_t delta_count;
    bool fence_given; /* numbers were given */
    bool fence_set;   /* by SET, so that nobody knows how many */
    int64_t fence, fence_by;
};

void world_init(struct world *w, const char *queue, struct report *report);
void world_done(struct world *w);

/* Runs one command (journal_verbs.c). */
void world_apply(struct world *w, const struct command *c);

/* At the end of a transaction: leaves out what only passed through a list. */
void world_settle(struct world *w);

/* Frees what went and empties the note. */
void world_forget(struct world *w);

/*
 * Whether a lock is this job's, without an end; whether it is to be cancelled,
 * or was until this transaction.
 */
bool world_locks(const struct world *w, struct text id);
bool world_marks(const struct world *w, struct text id);
bool world_unmarked(const struct world *w, struct text id);
int64_t world_delta(const struct world *w, const char *field);
bool world_has_lease(const struct world *w, struct text lane);
/* Whether stats is a hash, so that counters can be written. */
bool world_counts(const struct world *w);

/* ---- for journal_verbs.c ---- */

bool key_holds_jobs(const struct key *k);
bool key_is_empty(const struct key *k);
/* The model of a key, or NULL if it is of no interest. */
struct key *key_of(struct world *w, struct text name);
/* The same, but makes one ROLE_ASIDE of a key of no interest. */
struct key *key_aside(struct world *w, struct text name);
void key_empty(struct world *w, struct key *k);
void key_plant(struct world *w, struct key *k); /* empties it first */
void key_rename(struct world *w, struct key *from, struct key *to);

/* Who holds a lock now; .p NULL: nobody, or not for ever. */
void lock_set(struct world *w, struct key *k, struct text id);

void list_add(struct world *w, struct key *k, struct text bytes, bool head);
void list_remove(struct world *w, struct key *k, struct element *e,
                 enum how how);
/* The same job in another place. */
void list_move(struct world *w, struct key *from, struct element *e,
               struct key *to, bool head);
/* The same job with other bytes; frees e. */
void list_set(struct world *w, struct key *k, struct element *e,
              struct text bytes);
void set_add(struct world *w, struct key *k, struct text member);
void set_remove(struct world *w, struct key *k, struct text member);

#endif
