#ifndef WORKER_SUBTASK_PRIV_H
#define WORKER_SUBTASK_PRIV_H

#include "worker/subtask.h"

/* What the two sides of sub-tasks share. For worker/subtask* only. */

/* One, with what only the tier itself needs of it. */
struct subtask_private {
    struct subtask t;    /* first: one is the other */
    struct subtasks *of; /* borrowed: they outlive it */
    size_t bytes;        /* of its envelope; of what waits, once it ended */
    bool wanted;         /* the parent asked for its result */
    bool cut;            /* its time limit is what was left of the parent's */
    char *type;          /* owned */
    enum verdict verdict;
    bool crashed;
    int exit_status;
    int64_t delay_ms, cpu_us;
    struct buf stderr_tail;
    struct delivery *pushes; /* owned: a delivery that has some; NULL: none */
};

enum { SUBTASK_GATHERED = 32 };
enum want { WANT_ROOM = 1, WANT_RESULT = 2, WANT_END = 4 };

struct subtasks {
    struct delivery *d;        /* borrowed: the parent */
    struct subtask_pool *pool; /* borrowed */
    const struct subtask_config *cfg;
    struct subtasks_options opt;      /* constant once one was emitted */
    int fd;                           /* owned */
    int64_t end_boot_ms;              /* of the parent's time limit */
    int64_t emitted;                  /* parent's thread only */
    bool gathers;                     /* the same: sends many at once */
    void *gathered[SUBTASK_GATHERED]; /* owned: struct delivery */
    unsigned gathered_count;
    bool end_told;           /* the same: as a line */
    bool timed_out, stopped; /* the same: why subtasks_wait cancelled */
    _Atomic int cancel;      /* enum cancel, of all of them */

    struct mutex mu; /* guards what follows */
    unsigned unfinished;
    size_t bytes;                  /* of the envelopes of those */
    struct subtask_private **ring; /* owned: what ended, by place */
    size_t ring_cap;               /* a power of two, or 0 */
    int64_t head, tail;            /* places: the next one, behind the last */
    size_t waiting_bytes;          /* of what is in the ring */
    int64_t counts[SUBTASK_STATES], cpu_us;
    struct subtask_private *first; /* owned: the failure of the parent */
    bool closed;                   /* no more will be emitted */
    bool dropped;                  /* nobody takes results */
    unsigned wants;
    bool woken; /* fd was written */
};

/* One is the other. */
struct subtask_private *subtask_private(struct subtask *t);

/* After the last one has ended. */
void subtasks_free(struct subtasks *s);

/* Of the parent's time limit. */
int64_t subtasks_left_ms(const struct subtasks *s);

/*
 * Starts the threads, if they are not there. Any thread. ERR_SYSTEM when there
 * are no more threads.
 */
int subtask_pool_start(struct subtask_pool *p, struct errbuf *eb);

/* Gives n of them to the threads, which were started. Takes them. */
void subtask_pool_send(struct subtask_pool *p, void *const *ds,
                       unsigned n) MAY_BLOCK;

/* pool_cancel_all of its threads. Any thread. */
void subtask_pool_cancel(struct subtask_pool *p, _Atomic int *all,
                         enum cancel why);

const struct subtask_config *subtask_pool_config(const struct subtask_pool *p);

/* One has ended: makes of d, which it takes, the result, and hands it over.
 * In the thread that ran it, or that gave it up. */
void subtasks_ended(struct delivery *d);

void subtask_pool_counted(struct subtask_pool *p, enum subtask_state state);

#endif
