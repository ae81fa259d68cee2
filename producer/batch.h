#ifndef PRODUCER_BATCH_H
#define PRODUCER_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/job/job.h"
#include "common/redis/queue.h"

/*
 * Envelopes that travel together, each with the line it came from: up to a
 * thousand plain ones by push, or one with options by push_one. For the
 * sender, which owns all of them. Loop thread only.
 */
enum { BATCH_JOBS = QUEUE_BATCH_MAX };

enum batch_state {
    BATCH_NEW,
    BATCH_SENT,
    BATCH_DONE,
    BATCH_REFUSED,
    BATCH_UNKNOWN
};

struct sender;

struct batch {
    STAILQ_ENTRY(batch) link;
    struct sender *sender; /* borrowed */
    enum batch_state state;
    struct buf text; /* the envelopes, one behind the other */
    size_t ends[BATCH_JOBS];
    uint64_t lines[BATCH_JOBS];
    unsigned count;
    unsigned accepted; /* of them, from the first; once it is answered */

    bool appended; /* by a transaction */
    struct errbuf refusal;

    bool is_one;         /* by push_one, as follows */
    struct push_one one; /* borrows from here */
    struct unique unique;
    char id[ID_MAX_LEN + 1], type[JOB_TYPE_MAX_LEN + 1];
    struct push_one_result result;
};

STAILQ_HEAD(batches, batch);

/* Returns an owned, empty one: the first of spare, or a new one. */
struct batch *batch_new(struct batches *spare);

/* Takes it back for batch_new. */
void batch_recycle(struct batches *spare, struct batch *b);
void batch_free_all(struct batches *list);

/* Counts what was appended to text behind the last envelope as one more. */
void batch_add(struct batch *b, uint64_t line);

/*
 * The same for an envelope with options, which is the only one of b. What p
 * borrows is copied; its envelope and id are those of the text.
 */
void batch_set_one(struct batch *b, uint64_t line, const struct push_one *p);

/* Moves what was appended behind the last envelope of from to an empty to. */
void batch_move_tail(struct batch *from, struct batch *to);

/* Lends all envelopes. */
void batch_envelopes(const struct batch *b, struct bytes ret[BATCH_JOBS]);

/* The id of envelope i, lent, without a NUL behind it. */
struct bytes batch_id(const struct batch *b, unsigned i);

#endif
