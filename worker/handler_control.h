#ifndef WORKER_HANDLER_CONTROL_H
#define WORKER_HANDLER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "worker/handler_priv.h"

/*
 * What a handler process says on descriptor 3 while it runs: lines of JSON,
 * {"op":"progress","percent":40,"message":"…"} (docs/HANDLERS.md has them all).
 *
 * A line of more than CONTROL_LINE_MAX bytes, or one that is not understood,
 * is passed over; the first of a run is said as a warning. A line of push may
 * be as long as an envelope, and none of them is passed over: the run fails
 * then. An op that is not known here is passed over for the sake of newer
 * handlers. Pool thread.
 */
enum { CONTROL_LINE_MAX = 64 * 1024 };

struct wishes {
    struct delivery *d; /* borrowed */
    struct buf line;    /* owned: the beginning of a line that has not ended */
    bool too_long;      /* of that line only the head is there */
    /* A sub-task for which there is no room just now: the line, what came
     * behind it, and how much of that was taken. */
    bool held;
    struct buf held_line, rest; /* owned */
    size_t rest_at;
    bool refused; /* a sub-task that cannot be one: the run fails */
    bool alone;   /* no sub-tasks any more: wishes_failed */
    bool warned;
    int64_t heard_ms; /* clock_ms() of the last line that was understood */
    int64_t lines;    /* ended so far */
    int64_t logged;   /* lines asked to be logged */
    int64_t retry_ms; /* what the last of its kind asked for; -1: nothing */
    int64_t snooze_ms;
};

void wishes_init(struct wishes *c, struct delivery *d);
void wishes_feed(struct wishes *c, const char *p, size_t n);

/* A sub-task whose line cannot be understood: one that has failed. */
void wishes_lost_subtask(struct wishes *c, const char *why);

/*
 * While a line is held nothing else is to be fed, so that the handler waits in
 * its write; when there is news of its sub-tasks it is tried again. Returns
 * whether nothing is held any more.
 */
bool wishes_resume(struct wishes *c);

/*
 * For a run whose process has ended: waits until nothing is held. A stop of
 * the run ends that soon (subtasks_wait).
 */
void wishes_settle(struct wishes *c, int cancel_fd) MAY_BLOCK;

/*
 * The run has failed: its sub-tasks are told to stop, and those that it has
 * emitted and that are still to be read are passed over.
 */
void wishes_failed(struct wishes *c);

/*
 * Takes one line, without its end, that came in another way. Returns false if
 * it is none of the ops that are known here, which is not said.
 */
bool wishes_line(struct wishes *c, const char *p, size_t n);

/* Until when, clock_ms(), it may be silent; INT64_MAX: for ever. */
int64_t wishes_silent_until(const struct wishes *c);

/* A line that has begun and will have no end is taken as one. */
void wishes_last(struct wishes *c);

/*
 * After the last byte: takes a line without an end as one, and frees. What is
 * held then is lost.
 */
void wishes_end(struct wishes *c);

/*
 * Puts into the outcome what was asked for: a run that is done and asked to be
 * snoozed is VERDICT_SNOOZE, one that failed and is retried has the delay that
 * it asked for.
 */
void wishes_judge(const struct wishes *c);

/*
 * Reads how long to wait: whole milliseconds, or a text such as "30s", up to
 * 366 days. ERR_INVALID otherwise.
 */
int wishes_duration(struct json_span value, int64_t *ret_ms);

#endif
