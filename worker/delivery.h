#ifndef WORKER_DELIVERY_H
#define WORKER_DELIVERY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/thread.h"
#include "common/job/job.h"
#include "worker/run_log.h"

/*
 * One delivery of a job to this worker: what travels through the channels.
 *
 * Its one owner is, in turn: the lane that fetched it → the jobs channel →
 * a pool thread → the outcomes channel → the lane, which settles and frees
 * it. cancel is the only member that another thread may write meanwhile, and
 * hold, by which the loop may take a run over that does not end. What the loop
 * is to know before the end comes as notes, which are a part of the delivery
 * and do not hand it over: only the one of the end does.
 */
enum verdict {
    VERDICT_NONE,    /* not run: cancelled before, or its lease is in doubt */
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
    /* Of its process and those that it waited for; -1: not known. */
    int64_t cpu_us, peak_rss; /* peak_rss in bytes */
    char error_class[32];     /* "exit", "signal", "timeout", "spawn", … */
    struct buf message;       /* what went wrong, UTF-8 or not */
    struct buf result;        /* stdout of a done run, at most result_max */
    bool result_truncated;
    struct buf stderr_tail; /* of a failed run, at most 8 KiB */
};

/* What goes through the outcomes channel, oldest first; the end is the last. */
enum note_kind {
    NOTE_STARTED,
    NOTE_PROGRESS,
    NOTE_LOG,
    NOTE_ENDED,
    NOTE_KINDS
};

struct note {
    enum note_kind kind;
    struct delivery *d;
};

/* How far a run is, as its handler said last. */
enum { PROGRESS_MESSAGE_MAX = 256 };
struct progress {
    struct mutex mu; /* guards what follows */
    bool noted;      /* a note of it is on its way, or was not told yet */
    double percent;
    char message[PROGRESS_MESSAGE_MAX + 1];
};

/*
 * What a run asked to be enqueued in the step that settles its job as done.
 * One call takes all of it, with what "then" says: QUEUE_BATCH_MAX adds.
 */
enum {
    PUSHES_MAX = 1000, /* THEN_MAX less if the job has a "then" */
    PUSHES_MAX_BYTES = 4 * 1024 * 1024
};
struct pushes {
    struct buf text; /* the envelopes as they came, one behind the other */
    size_t *ends;    /* owned: where each of them ends there */
    unsigned n, room;
    unsigned asked;   /* refused ones as well */
    unsigned refused; /* the number of the first of those, from 1; 0: none */
    char *why;        /* owned: why it was */
};

/*
 * Whether the loop may take a run away from its thread: one that cannot be
 * killed, a plugin's, and does not end. What is lost that thread may still read
 * for ever, so of such a delivery job and queue stay.
 */
enum hold {
    HOLD_FIRM,  /* no: its thread ends it */
    HOLD_LOOSE, /* yes */
    HOLD_CALL,  /* not now: its thread is about the delivery */
    HOLD_LOST   /* it was */
};

struct handler;
struct handlers;
struct lane;
struct pool;
struct slot;
struct subtask;
struct subtasks;

struct delivery {
    struct job *job;               /* owned */
    const struct handler *handler; /* lent by handlers */
    struct handlers *handlers;     /* the table, lent; NULL: it outlives us */
    char queue[NAME_MAX_LEN + 1];
    int64_t fence;           /* fencing token; 0: none */
    int64_t expires_boot_ms; /* clock_boot_ms() of expires_at; 0: never */
    /* Boot clock, ms: then it may not begin any more. Borrowed from the agent;
     * NULL: for ever. */
    const _Atomic int64_t *good_until_ms;
    struct outcome outcome;
    size_t envelope_max;   /* bytes of one that it may push */
    struct pushes *pushes; /* owned; NULL: none */
    _Atomic int cancel;    /* enum cancel */
    /* Borrowed: the same for this one and others at once; NULL: none. */
    const _Atomic int *cancel_all;
    int64_t begun_boot_ms;     /* clock_boot_ms() of its start; 0: not begun */
    struct subtasks *subtasks; /* owned: of this run; NULL: none. Its thread */
    struct subtask *part;      /* owned: what it is a part of; NULL: a job */
    _Atomic int hold;          /* enum hold */
    int64_t limit_ms; /* clock_ms(): its time limit, if it was loosened */

    bool tell_start;               /* somebody wants to know that it started */
    struct pool *pool;             /* borrowed: whose thread runs it */
    struct note notes[NOTE_KINDS]; /* filled in when they are sent */
    struct progress *progress; /* owned; made by its thread before the note */
    struct run_log *log;       /* owned; the same */
    int64_t ahead_ms;          /* Redis' clock less ours, for the log */

    /* Loop thread only. */
    struct lane *lane;
    struct slot *slot;           /* NULL: dropped by its lane */
    bool noted;                  /* its lane has news of it to tell */
    bool news[NOTE_KINDS];       /* which */
    bool started;                /* it was told that it did */
    int64_t told_ms;             /* when progress was told last; 0: never */
    LIST_ENTRY(delivery) by;     /* of the lane's noted */
    bool logging;                /* its lane has lines of it to tell */
    int64_t logged_ms;           /* when some were told last; 0: never */
    LIST_ENTRY(delivery) by_log; /* of the lane's logging */
};
LIST_HEAD(delivery_list, delivery);

/* Takes job. */
struct delivery *delivery_new(struct job *job);
void delivery_free(struct delivery *d);

/*
 * From now on the loop may take the run away. limit_ms: clock_ms() of its time
 * limit. The thread that runs d; delivery_fasten ends it, unless it returns
 * false: then d has been taken away, and its outcome is made.
 */
void delivery_loosen(struct delivery *d, int64_t limit_ms);
bool delivery_fasten(struct delivery *d);

/*
 * Around whatever a loose run does with d, by one thread at a time. False: it
 * has been taken away.
 */
bool delivery_hold(struct delivery *d);
void delivery_let_go(struct delivery *d);

/* Takes a loose run away; false: not loose, or not just now. Loop thread. */
bool delivery_take_away(struct delivery *d);

/*
 * Notes an envelope, copied, that is to be enqueued with this job's done: into
 * its queue, or the one that its "queue" names. ERR_INVALID or ERR_TOO_BIG
 * with a text that names the push by its number: a run that goes on to be done
 * is then judged failed instead, so that no push is lost unsaid. The thread
 * that runs d.
 */
int delivery_push(struct delivery *d, const char *envelope, size_t len,
                  struct errbuf *eb);

/* The same for one that did not even come: why is said. */
int delivery_push_refuse(struct delivery *d, int err, const char *why,
                         struct errbuf *eb);

/* Moves what a part of d asked for to the end of what d does. */
void delivery_push_all(struct delivery *d, struct delivery *from);

/* Lends the i-th of d->pushes, from 0. */
struct json_span delivery_pushed(const struct delivery *d, unsigned i);

/* Judges a run that is done: failed if a push of it was refused. */
void delivery_judge_pushes(struct delivery *d);

/* The outcome of a job whose expires_at has come before it was run. */
void delivery_expire(struct delivery *d);

#endif
