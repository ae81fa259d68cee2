#ifndef WORKER_HANDLER_OUTPUT_H
#define WORKER_HANDLER_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/handler_stderr.h"

/*
 * What a run writes on stdout and stderr: the lines become log lines, and what
 * its verdict calls for is kept. Pool thread.
 *
 * Of a handler stdout is the result: its first bytes, not logged. Of a command
 * it is for people: lines are logged, and the last bytes are the result.
 */
struct run_output {
    struct delivery *d; /* borrowed */
    bool is_command;
    uint64_t out_bytes;
    struct stderr_log out; /* of a command */
    struct stderr_log err;
};

void run_output_init(struct run_output *o, struct delivery *d, bool is_command);
void run_output_out(struct run_output *o, const char *p, size_t n);
void run_output_err(struct run_output *o, const char *p, size_t n);

/* After the last byte and the verdict: puts what is kept into the outcome. */
void run_output_keep(struct run_output *o);

#endif
