#ifndef WORKER_HANDLER_PROCESS_RUN_H
#define WORKER_HANDLER_PROCESS_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/handler_control.h"
#include "worker/handler_process.h"
#include "worker/handler_stderr.h"

/*
 * A run of one job on a child. For worker/handler_process.c, which watches it,
 * and worker/handler_process_judge.c, which says what became of it.
 */
enum process_run_state {
    RUN_RUNNING,
    RUN_HUNG_UP,
    RUN_ASKED,
    RUN_TERMED,
    RUN_KILLED
};
enum process_run_stop {
    STOP_NONE,
    STOP_TIMEOUT,
    STOP_SILENT,
    STOP_SUBTASK, /* one that it emitted has failed */
    STOP_CANCEL
};

struct process_run {
    struct delivery *d; /* borrowed */
    struct process *p;  /* lent by its set */
    int cancel_fd;      /* borrowed */

    enum process_run_state state;
    enum process_run_stop stop;
    bool hurry;                     /* a wake for cancel was seen */
    int64_t timeout_at_ms, next_ms; /* next_ms: of the state */
    int64_t kill_at_ms;             /* once asked */
    int64_t began_ms, cpu_us;       /* cpu_us: of the child, before */

    bool answered, ended;
    bool deaf;               /* it has closed its stdin */
    bool warned;             /* about a line: once a run */
    struct buf rest;         /* owned: of its stdout, while a line is held */
    size_t rest_at;          /* how much of that was taken */
    struct run_lines output; /* of its stdout */
    struct stderr_log stderr_log;
    struct wishes wishes;
    struct buf trace; /* owned: that came with a failure */
    char scratch[PROCESS_SCRATCH];
};

/* Asks the child to end the run, which has no such reason yet. */
void process_run_ask(struct process_run *r, enum process_run_stop why);

/* cancel_fd is readable: the first wake asks, every later one kills. */
void process_run_wake(struct process_run *r);

/* It can be told, or tell, nothing any more: about to end, or of no use. */
void process_run_hang_up(struct process_run *r);

/* For poll(2): until process_run_time is to be called; -1: for ever. */
int process_run_left_ms(const struct process_run *r);
void process_run_time(struct process_run *r);

/* Fills the outcome of a run that is over: answered, or its child reaped. */
void process_run_judge(struct process_run *r);

/* Adds stderr's last line to a message that we wrote. */
void process_run_add_last_line(struct process_run *r);

/* Keeps of what the child said what the verdict calls for. */
void process_run_keep(struct process_run *r);

#endif
