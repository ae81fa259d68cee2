#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include <stdint.h>

#include "common/base/chan.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "worker/delivery.h"

/*
 * The pool: threads that take deliveries from one channel, run their
 * handlers, and send them back through another. A job that has expired by
 * then comes back unrun.
 *
 *     loop ── jobs: deliveries ──► pool threads ── outcomes: notes ──► loop
 *
 * NOTE_ENDED hands a delivery back. Before it came NOTE_STARTED, if the
 * delivery has tell_start, and any number of NOTE_PROGRESS and NOTE_LOG, one
 * of each at a time.
 *
 * After each send to outcomes a thread writes to wake_fd unless a wake is
 * already on its way (coalesced), so that the loop may sleep in epoll.
 *
 * The sub-tasks of those runs are run by a second pool (subtask.h), which has
 * no outcomes: what ends goes to a function.
 */
struct pool;
struct subtask_pool;

struct pool_config {
    unsigned threads;
    const char *name;      /* of its threads, with their number behind it */
    struct chan *jobs;     /* borrowed; closing it ends the threads */
    struct chan *outcomes; /* borrowed; with room for all notes of all */
    int wake_fd;           /* borrowed eventfd, non-blocking */
    /* Instead of the last two: takes each delivery, in the thread that ran it,
     * or that gave it up, when no pool_cancel_all can reach it any more. */
    void (*ended)(struct delivery *d);
    struct subtask_pool *subtasks; /* borrowed: what its runs may use; NULL */
};

/*
 * Starts the threads, all signals blocked in them. Returns NULL, with jobs
 * closed perhaps, when the system has no more of them.
 */
struct pool *pool_start(const struct pool_config *cfg, struct errbuf *eb);

/*
 * To be called by the loop when wake_fd is readable, before it empties
 * outcomes: reads the eventfd and allows the next wake.
 */
void pool_woken(struct pool *p);

/* Deliveries that were taken from jobs and have begun, or not been run. */
unsigned pool_begun(const struct pool *p);

/* Threads that run a handler right now. Any thread. */
unsigned pool_busy(const struct pool *p);

/* A run that is under way. */
struct pool_run {
    char id[ID_MAX_LEN + 1], type[JOB_TYPE_MAX_LEN + 1];
    int64_t since_ms; /* wall clock */
};

/* Copies what runs now, at most max of it; returns how many. Any thread. */
unsigned pool_running(const struct pool *p, struct pool_run *ret, unsigned max);

/*
 * Sets d->cancel, if it is not set yet, and wakes the thread that runs d. A
 * delivery that is still in the jobs channel comes back unrun, VERDICT_NONE.
 * d must not have come back through outcomes. Loop thread.
 */
void pool_cancel(struct pool *p, struct delivery *d, enum cancel why);

/*
 * Sets *all, if it is not set yet, and wakes every thread that runs a delivery
 * whose cancel_all it is; those that have not begun come back unrun. Any
 * thread, as long as no such delivery is freed meanwhile but by ended.
 */
void pool_cancel_all(struct pool *p, _Atomic int *all, enum cancel why);

/* The sub-tasks that a run of d may have; NULL: it can have none. */
struct subtask_pool *pool_subtasks(const struct delivery *d);

/*
 * Takes away from their threads the runs that cannot be killed (plugins) and
 * go on though they should have stopped: kill_after behind their time limit or
 * behind pool_cancel, or at once after a second one. Each comes back through
 * outcomes as if it had ended; its thread is lost. Returns how many, and
 * through ret_next_ms the clock_ms() from which the next one may be due,
 * INT64_MAX if none. Loop thread.
 */
unsigned pool_give_up_late(struct pool *p, int64_t now_ms,
                           int64_t *ret_next_ms);

/* Threads that were lost so. Loop thread. */
unsigned pool_lost(const struct pool *p);

/*
 * Says how far d is, 0 to 100, and perhaps what it does: its newest such news
 * go to whoever asks for the job, if it is kept. For the handler of d, in its
 * thread. message may be NULL; at most PROGRESS_MESSAGE_MAX bytes of it stay.
 */
void pool_progress(struct delivery *d, double percent, const char *message);

/*
 * Logs a line that a run of d wrote, tagged with the job, in the worker's own
 * log and in the one that is kept of the job. For the handler of d, in its
 * thread, which bounds how many come; source is a constant that says where it
 * was written: "stderr", "log". The other two do one of both: pool_keep has a
 * bound of its own, takes any bytes, and says with more that the line goes on
 * in the next piece (a last one may not have ended). pool_keeps: whether there
 * is any use in it.
 */
void pool_log(struct delivery *d, enum log_level level, const char *source,
              const char *text, size_t n);
void pool_log_own(const struct delivery *d, enum log_level level,
                  const char *source, const char *text, size_t n);
void pool_keep(struct delivery *d, enum log_level level, const char *source,
               const char *text, size_t n, bool more);
bool pool_keeps(const struct delivery *d);

/*
 * The same as the loop gets it, once NOTE_PROGRESS has come: copies it, and
 * lets the next note come. Loop thread.
 */
void pool_take_progress(struct delivery *d, double *ret_percent,
                        char ret_message[PROGRESS_MESSAGE_MAX + 1]);

/*
 * Waits for the threads after the jobs channel was closed, and frees. Not for
 * lost ones: then the process must end by _exit or exec, since they go on.
 */
void pool_join(struct pool *p) MAY_BLOCK;

#endif
