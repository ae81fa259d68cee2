#ifndef PRODUCER_WAITING_H
#define PRODUCER_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/thread.h"
#include "producer/client.h"
#include "producer/ids.h"

/*
 * Waiting for the ends of kept jobs without asking again and again: first
 * subscribed to their channels, then their hashes are read, then what is
 * published makes us read again. Both connections are made again when they are
 * lost. Main thread.
 */
#define WAITING_MAX 10000 /* jobs */

struct waiting;

/*
 * Subscribes to the ends of these jobs, all of which have a queue, and turns
 * the loop until that is done, or not allowed. The client, borrowed, lasts
 * from now on until waiting_free. o->wait_timeout_ms (0: none) begins here.
 * Returns 0 with it, owned, in *ret, or an exit status that was told.
 */
int waiting_new(const struct options *o, struct client *client,
                const struct job_name *names, size_t n, struct waiting **ret);

/* Their hashes may not be there yet, but will be. */
void waiting_expect(struct waiting *w);

/*
 * Waits until all jobs, or with any the first of them, have ended, and prints
 * each as belt result does. Returns the exit status: the job's own if it was
 * one that we waited for; 0 if all of several are done, else 1, as for a job
 * that is not kept; 124 when the time to wait is over.
 */
int waiting_run(struct waiting *w, bool any);

void waiting_free(struct waiting *w); /* NULL is a no-op */

#endif
