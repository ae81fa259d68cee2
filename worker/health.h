#ifndef WORKER_HEALTH_H
#define WORKER_HEALTH_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "worker/agent_priv.h"

/*
 * Whether a worker is of use: it runs, each of its lanes is bound to its
 * queue, and no handler of it is known to be broken. A handler is broken from
 * a run that could not be started (a failed spawn, exit 126 or 127) until one
 * that could.
 */
struct broken;

struct health {
    struct broken *broken; /* owned */
    unsigned broken_count;
};

void health_done(struct health *h); /* and knows of nothing broken again */

/* Takes note of how a run went. */
void health_note(struct health *h, const struct delivery *d) ON_LOOP;

/* Returns false and appends a line for each reason if it is not. */
bool health_ready(const struct health *h, const struct agent *a,
                  struct buf *out) ON_LOOP;

#endif
