#ifndef PRODUCER_RESULTS_H
#define PRODUCER_RESULTS_H

#include "producer/ids.h"
#include "producer/kept.h"
#include "producer/out.h"

/*
 * How jobs ended, as belt result, belt wait and belt push --wait print it.
 * With o->raw the bytes of the result and nothing else. Main thread.
 */
struct results;

struct results *results_new(const struct options *o); /* returns owned */

/* Returns false when stdout can take no more. */
bool results_print(struct results *rs, const struct job_name *name,
                   const struct kept *k);

/* Writes what is left and frees. */
void results_end(struct results *rs);

#endif
