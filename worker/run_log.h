#ifndef WORKER_RUN_LOG_H
#define WORKER_RUN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/log.h"

/*
 * The lines of one run that are to be told to Redis: a ring with the last ones,
 * since more than these a job's log does not hold. A handler that floods it
 * waits for nobody; what falls out is counted, since lines are numbered.
 *
 * The thread of the run adds, the loop takes. Whatever all runs of a process
 * hold, and what the loop has taken of it, is bounded too.
 */
enum {
    RUN_LOG_LINES = 1000,
    RUN_LOG_BYTES = 256 * 1024,      /* of lines as they are told */
    RUN_LOG_ALL_BYTES = 16 << 20,    /* of all runs */
    RUN_LOG_MESSAGE_MAX = 16 * 1024, /* longer ones are cut */
};

struct run_log;

/* Lines that were taken: JSON objects without the brace in front. */
struct log_lines {
    uint64_t run;  /* its number in this process, from 1 */
    int64_t first; /* number of the first line in the run, from 1 */
    unsigned count;
    struct buf bytes; /* owned; use log_lines_next */
    size_t at;        /* where the first begins */
};

/* attempt: of the run, from 1; ahead_ms: Redis' clock less ours. */
struct run_log *run_log_new(int64_t attempt, int64_t ahead_ms);
void run_log_free(struct run_log *g); /* NULL is a no-op */

/*
 * Adds a line that was written to source, a constant; more: it goes on in the
 * next one. Returns whether nobody has been told of lines since they were last
 * taken. For the thread of the run.
 */
bool run_log_add(struct run_log *g, enum log_level level, const char *source,
                 const char *text, size_t n, bool more);

/* Takes all lines, of which *ret, empty before, is the owner. Loop thread. */
void run_log_take(struct run_log *g, struct log_lines *ret);

/* Lends the line at *at, which begins with l->at; *at goes on to the next. */
const char *log_lines_next(const struct log_lines *l, size_t *at,
                           size_t *ret_len);
size_t log_lines_bytes(const struct log_lines *l);
void log_lines_done(struct log_lines *l);

#endif
