#ifndef WORKER_LEDGER_H
#define WORKER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/delivery.h"

/*
 * The ledger: a lane's mirror of its active list in Redis, in the same order.
 *
 * Settling works like TCP's acknowledgement: the run of finished slots at the
 * front is settled by count, others by value. LREM removes the first equal
 * element, so ledger_remove gives up the place of the first equal slot, and
 * an unfinished twin takes the later place. Release takes the last equal one,
 * which Redis finds sooner. Loop thread only.
 */
enum slot_state {
    SLOT_STAMPING,  /* waits for its id or fencing token */
    SLOT_HELD,      /* ready for the jobs channel */
    SLOT_OUT,       /* in the jobs channel, or running */
    SLOT_FINISHED,  /* to be settled: see delivery, or invalid */
    SLOT_GIVE_BACK, /* to be released */
    SLOT_STATES
};

/* How a job leaves a lane; those that settle tells Redis come first. */
enum counter {
    C_DONE,
    C_RETRIED,
    C_DEAD,
    C_PUT_OFF,
    C_DISCARDED,
    C_INVALID,
    C_SNOOZED,
    C_CANCELLED,
    C_EXPIRED,
    SETTLE_COUNTERS,
    C_RELEASED = SETTLE_COUNTERS,
    C_STALE,
    COUNTERS
};

struct slot {
    struct slot *prev, *next; /* places; a batch chains by next too */
    struct slot *hash_next;
    uint64_t hash;
    uint64_t number; /* of those that the ledger was given */
    const char *raw; /* the bytes in Redis: of own_raw or of the job */
    size_t raw_len;
    char *own_raw;      /* owned, or NULL */
    struct delivery *d; /* owned unless SLOT_OUT; NULL: stamping, invalid (of
                         * those only what is told of their end) */
    char *invalid;      /* owned: why it is no envelope, or NULL */
    int64_t fence;
    enum slot_state state;
    enum counter counter; /* as which it was last settled */
    bool recovered;       /* was recovered lately */
    bool near;            /* one recovery short of being given up */
    uint64_t load;        /* of the marks that it waits for; 0: none */
    bool followed;        /* the job that it comes after was asked for */
    bool sent;            /* of a batch that was written to Redis */
};

struct ledger {
    struct slot *first, *last;
    size_t len, bytes;
    size_t count[SLOT_STATES];
    size_t recovered, near; /* among unfinished slots */
    uint64_t taken;         /* slots that were ever appended */
    struct slot **buckets;
};

void ledger_init(struct ledger *l);
/* The ledger must be empty. */
void ledger_done(struct ledger *l);

/* Makes a slot with its own copy of raw. Free with slot_free. */
struct slot *slot_new(const char *raw, size_t len);

/* Makes a slot of d, which it takes, and of its job's bytes. */
struct slot *slot_of(struct delivery *d);

/* Gives the slot its delivery, whose job's bytes take the place of its own. */
void slot_set_delivery(struct slot *s, struct delivery *d);

/* Frees it with what it owns; a delivery that is out is not owned. */
void slot_free(struct slot *s);

/* Takes s, whose state is set, as the last place. */
void ledger_append(struct ledger *l, struct slot *s);

/*
 * Every change of state goes through this. recovered and near of a slot may
 * change only while it is FINISHED or GIVE_BACK, since others are counted.
 */
void ledger_set_state(struct ledger *l, struct slot *s, enum slot_state state);

/* Takes d, whose job's bytes are from now on those of the slot (stamp). */
void ledger_replace(struct ledger *l, struct slot *s, struct delivery *d);

/*
 * Slots at the front that are finished, at most max. ret_next, if not NULL,
 * is the one behind them, NULL at the end.
 */
size_t ledger_front_finished(const struct ledger *l, size_t max,
                             const struct slot **ret_next);

/* Takes the first slot off; the ledger must not be empty. Returns owned. */
struct slot *ledger_shift(struct ledger *l);

/* Takes s off as LREM does: see above. s is then owned by the caller. */
void ledger_remove(struct ledger *l, struct slot *s);

/* The same as LREM from the end: the last equal slot's place is given up. */
void ledger_remove_last(struct ledger *l, struct slot *s);

/* The place of s, from 0. */
size_t ledger_index(const struct ledger *l, const struct slot *s);

/* Whether the slots have the same bytes. */
bool slot_equal(const struct slot *a, const struct slot *b);
uint64_t slot_hash(const char *raw, size_t len);

/* Slots that are neither finished nor to be released. */
size_t ledger_unfinished(const struct ledger *l);

#endif
