#ifndef WORKER_SUBTASK_LINES_H
#define WORKER_SUBTASK_LINES_H

#include "worker/subtask.h"

/*
 * Sub-tasks of parents that are processes: what they say of them on the
 * control channel, and what they are told, as lines of JSON (docs/HANDLERS.md).
 * The thread of the parent's run.
 */

/* Members of the lines of op subtask and subtasks. Absent: p is NULL. */
struct subtask_words {
    struct json_span type, payload, key, timeout; /* of subtask */
    struct json_span order, on_error, results;    /* of subtasks */
};

/* Takes the member if it is one of them. */
void subtask_words_member(struct subtask_words *w, struct json_span key,
                          struct json_span value);

/*
 * Emits one, or notes one that has failed if it cannot be one. Returns 0, or
 * ERR_AGAIN as subtasks_try_emit.
 */
int subtask_line_emit(struct subtasks *s, const struct subtask_words *w);

/* ERR_INVALID: not understood, or too late. */
int subtask_line_options(struct subtasks *s, const struct subtask_words *w);

/*
 * Appends the line, with its end, of the next result; with the parent's id in
 * it unless that is NULL. After the last one comes once that of the end.
 * ERR_AGAIN and ERR_CLOSED as from subtasks_try_next.
 */
int subtask_line_next(struct subtasks *s, const char *id, struct buf *out);

/*
 * The lines on their way to a parent that has a descriptor for them alone. {0}
 * has none yet.
 */
struct subtask_lines {
    struct buf out; /* owned */
    size_t sent;
    bool closed; /* no more will come */
};

/*
 * Writes to *fd, non-blocking, what there is; closes it, and sets it to -1,
 * after the last line, and when nobody reads any more. Returns whether it is
 * to be called again when *fd takes more.
 */
bool subtask_lines_write(struct subtask_lines *l, struct subtasks *s, int *fd);
void subtask_lines_done(struct subtask_lines *l);

#endif
