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

/* ---- log: lines that runs wrote ---- */

enum { LOG_LINES_MAX = 1000, LOG_BYTES_MAX = 256 * 1024 }; /* of a job */

/* Lines of one run; all pointers are borrowed for the call. */
struct log_job {
    const char *id;
    const char *run; /* a name that no other run of any job has */
    int64_t first;   /* number of the first among all of the run, from 1 */
    const struct bytes *lines; /* JSON objects without the brace in front */
    unsigned count;
};

/*
 * At most QUEUE_BATCH_MAX jobs. What was appended before is not again, so it
 * may be sent once more on a guess.
 */
int queue_log(struct conn *c, const struct keys *k, const char *lane,
              const struct log_job *jobs, unsigned n, conn_reply_cb cb,
              void *arg) ON_LOOP;
int queue_log_result(int err, const struct reply *r, struct errbuf *eb);

/* ---- cancel: marks of jobs that are to be cancelled ---- */

#define QUEUE_MARK_MS (INT64_C(7) * 24 * 3600 * 1000) /* a mark counts */

/* At most QUEUE_BATCH_MAX ids. */
int queue_cancel(struct conn *c, const struct keys *k, const char *const *ids,
                 unsigned n, conn_reply_cb cb, void *arg) ON_LOOP;
/* ERR_FULL: there are too many, nothing was marked. */
int queue_cancel_result(int err, const struct reply *r, int64_t *ret_marks,
                        struct errbuf *eb);

/* Reads the state of a kept job: a text, or nil. */
int queue_job_state(struct conn *c, const struct keys *k, const char *id,
                    conn_reply_cb cb, void *arg) ON_LOOP;

/* All marks, at most max of them, in one answer: a set at one instant. */
int queue_marks(struct conn *c, const struct keys *k, unsigned max,
                conn_reply_cb cb, void *arg) ON_LOOP;
int queue_marks_result(int err, const struct reply *r, struct errbuf *eb);
/* Lends the mark at i, an even number, and says when it was made. */
bool queue_marks_id(const struct reply *r, size_t i, struct bytes *ret,
                    int64_t *ret_at_ms);

#endif
