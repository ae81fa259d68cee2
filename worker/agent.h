#ifndef WORKER_AGENT_H
#define WORKER_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/text.h"
#include "common/base/thread.h"
#include "common/redis/queue_bounds.h"
#include "common/redis/url.h"
#include "worker/handler.h"

/*
 * The worker agent: one event loop, one pool of threads, one lane for each
 * queue (worker/DESIGN.md).
 */
#define LANES_MAX 256
#define LISTEN_MAX_LEN 63

struct queue_spec {
    char name[NAME_MAX_LEN + 1];
    bool pattern;    /* name is a glob (fnmatch(3)) of names */
    unsigned weight; /* used if any queue was given one */
    bool weighed;    /* it was */
};

/* A periodic job that the configuration asks for. */
struct cron_config {
    char queue[NAME_MAX_LEN + 1];
    struct cron_entry *entry; /* owned */
    unsigned file, line;      /* where it was read */
};

/* Bounds that the configuration asks for. */
struct queue_config {
    char name[NAME_MAX_LEN + 1];
    bool said;                    /* any of them */
    int64_t bounds[QUEUE_BOUNDS]; /* or QUEUE_BOUND_NONE, QUEUE_BOUND_UNSAID */
};

struct worker_config {
    struct url url;
    char ns[NAME_MAX_LEN + 1];
    char name[NAME_MAX_LEN + 1]; /* "": the host's */
    struct queue_spec *queues;   /* borrowed */
    unsigned queue_count;
    bool weighted; /* else strict order */

    unsigned threads, max_window;
    /* Of sub-tasks: threads, 0: as many; unfinished ones of a job, 0: see
     * subtask.h; bytes of their results. */
    unsigned subtask_threads, subtask_window;
    size_t subtask_results;
    size_t max_window_bytes, max_job_bytes;
    int64_t lease_ms, drain_timeout_ms;
    unsigned max_recoveries; /* 0: never given up */
    bool at_most_once, burst, fence;
    struct handlers *handlers; /* borrowed */
    struct cron_config *crons; /* borrowed */
    unsigned cron_count;
    struct queue_config *bounds; /* borrowed */
    unsigned bound_count;
    char listen[LISTEN_MAX_LEN + 1]; /* where HTTP is answered; "": no */
};

/* How agent_run ended, beside the exit code. */
struct agent_end {
    bool lost;    /* threads are left that never end: no exit, but _exit */
    bool replace; /* the worker is to be run anew: replace_self */
};

/* Sub-tasks that run at a time. */
unsigned worker_subtask_threads(const struct worker_config *cfg);

/*
 * Runs by what reload says holds, until a signal (or, with burst, empty
 * queues) ends it. Returns the exit code of the process. Called once, on the
 * main thread, which becomes the loop thread.
 */
struct reload;
int agent_run(struct reload *reload, struct agent_end *ret_end);

#endif
