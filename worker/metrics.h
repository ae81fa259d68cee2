#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include "common/base/buf.h"
#include "worker/agent_priv.h"
#include "worker/tally.h"

/* The numbers of one worker, for machines that collect them. */

/*
 * Appends all metrics. Their only labels with values that grow are the queues
 * of this worker and the patterns of its handlers. broken: handlers that cannot
 * be run; runs: how they went.
 */
void metrics_write(struct agent *a, unsigned broken, const struct tally *runs,
                   struct buf *out) ON_LOOP;

#endif
