#ifndef WORKER_SETTLE_PRIV_H
#define WORKER_SETTLE_PRIV_H

#include "common/base/text.h"
#include "common/job/unique.h"
#include "worker/lane.h"

/* What the files of settling share. Loop thread only. */
enum {
    NEWS_FIELDS = 24, /* names and values of a kept job */
    NEWS_NUMBERS = 8,
    COUNTS_MAX = 160 /* different counters of one call */
};

/* The fields of one keep; values are borrowed from the slot, or numbers. */
struct news {
    struct bytes fields[NEWS_FIELDS];
    char numbers[NEWS_NUMBERS][INT_TEXT_MAX];
    unsigned n, numbers_n;
};

/*
 * One call under construction. The arrays are made when the first of them is
 * needed: most jobs are done, nothing is kept and nothing follows. Of adds
 * there may be more than jobs, of the others there are max.
 */
struct work {
    struct lane *lane;
    int64_t now_ms; /* Redis' clock */
    struct settle call;
    struct ref *refs;
    struct settle_add *adds;
    struct buf *envelopes; /* one for each add */
    unsigned add_room;
    struct settle_keep *keeps;
    struct news *news; /* of those that are no log */
    unsigned news_count;
    struct settle_unlock *unlocks;
    struct unique *locks; /* one for each unlock */
    const char **marks;
    size_t bytes;
    unsigned jobs, max;
    int64_t ended[SETTLE_COUNTERS];
    int64_t pushed, sent; /* what follows, into ready and outbox */
    struct settle_count counts[COUNTS_MAX];
};

/* ---- settle.c ---- */
/*
 * Adds n to a counter of the call; name is a constant. Of more than COUNTS_MAX
 * counters the last are left out.
 */
void work_count(struct work *w, const char *name, int64_t n) ON_LOOP;
/* Lends the buffer for the envelope of the next add. */
struct buf *work_envelope(struct work *w) ON_LOOP;
/* Takes what was written there as an add. */
void work_put(struct work *w, enum settle_where where,
              int64_t delay_ms) ON_LOOP;

/* ---- outcome.c ---- */
/* Whether there is room in the call for what becomes of s. */
bool work_fits(const struct work *w, const struct slot *s) ON_LOOP;
/* Puts what becomes of a finished slot into the call. */
void work_add(struct work *w, struct slot *s) ON_LOOP;
/* Buries bytes that are no envelope in dead. */
void work_bury(struct work *w, const char *raw, size_t len,
               const char *why) ON_LOOP;

/* ---- times.c ---- */
bool lane_times_due(const struct lane *lane, int64_t now_ms);
/* Puts all times that were not told into the call of this batch. */
void work_tell_times(struct work *w, struct batch *b) ON_LOOP;

/* ---- failure.c ---- */
enum { MESSAGE_MAX = 2 * 1024 }; /* bytes of a message that are kept */

/* The members error and failures after this failure, of that many attempts. */
void failure_texts(const struct work *w, const struct slot *s, int64_t attempt,
                   struct buf *error, struct buf *failures) ON_LOOP;
/* The same of error alone. */
void failure_error(const struct work *w, const struct slot *s, int64_t attempt,
                   struct buf *error) ON_LOOP;

/* ---- follow.c ---- */
/* Pushes what the run of a done job asked for. */
void work_push(struct work *w, const struct slot *s) ON_LOOP;
/* Pushes what the "then" of a done job says. */
void work_follow(struct work *w, const struct slot *s) ON_LOOP;

/* ---- news.c ---- */
/* Tells of a kept job that waits again, until due_ms. */
void work_tell_wait(struct work *w, const struct slot *s, const char *state,
                    int64_t attempt, int64_t due_ms) ON_LOOP;
/* Tells how a kept job ended, and lets go of its lock and its mark. */
void work_tell_end(struct work *w, const struct slot *s, const char *state,
                   int64_t attempt) ON_LOOP;

#endif
