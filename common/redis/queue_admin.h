#ifndef COMMON_REDIS_QUEUE_ADMIN_H
#define COMMON_REDIS_QUEUE_ADMIN_H

#include "common/redis/queue.h"

/*
 * The verbs by which people move jobs that no lane holds. The contract is
 * that of queue.h; all arrays are borrowed for the call. At most
 * QUEUE_BATCH_MAX jobs a call, and more than one of them at most 64 MiB.
 */
enum queue_set { QUEUE_DEAD, QUEUE_RETRY, QUEUE_SCHEDULED };

/* Lends the name of the key. */
const char *queue_set_key(const struct keys *k, enum queue_set set);

/* ---- requeue: dead, retry or scheduled -> ready, or outbox ---- */

struct requeue_job {
    struct bytes member;   /* of the set, byte for byte */
    struct bytes envelope; /* what is put into ready, or outbox */
    const char *id;
    const char *unique;  /* the key of its lock; NULL: none */
    int64_t lock_ttl_ms; /* of that lock; 0: without end */
    bool keep;           /* there are news of it */
};
int queue_requeue(struct conn *c, const struct keys *k, enum queue_set from,
                  bool outbox, const struct requeue_job *jobs, unsigned n,
                  conn_reply_cb cb, void *arg) ON_LOOP;
/* ret_refused: of those that did not move, for queue_requeue_refused. */
int queue_requeue_result(int err, const struct reply *r, int64_t *ret_moved,
                         size_t *ret_refused, struct errbuf *eb);
/*
 * The i-th that did not move: its place in jobs, and lends who holds its lock;
 * p NULL: it was not in the set.
 */
bool queue_requeue_refused(const struct reply *r, size_t i, int64_t *ret_place,
                           struct bytes *ret_holder);

/* ---- remove: dead, retry or scheduled -> gone ---- */

struct remove_job {
    struct bytes member; /* of the set, byte for byte */
    const char *id;      /* "": none, so it has neither lock nor news */
    const char *unique;  /* the key of its lock; NULL: none */
    int64_t keep_ms;     /* 0: there are no news of it */
};
/* cancelled: counted as such, and told as the end of those with news. */
int queue_remove(struct conn *c, const struct keys *k, enum queue_set from,
                 bool cancelled, const struct remove_job *jobs, unsigned n,
                 conn_reply_cb cb, void *arg) ON_LOOP;
int queue_remove_result(int err, const struct reply *r, int64_t *ret_removed,
                        struct errbuf *eb);

/* ---- purge: ready -> gone, from the head ---- */

struct purge_job {
    struct bytes job;   /* as it was read, the first one at the head */
    const char *id;     /* "": none, so it has neither lock nor news */
    const char *unique; /* the key of its lock; NULL: none */
    bool keep;          /* there are news of it */
};
int queue_purge(struct conn *c, const struct keys *k,
                const struct purge_job *jobs, unsigned n, conn_reply_cb cb,
                void *arg) ON_LOOP;
/* ERR_MISSING: these are not the first of ready any more; nothing was done. */
int queue_purge_result(int err, const struct reply *r, int64_t *ret_purged,
                       struct errbuf *eb);

/* ---- import: producer -> dead ---- */

struct import_job {
    int64_t died_ms;
    struct bytes envelope;
};
int queue_import(struct conn *c, const struct keys *k,
                 const struct import_job *jobs, unsigned n, conn_reply_cb cb,
                 void *arg) ON_LOOP;
/* ret_added: those that were not there yet. */
int queue_import_result(int err, const struct reply *r, int64_t *ret_added,
                        struct errbuf *eb);

#endif
