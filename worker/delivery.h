#ifndef WORKER_DELIVERY_H
#define WORKER_DELIVERY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/job/job.h"

/*
 * One delivery of a job to this worker: what travels through the channels.
 *
 * Its one owner is, in turn: the lane that fetched it → the jobs channel →
 * a pool thread → the outcomes channel → the lane, which settles and frees
 * it. cancel is the only member that another thread may write meanwhile.
 */
enum verdict {
    VERDICT_NONE,    /* not run */
    VERDICT_DONE,    /* settle done */
    VERDICT_RETRY,   /* failed: retry by policy, dead when used up */
    VERDICT_DEAD,    /* failed: the input can never work */
    VERDICT_DISCARD, /* the handler asked to forget the job */
    VERDICT_PUT_OFF, /* no handler, or a broken one: not counted */
    VERDICT_SNOOZE,  /* the handler asked to be run later: not counted */
    VERDICT_CANCEL,  /* somebody cancelled it: unrun, or stopped by us */
    VERDICT_EXPIRE,  /* unrun: its expires_at has come */
    VERDICT_RELEASE  /* stopped by us: give it back, not counted */
};

/* Why a run is to be stopped; the first reason counts. */
enum cancel {
    CANCEL_NONE,
    CANCEL_RELEASE, /* drain deadline: TERM, KILL, give the job back */
    CANCEL_FENCED,  /* not ours any more: TERM, KILL, forget the result */
    CANCEL_JOB      /* somebody cancelled the job: TERM, soon KILL */
};

struct outcome {
    enum verdict verdict;
    bool crashed;          /* ended by a signal that we did not send */
    int64_t started_at_ms; /* wall clock */
    int64_t run_us;
    int64_t delay_ms; /* of retry or snooze as the handler asks; -1: policy */
    int exit_status;  /* as a shell has it: 128 + signal; -1: none */
    char error_class[32]; /* "exit", "signal", "timeout", "spawn", … */
    struct buf message;   /* what went wrong, UTF-8 or not */
    struct buf result;    /* stdout of a done run, at most result_max */
    bool result_truncated;
    struct buf stderr_tail; /* of a failed run, at most 8 KiB */
};

struct handler;
struct lane;
struct slot;

struct delivery {
    struct job *job;               /* owned */
    const struct handler *handler; /* borrowed from the handlers table */
    char queue[NAME_MAX_LEN + 1];
    int64_t fence; /* fencing token; 0: none */
    struct outcome outcome;
    _Atomic int cancel; /* enum cancel */

    struct lane *lane; /* loop thread only */
    struct slot *slot; /* loop thread only; NULL: dropped by its lane */
};

/* Takes job. */
struct delivery *delivery_new(struct job *job);
void delivery_free(struct delivery *d);

#endif
