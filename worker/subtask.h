#ifndef WORKER_SUBTASK_H
#define WORKER_SUBTASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/thread.h"
#include "common/job/json.h"
#include "worker/delivery.h"
#include "worker/handler.h"

/*
 * Sub-tasks, the second tier: a run (the parent) splits its job.
 *
 *     parent ── tasks: deliveries ──► sub-task threads ── results ──► parent
 *
 * They are in no Redis and end with their parent. All parents share one
 * channel and one pool, whose threads start with the first sub-task. A parent
 * may have window of them unfinished and the channel has room for that of
 * every parent, so a parent waits for its own only, and what one of them has
 * in the channel delays another by a window at most. A sub-task has none of
 * its own: two tiers, and the lower one waits for nobody.
 */
struct subtask_pool;

struct subtask_config {
    unsigned threads;
    unsigned window;    /* unfinished of one parent; 0: four times threads, and
                         * SUBTASK_WINDOW_MIN at least */
    unsigned parents;   /* that there may be at a time: threads of the pool */
    size_t results_max; /* bytes that wait for one parent */
    struct handlers *handlers; /* borrowed: for parents to which no table is
                                * lent; NULL: there are none */
};

enum {
    SUBTASK_WINDOW_MIN = 64,
    SUBTASK_KEY_MAX = 256,                /* bytes */
    SUBTASK_BYTES_MAX = 16 * 1024 * 1024, /* of unfinished ones of a parent */
};

struct subtask_pool *subtask_pool_new(const struct subtask_config *cfg);

/*
 * No parent is left, and none will come. Joins the threads. NULL: a no-op.
 * Not to be called if threads were lost, of this pool or that of the parents.
 */
void subtask_pool_free(struct subtask_pool *p) MAY_BLOCK;

enum subtask_state { SUBTASK_DONE, SUBTASK_FAILED, SUBTASK_CANCELLED };
enum { SUBTASK_STATES = SUBTASK_CANCELLED + 1 };

/* "done", "failed", "cancelled". */
const char *subtask_state_name(enum subtask_state state);

/* How many have ended so, ever. Any thread. */
int64_t subtask_pool_count(const struct subtask_pool *p,
                           enum subtask_state state);

/* Threads that run one right now; 0 before the first. Any thread. */
unsigned subtask_pool_busy(struct subtask_pool *p);

/* pool_give_up_late and pool_lost of its threads. Loop thread. */
unsigned subtask_pool_give_up_late(struct subtask_pool *p, int64_t now_ms,
                                   int64_t *ret_next_ms);
unsigned subtask_pool_lost(struct subtask_pool *p);

/* ---- the side of a parent: the thread of its run, unless said ---- */

struct subtasks;

enum subtask_order { SUBTASK_FINISHED, SUBTASK_EMITTED };
enum subtask_policy { SUBTASK_FAIL, SUBTASK_COLLECT };

struct subtasks_options {
    enum subtask_order order;
    enum subtask_policy on_error; /* FAIL: the first failure cancels the others
                                   * and fails the parent, in its way */
    bool no_results;              /* none is kept for subtasks_try_next */
};

/* What is emitted; all of it borrowed. */
struct subtask_spec {
    const char *type;
    struct json_span payload; /* valid JSON; p NULL: null */
    const char *key;          /* comes back with the result; NULL: none */
    int64_t timeout_ms;       /* 0: that of its handler; the parent's ends it
                               * in any case */
};

/* How one has ended. */
struct subtask {
    int64_t number; /* from 1 */
    enum subtask_state state;
    char *key;            /* owned; NULL: none */
    char error_class[32]; /* "" if done */
    struct buf message;   /* owned: why it is not done */
    struct buf result;    /* owned: of a done one, as of a job */
    bool result_truncated;
};
void subtask_free(struct subtask *t);

/*
 * Lends the sub-tasks of this run of d, made by the first call, until it
 * ends. NULL, with a text, where there can be none: d is a sub-task itself.
 */
struct subtasks *subtasks_of(struct delivery *d, struct errbuf *eb);

/* ERR_INVALID once one was emitted. */
int subtasks_set_options(struct subtasks *s, const struct subtasks_options *o,
                         struct errbuf *eb);

/*
 * Emits one. ERR_AGAIN when there is no room: subtasks_fd tells when there
 * may be. ERR_CLOSED after the first failure and when they were cancelled:
 * nothing is to be emitted any more. ERR_INVALID, ERR_TOO_BIG: it cannot be
 * one, or comes after the end. A type that has no handler here is a sub-task
 * that fails.
 */
int subtasks_try_emit(struct subtasks *s, const struct subtask_spec *spec,
                      struct errbuf *eb);

/* Notes one that has failed since it cannot be one, and why. */
void subtasks_refuse(struct subtasks *s, const char *key, const char *why);

/*
 * What is emitted from now on may stay here until subtasks_flush, or until
 * there is no room, so that many go at once. Who gathers and then does
 * something else flushes before; who waits in here does.
 */
void subtasks_gather(struct subtasks *s);
void subtasks_flush(struct subtasks *s);

/*
 * Returns the next one that has ended, owned, in the order that was asked
 * for. ERR_AGAIN when none has; ERR_CLOSED when none will: all have ended
 * and no more may come, or one failed in a way that fails the parent.
 */
int subtasks_try_next(struct subtasks *s, struct subtask **ret);

/*
 * The same, waiting until the deadline (clock_ms(); ERR_TIMEOUT), and
 * ERR_CLOSED when the parent is told to stop: cancel_fd is readable then and
 * stays so. Where to wait would be for ever they do not: emit returns ERR_AGAIN
 * when only results that nobody takes are in its way, next ERR_CLOSED when
 * nothing is unfinished.
 */
int subtasks_emit(struct subtasks *s, const struct subtask_spec *spec,
                  int cancel_fd, int64_t deadline_ms,
                  struct errbuf *eb) MAY_BLOCK;
int subtasks_next(struct subtasks *s, struct subtask **ret, int cancel_fd,
                  int64_t deadline_ms) MAY_BLOCK;

/*
 * An eventfd that is readable when what was ERR_AGAIN may succeed, and at the
 * first failure. subtasks_look makes it unreadable; what is to be waited for
 * must then be tried again.
 */
int subtasks_fd(const struct subtasks *s);
void subtasks_look(struct subtasks *s);

/* No more will be emitted. */
void subtasks_end(struct subtasks *s);

/* Whether one failed in a way that fails the parent, which is to stop. */
bool subtasks_failed(struct subtasks *s);

/* How many have ended so. */
int64_t subtasks_count(struct subtasks *s, enum subtask_state state);

/* Tells all to stop, once. The second function: KILL now, as by a second wake
 * for cancel. */
void subtasks_cancel(struct subtasks *s, enum cancel why);
void subtasks_hurry(struct subtasks *s);

/* The same for those of a run that is stopped or has failed, if it has any: in
 * the way of its cancel, if that is why. */
void subtasks_stop(struct delivery *d);

/* The parent takes no results any more; those that wait are dropped. */
void subtasks_drop_results(struct subtasks *s);

/*
 * Waits for news (subtasks_fd) or a stop: d cancelled, or its time limit, both
 * of which cancel the sub-tasks. For a parent that has nothing else to do.
 */
void subtasks_wait(struct subtasks *s, int cancel_fd) MAY_BLOCK;

/*
 * After the run of d, whose outcome is there: waits for all of its sub-tasks,
 * or cancels them if it was not done, and fails a done one as its sub-tasks,
 * its time limit or its cancel say. handler_run calls it for every kind.
 */
void subtasks_finish(struct delivery *d, int cancel_fd) MAY_BLOCK;

#endif
