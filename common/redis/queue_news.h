#ifndef COMMON_REDIS_QUEUE_NEWS_H
#define COMMON_REDIS_QUEUE_NEWS_H

#include "common/redis/queue.h"

/*
 * The verb by which a lane tells news of jobs that it runs, and the one by
 * which people stop them. The contract is that of queue.h.
 */

/* All pointers are borrowed for the call. */
struct note_job {
    const char *id;
    const char *unlock;         /* the unique key whose lock ends; NULL: none */
    bool keep;                  /* there are news of it */
    int64_t age_ms;             /* since it started; -1: that is no news */
    const struct bytes *fields; /* names and values in turn */
    unsigned field_count;
};

/*
 * At most QUEUE_BATCH_MAX jobs. Unlike other calls of scripts it is not sent
 * again after NOSCRIPT: behind a settle it would tell old news.
 */
int queue_note(struct conn *c, const struct keys *k, const char *lane,
               const struct note_job *notes, unsigned n, conn_reply_cb cb,
               void *arg) ON_LOOP;
/* ERR_MISSING: NOSCRIPT. */
int queue_note_result(int err, const struct reply *r, struct errbuf *eb);

/* ---- cancel: marks of jobs that are to be cancelled ---- */

#define QUEUE_MARK_MS (INT64_C(7) * 24 * 3600 * 1000) /* a mark counts */

/* At most QUEUE_BATCH_MAX ids. */
int queue_cancel(struct conn *c, const struct keys *k, const char *const *ids,
                 unsigned n, conn_reply_cb cb, void *arg) ON_LOOP;
/* ERR_FULL: there are too many, nothing was marked. */
int queue_cancel_result(int err, const struct reply *r, int64_t *ret_marks,
                        struct errbuf *eb);

/* All marks, at most max of them, in one answer: a set at one instant. */
int queue_marks(struct conn *c, const struct keys *k, unsigned max,
                conn_reply_cb cb, void *arg) ON_LOOP;
int queue_marks_result(int err, const struct reply *r, struct errbuf *eb);
/* Lends the mark at i, an even number, and says when it was made. */
bool queue_marks_id(const struct reply *r, size_t i, struct bytes *ret,
                    int64_t *ret_at_ms);

#endif
