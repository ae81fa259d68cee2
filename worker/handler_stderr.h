#ifndef WORKER_HANDLER_STDERR_H
#define WORKER_HANDLER_STDERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "worker/handler_lines.h"

/*
 * Turns the stderr of one run into log lines with the job's id, and keeps its
 * tail. Pool thread.
 */
struct stderr_log {
    struct run_lines lines;
    struct buf tail; /* the last bytes; the owner takes or frees it */
    size_t tail_max;
};

/* source: a constant, "stderr", or "stdout" for that of a command. */
void stderr_log_init(struct stderr_log *s, struct delivery *d,
                     const char *source, size_t tail_max);
void stderr_log_feed(struct stderr_log *s, const char *p, size_t n);

/* After the last byte: logs what is open, and cuts the tail to its size. */
void stderr_log_end(struct stderr_log *s);

/* Lends the last line of the tail that is not blank; 0 if there is none. */
size_t stderr_log_last_line(const struct stderr_log *s, const char **ret_line);

#endif
