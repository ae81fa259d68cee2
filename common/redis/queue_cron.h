#ifndef COMMON_REDIS_QUEUE_CRON_H
#define COMMON_REDIS_QUEUE_CRON_H

#include "common/redis/queue.h"

/*
 * The verbs of periodic jobs. The contract is that of queue.h.
 */

/* What a call of tick does. All borrowed for the call. */
struct tick_job {
    const char *id;
    struct bytes envelope;
};
struct tick {
    const char *name;
    struct bytes entry;      /* as it was read */
    int64_t due_ms, next_ms; /* next -1: none comes, the entry goes */
    struct bytes after; /* the entry once they are pushed; p NULL: as it is */
    bool last;          /* it goes once they are pushed */
    const char *lock;   /* held: nothing is pushed; NULL: none */
    bool keep;          /* news of them: with type and created_at */
    const char *type;
    int64_t created_at_ms;
    const struct tick_job *jobs;
    unsigned count; /* of jobs; at most one with a lock */
};
int queue_tick(struct conn *c, const struct keys *k, const struct tick *t,
               conn_reply_cb cb, void *arg) ON_LOOP;
enum tick_state { TICK_PUSHED, TICK_SKIPPED, TICK_STALE };
int queue_tick_result(int err, const struct reply *r, enum tick_state *ret,
                      int64_t *ret_pushed, struct errbuf *eb);

#define CRON_DUE_NEVER (-1)
#define CRON_DUE_AS_IT_IS (-2)
/*
 * Writes an entry in the place of was (p NULL: there is none), or removes it
 * (entry.p NULL).
 */
int queue_cron_put(struct conn *c, const struct keys *k, const char *name,
                   struct bytes was, struct bytes entry, int64_t due_ms,
                   conn_reply_cb cb, void *arg) ON_LOOP;
/* ERR_MISSING: there is another one by now. */
int queue_cron_put_result(int err, const struct reply *r, struct errbuf *eb);

#endif
