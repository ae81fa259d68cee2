#ifndef PRODUCER_WALK_H
#define PRODUCER_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/queue.h"
#include "producer/client.h"

/*
 * A walk through a sorted set, a page at a time, while others add and remove:
 * every member that is there from the beginning to the end comes once. The
 * place is kept as score and member, never as a number of members; what was
 * added behind the end that the set had at the beginning does not come.
 * Memory is that of a page, WALK_PAGE_MAX members. Main thread.
 */
#define WALK_PAGE_MAX 100

struct walk;

struct walked {
    struct bytes member; /* lent until the next page */
    int64_t at_ms;       /* its score; -1 if it is no number of ms */
};

/*
 * Returns an owned walk through key, from the lowest score up or from the
 * highest down, over the scores from and to (INT64_MIN, INT64_MAX: all).
 */
struct walk *walk_new(struct client *c, const char *key, bool down,
                      int64_t from, int64_t to);
void walk_free(struct walk *w); /* NULL is a no-op */

/*
 * Reads the next page. Returns 0 with *ret_n members, none at the end, or the
 * exit status of an error that was told.
 */
int walk_next(struct walk *w, unsigned *ret_n);
const struct walked *walk_at(const struct walk *w, unsigned i);

/*
 * The place behind a member, from which another walk through the same set goes
 * on, in the same direction, whatever has happened to the set by then: what
 * lay before it does not come again, what lies behind it does. If that member
 * has gone, or its place among many of its score, it is known by its first
 * WALK_PREFIX bytes alone, in which Belt's have their ids: then others that
 * begin so may come twice. The place tells no more of a job than these.
 */
enum { WALK_SCORE_MAX = 40, WALK_PREFIX = 48, WALK_DIGEST = 16 };

struct walk_place {
    char score[WALK_SCORE_MAX]; /* as Redis has it */
    char end[WALK_SCORE_MAX];   /* upwards: where the walk ends; "": anywhere */
    int64_t same; /* members of that score up to there; only a guess */
    char digest[WALK_DIGEST + 1]; /* of the whole member, hexadecimal */
    char prefix[WALK_PREFIX];
    size_t prefix_len;
};

void walk_place(const struct walk *w, unsigned i, struct walk_place *ret);
/* For a walk that has not begun. Returns false if the score is no number. */
bool walk_go_on(struct walk *w, const struct walk_place *from);

/* Says that member i of the page has left the set; spares looking for it. */
void walk_gone(struct walk *w, unsigned i);

/* Members that the set had when the walk began. */
int64_t walk_total(const struct walk *w);

#endif
