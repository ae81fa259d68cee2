#ifndef WORKER_HANDLER_PROCESS_SET_H
#define WORKER_HANDLER_PROCESS_SET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/thread.h"
#include "worker/handler_process.h"

/*
 * What the set of a handler's children and its keeper share. For
 * worker/handler_process_set.c and worker/handler_process_keeper.c only.
 */
struct process_set {
    const struct handler *h; /* borrowed */
    unsigned most;           /* 0: no limit */
    unsigned base;           /* slots begin behind it */
    int token_fd;            /* owned eventfd, a semaphore */
    int keeper_fd;           /* owned eventfd: wakes the keeper */

    struct mutex mu;                   /* guards what follows */
    struct process_list idle, leaving; /* leaving: the keeper has not seen it */
    unsigned permits, waiting;         /* permits: given out */
    bool *slots;                       /* owned; that are taken */
    unsigned slot_count;
    bool has_keeper, stopping, hurry; /* hurry: nobody is waited for */
    bool trying;  /* one is being started after one that failed */
    bool forgave; /* one has failed since a job was done, and was forgiven */
    int64_t failed_ms, again_ms; /* the last start that failed; the next one */
    int64_t pause_ms;            /* 0: the last one got ready */
    char why[512];

    pthread_t keeper;
};

/* Passes a permit on to one who waits for it. */
void process_permit_drop_locked(struct process_set *s) REQUIRES(s->mu);
void process_permit_drop(struct process_set *s);

/* Frees one that has ended, whoever had a permit for it. */
void process_forget(struct process_set *s, struct process *p);

/* Reaps one that ended by itself while no job ran on it, and says so. */
void process_lament(struct process_set *s, struct process *p) MAY_BLOCK;

/*
 * Whether an idle one has ended. Logs what it has said since its last job: it
 * is not the next one's.
 */
bool process_has_ended(struct process *p);

/* Returns an errno when there is no thread for it. */
int process_keeper_start(struct process_set *s) REQUIRES(s->mu);
void process_keeper_wake(struct process_set *s);

#endif
