#ifndef PRODUCER_FIND_H
#define PRODUCER_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/job_name.h"

/*
 * Where a job is, of which only the id is known. There is no index: lists are
 * read page by page, sets are scanned in steps, and there is an end to both
 * (below), so that neither Redis nor we are held up. Jobs move meanwhile: one
 * that is not found may have been missed. Main thread.
 */
#define FIND_READY_MAX 10000      /* of the first jobs of ready */
#define FIND_SET_MAX 100000       /* of the members of a set, about */
#define FIND_BYTES_MAX (16 << 20) /* read of lists in all */

enum place {
    PLACE_NONE = 0,
    PLACE_ACTIVE = 1 << 0,
    PLACE_SCHEDULED = 1 << 1,
    PLACE_RETRY = 1 << 2,
    PLACE_DEAD = 1 << 3,
    PLACE_OUTBOX = 1 << 4,
    PLACE_READY = 1 << 5
};
#define PLACES_CHEAP (PLACE_ACTIVE | PLACE_SCHEDULED | PLACE_RETRY | PLACE_DEAD)
#define PLACES_ALL (PLACES_CHEAP | PLACE_OUTBOX | PLACE_READY)
#define PLACES_WHOLE                                                           \
    (1U << 6) /* with others: sets are scanned to their end                    \
               */

struct found {
    enum place place;
    struct job *job;  /* owned; NULL: not found */
    int64_t at_ms;    /* in a set: when it is due, or since when it is dead */
    int64_t ahead;    /* in ready: jobs before it */
    char lane[192];   /* in active: the lane that holds it */
    int64_t lease_ms; /* and the end of its lease, by Redis' clock */
    unsigned cut;     /* places of which only a part was looked at */
};

/* "scheduled" and so on, as belt jobs calls it. */
const char *place_name(enum place place);

/*
 * Looks into places, first into the one of first. Returns 0, found or not, or
 * the status of an error that was told. Done with found_done.
 */
int find_job(struct client *c, const struct keys *keys, const char *id,
             unsigned places, enum place first, struct found *ret);
void found_done(struct found *f);

/*
 * Sets the queue of name to the one that has a job of this id: kept, or in
 * one of its sets. It stays "" if there is none. Returns as find_job.
 */
int find_queue(struct client *c, const char *ns, struct job_name *name);

/*
 * Whether lane, or another lane of the same worker, which took its place by
 * rebind, holds a lease. Returns as find_job.
 */
int find_lease(struct client *c, const struct keys *keys, const char *lane,
               bool *ret);

#endif
