#ifndef COMMON_REDIS_QUEUE_H
#define COMMON_REDIS_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/job/unique.h"
#include "common/redis/conn.h"
#include "common/redis/keys.h"

/*
 * The verbs of a queue: one function that sends each, one that reads its
 * answer. What they mean is in docs/PROTOCOL.md; the keys, arguments and
 * results are those of the script of the same name in common/lua.
 *
 * queue_x returns 0, or ERR_REFUSED when the connection is down and cb will
 * not be called. queue_x_result is for use in cb and returns
 *     0            it was executed; the outputs are set
 *     ERR_FENCED   the lane holds no lease
 *     ERR_REFUSED  not executed
 *     ERR_UNKNOWN  sent, but no answer came: it may run, now or later
 *     ERR_REDIS    Redis answered with an error, or with nonsense
 * with a text in eb. Loop thread only.
 */
#define QUEUE_FORMAT 1
#define QUEUE_BATCH_MAX 1000
#define QUEUE_BATCH_MAX_BYTES (8 * 1024 * 1024)
#define LANE_ID_MAX 128
#define REF_BYTES_MAX 1024 /* longer jobs are named by index and SHA-1 */

/*
 * Outputs are within these, whatever was answered: numbers of jobs and times
 * of Redis' clock from 0 to COUNT_MAX, which is as far as Lua counts exactly,
 * waits (cut) within WAIT_MAX of now, fences with room for those that follow.
 * So they can be reckoned with.
 */
#define QUEUE_COUNT_MAX (INT64_C(1) << 53)
#define QUEUE_WAIT_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)

struct bytes {
    const char *p;
    size_t len;
};

/*
 * How long the news of a job that has not ended are kept, behind the last:
 * longer than most wait, and no hash stays for ever.
 */
#define QUEUE_NEWS_TTL_MS (90LL * 24 * 3600 * 1000)

/* How one script call may take in the end. */
#define QUEUE_DEADLINE_MS 5000

int queue_push(struct conn *c, const struct keys *k, bool front,
               const struct bytes *envelopes, unsigned n, conn_reply_cb cb,
               void *arg) ON_LOOP;
struct push_result {
    int64_t depth;    /* jobs that wait now */
    int64_t accepted; /* of ERR_FULL: so many, from the first, were pushed */
    int64_t limit;    /* of ERR_FULL: max_length; -1: it has none */
};
/*
 * ERR_REDIS with "OOM …" and the like: nothing was pushed. ERR_INVALID: nor
 * here, the format of the queue is newer. ERR_FULL, which sets *ret too.
 */
int queue_push_result(int err, const struct reply *r, struct push_result *ret,
                      struct errbuf *eb);

/* One job with options. All pointers are borrowed for the call. */
struct push_one {
    bool front;            /* to the head, unless it waits until it is due */
    struct bytes envelope; /* begins {"id":"<id>" */
    const char *id;
    int64_t at_ms, in_ms;        /* 0: none; of both the later counts */
    const struct unique *unique; /* NULL: none */
    int64_t once_ms; /* > 0: another push with this id in this time is SAME */
    const char
        *once_id; /* another one for that, made of [A-Za-z0-9]; or NULL */
    const char *once_mark; /* as that: it is SAME only with the same; or NULL */
    bool moved; /* out of an outbox: no limit holds, its own lock is no bar */
    bool keep;
    const char *type; /* this and created_at: of keep only */
    int64_t created_at_ms;
};
int queue_push_one(struct conn *c, const struct keys *k,
                   const struct push_one *p, conn_reply_cb cb,
                   void *arg) ON_LOOP;
enum push_state {
    PUSH_DONE,
    PUSH_SAME,    /* it has come before: it holds the lock, or its once is */
    PUSH_HELD,    /* holder has the lock: nothing was pushed */
    PUSH_REPLACED /* holder's envelope, not due yet, has become this one */
};
struct push_one_result {
    enum push_state state;
    /* "" if the lock names no id. Of PUSH_SAME by once: as which it came. */
    char holder[ID_MAX_LEN + 1];
    int64_t depth; /* of ready; of PUSH_DONE and ERR_FULL */
    int64_t limit; /* as that of a push_result */
};
/*
 * The errors of queue_push_result; ERR_FULL: nothing was pushed. ERR_HELD: nor
 * here, it has come with another mark, as the job holder of *ret.
 */
int queue_push_one_result(int err, const struct reply *r,
                          struct push_one_result *ret, struct errbuf *eb);

/*
 * Tells who waits for holder, an id, that it has become the job p: its news
 * are removed, or with keep begin if it had none. Whoever is told
 * PUSH_REPLACED calls it, and waits for the answer before the push is done;
 * its failure takes back nothing. The keys are of the queue of the push.
 */
int queue_push_replaced(struct conn *c, const struct keys *k,
                        const struct push_one *p, const char *holder,
                        conn_reply_cb cb, void *arg) ON_LOOP;
int queue_push_replaced_result(int err, const struct reply *r,
                               struct errbuf *eb);

int queue_register(struct conn *c, const struct keys *k, const char *lane,
                   int64_t lease_ms, const char *description, conn_reply_cb cb,
                   void *arg) ON_LOOP;
/* ERR_MISSING: the id was used before, take the next. */
int queue_register_result(int err, const struct reply *r, int64_t *ret_now_ms,
                          struct errbuf *eb);

/* ulid_prefix: ULID_PREFIX_LEN characters, of the ids that it stamps. */
int queue_fetch(struct conn *c, const struct keys *k, const char *lane,
                unsigned n, size_t max_bytes, const char *ulid_prefix,
                conn_reply_cb cb, void *arg) ON_LOOP;
struct fetch_result {
    bool more, paused;
    int64_t fence; /* of the first job; the others follow one by one */
    int64_t cancelled_version;
    size_t count;
    bool refused; /* of a bulk fetch: use fetch; more is then not known */
    bool bigger;  /* of a bulk fetch: came in spite of its bound in bytes */
};
int queue_fetch_result(int err, const struct reply *r, struct fetch_result *ret,
                       struct errbuf *eb);
/* Lends job i of a fetch result until the callback returns. */
bool queue_fetch_job(const struct reply *r, size_t i, struct bytes *ret);

/*
 * The same in two commands that are sent together: the script moves many jobs
 * without reading them, then a plain LRANGE does. held is how many jobs the
 * lane has in active; count jobs came behind them.
 */
int queue_fetch_bulk(struct conn *c, const struct keys *k, const char *lane,
                     unsigned n, size_t max_bytes, size_t held,
                     conn_reply_cb cb, void *arg) ON_LOOP;
int queue_fetch_bulk_result(int err, const struct reply *r,
                            struct fetch_result *ret, struct errbuf *eb);
/* From a place to another; negative ones count from the end. */
int queue_list_active(struct conn *c, const struct keys *k, const char *lane,
                      int64_t from, int64_t to, conn_reply_cb cb,
                      void *arg) ON_LOOP;
int queue_list_active_result(int err, const struct reply *r, size_t *ret_count,
                             struct errbuf *eb);
/* Lends job i of the list until the callback returns. */
bool queue_list_active_job(const struct reply *r, size_t i, struct bytes *ret);

/* The plain commands of waiting and of delivery at most once. */
int queue_block(struct conn *c, const struct keys *k, const char *lane,
                int64_t timeout_ms, conn_reply_cb cb, void *arg) ON_LOOP;
int queue_block_pop(struct conn *c, const struct keys *k, int64_t timeout_ms,
                    conn_reply_cb cb, void *arg) ON_LOOP;
/* 0 with p NULL: nothing came in that time. */
int queue_block_result(int err, const struct reply *r, struct bytes *ret,
                       struct errbuf *eb);
int queue_pop(struct conn *c, const struct keys *k, unsigned n,
              conn_reply_cb cb, void *arg) ON_LOOP;
/* Back to the head, in this order, whatever limits the queue has. */
int queue_unpop(struct conn *c, const struct keys *k, const struct bytes *jobs,
                unsigned n, conn_reply_cb cb, void *arg) ON_LOOP;
int queue_unpop_result(int err, const struct reply *r, struct errbuf *eb);

int queue_stamp(struct conn *c, const struct keys *k, const char *lane,
                size_t index, struct bytes was, struct bytes now,
                conn_reply_cb cb, void *arg) ON_LOOP;
/* ERR_MISSING: something else is at that index. */
int queue_stamp_result(int err, const struct reply *r, int64_t *ret_fence,
                       struct errbuf *eb);

/* A job of the active list: its bytes, and its index before the call. */
struct ref {
    struct bytes job;
    size_t index;
};

/* What a settle call does. All arrays are borrowed for the call. */
enum settle_where {
    SETTLE_RETRY, /* due after the delay */
    SETTLE_DEAD,
    SETTLE_SCHEDULED, /* due after the delay */
    SETTLE_READY,     /* at the end */
    SETTLE_OUTBOX
};
struct settle_add {
    enum settle_where where;
    int64_t delay_ms;
    struct bytes envelope;
};
struct settle_keep {
    const char *id;
    bool log; /* its log, which has no fields, and not its news */
    int64_t ttl_ms;
    const char *publish;        /* a state to be published; NULL: none */
    const struct bytes *fields; /* names and values in turn */
    unsigned field_count;
};
/* A lock that ends if the job of this id holds it. */
struct settle_unlock {
    const char *key; /* of a unique, as the envelope has it */
    const char *id;
};
struct settle_count {
    const char *name;
    int64_t n;
};
struct settle {
    unsigned cumulative; /* jobs from the front */
    struct ref last;     /* the last of them */
    const struct ref *selective;
    unsigned selective_count;
    const struct settle_add *adds;
    unsigned add_count;
    const struct settle_keep *keeps;
    unsigned keep_count;
    const struct settle_unlock *unlocks;
    unsigned unlock_count;
    const char *const *marks; /* ids that go from cancelled */
    unsigned mark_count;
    const struct settle_count *counts;
    unsigned count_count;
};
int queue_settle(struct conn *c, const struct keys *k, const char *lane,
                 const struct settle *s, conn_reply_cb cb, void *arg) ON_LOOP;
/* ERR_MISSING: the list is not as we believe. */
int queue_settle_result(int err, const struct reply *r, struct errbuf *eb);

int queue_release(struct conn *c, const struct keys *k, const char *lane,
                  const struct ref *refs, unsigned n, conn_reply_cb cb,
                  void *arg) ON_LOOP;
int queue_release_result(int err, const struct reply *r, struct errbuf *eb);

int queue_promote(struct conn *c, const struct keys *k, conn_reply_cb cb,
                  void *arg) ON_LOOP;
/* ret_next_ms: until the next one is due, -1 if there is none. */
int queue_promote_result(int err, const struct reply *r, int64_t *ret_moved,
                         int64_t *ret_next_ms, struct errbuf *eb);

/* version: of config, which the lane complies with; -1: not yet with any. */
int queue_renew(struct conn *c, const struct keys *k, const char *lane,
                int64_t lease_ms, int64_t version, conn_reply_cb cb,
                void *arg) ON_LOOP;
struct renew_result {
    int64_t now_ms, active, ready;
    int64_t config_version, cancelled_version, lanes_version;
    bool paused;
    int64_t paused_left_ms; /* until the pause ends; -1: it has no end */
    int64_t next_due_ms;    /* -1: nothing is scheduled or to be retried */
    int64_t cron_due_ms;    /* until an entry is due; -1: there is none */
    int64_t outbox;         /* its length */
    char oldest_lane[LANE_ID_MAX];
    int64_t oldest_left_ms; /* of its lease; negative: ran out */
};
int queue_renew_result(int err, const struct reply *r, struct renew_result *ret,
                       struct errbuf *eb);

int queue_rebind(struct conn *c, const struct keys *k, const char *was,
                 const char *lane, int64_t lease_ms, const char *description,
                 conn_reply_cb cb, void *arg) ON_LOOP;
/*
 * ERR_MISSING: the new id was used before. ret_settles: calls that have run
 * since the lane was registered. Jobs: queue_rebind_job.
 */
int queue_rebind_result(int err, const struct reply *r, int64_t *ret_settles,
                        size_t *ret_count, struct errbuf *eb);
bool queue_rebind_job(const struct reply *r, size_t i, struct bytes *ret);

int queue_leave(struct conn *c, const struct keys *k, const char *lane,
                conn_reply_cb cb, void *arg) ON_LOOP;
int queue_leave_result(int err, const struct reply *r, int64_t *ret_left,
                       struct errbuf *eb);

enum reap_mode { REAP_EXPIRED, REAP_GONE, REAP_REST, REAP_STRAGGLER };
int queue_reap(struct conn *c, const struct keys *k, const char *lane,
               enum reap_mode mode, conn_reply_cb cb, void *arg) ON_LOOP;
enum reap_state { REAP_MOVED, REAP_ALIVE, REAP_NONE, REAP_FORGOTTEN };
struct reap_result {
    enum reap_state state;
    int64_t moved, left;
};
int queue_reap_result(int err, const struct reply *r, struct reap_result *ret,
                      struct errbuf *eb);

#endif
