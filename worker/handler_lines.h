#ifndef WORKER_HANDLER_LINES_H
#define WORKER_HANDLER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/handler_priv.h"

/*
 * Lines that a run writes to its stderr or stdout: into the worker's own log,
 * the first thousand and of each the first 4 KiB, and all of it into the log
 * that is kept of the job, a longer line in pieces. Pool thread.
 */
struct run_lines {
    struct delivery *d; /* borrowed */
    const char *source; /* a constant: "stderr" */
    int64_t lines;      /* ended so far */
    bool in_line, in_piece;
    size_t len;
    char line[4096]; /* what has not ended */
};

void run_lines_init(struct run_lines *l, struct delivery *d,
                    const char *source);
void run_lines_feed(struct run_lines *l, const char *p, size_t n);
/* After the last byte: what is open, and how many lines were not logged. */
void run_lines_end(struct run_lines *l);

#endif
