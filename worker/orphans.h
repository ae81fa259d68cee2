#ifndef WORKER_ORPHANS_H
#define WORKER_ORPHANS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Orphans: processes that handlers left behind on purpose, in sessions or
 * groups of their own. Where the worker is process 1 of a container, or a
 * subreaper, it is their parent once theirs is gone, and has to reap them.
 */
struct orphans {
    bool ours;      /* they come to us */
    pid_t doubtful; /* one that may be a handler, about to be reaped by */
    unsigned looks; /* its thread; and how often it was seen */
};

/* Before any look, in the process that is to look. */
void orphans_init(struct orphans *o);

/* Reaps those that have ended. Now and then; any one thread. */
void orphans_reap(struct orphans *o);

#endif
