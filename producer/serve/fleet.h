#ifndef PRODUCER_SERVE_FLEET_H
#define PRODUCER_SERVE_FLEET_H

#include "common/base/buf.h"
#include "producer/client.h"

/*
 * The numbers of all queues and workers, as Redis has them, for Prometheus.
 * They are the same whoever is asked, so one instance is to be scraped, or
 * max by (queue) to be taken of several. One thread at a time, the client's.
 */

/*
 * Appends them. The first max_queues queues by name have series of their own;
 * belt_queues says how many there are. Returns 0, or the status of a failure
 * that was told.
 */
int fleet_write(struct client *c, const char *ns, int64_t max_queues,
                struct buf *out);

#endif
