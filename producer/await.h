#ifndef PRODUCER_AWAIT_H
#define PRODUCER_AWAIT_H

#include "producer/client.h"
#include "producer/job_name.h"
#include "producer/options.h"

/*
 * Waiting for jobs and printing their ends as belt result does, for belt wait
 * and belt push --wait. Main thread.
 */
struct await;

/*
 * As waiting_new, with o->wait_timeout_ms. The names are copied. Returns 0
 * with it, owned, in *ret, or an exit status that was told.
 */
int await_new(const struct options *o, struct client *client,
              const struct job_name *names, size_t n, struct await **ret);

/* As waiting_expect. */
void await_expect(struct await *a);

/* As waiting_run; the ends are printed as they come. */
int await_run(struct await *a, bool any);

void await_free(struct await *a); /* NULL is a no-op */

#endif
