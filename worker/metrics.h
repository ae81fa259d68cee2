#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include "common/base/buf.h"
#include "worker/agent_priv.h"

/* The numbers of one worker, for machines that collect them. */

/*
 * Appends all metrics in the Prometheus text format 0.0.4. Their only labels
 * with values that grow are the queues of this worker. broken: handlers that
 * cannot be run.
 */
void metrics_write(struct agent *a, unsigned broken, struct buf *out) ON_LOOP;

#endif
