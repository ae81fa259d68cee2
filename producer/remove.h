#ifndef PRODUCER_REMOVE_H
#define PRODUCER_REMOVE_H

#include "producer/select.h"

/* Removes jobs of a set, with their locks and news. A select_act. */
int remove_jobs(struct select *s, const struct selected *jobs, unsigned n);

/*
 * Cancels jobs that wait: marks them, then takes them out, so that none slips
 * through that becomes due meanwhile. A select_act.
 */
int remove_cancelled(struct select *s, const struct selected *jobs, unsigned n);

/*
 * Marks n ids, up to 1000, to be cancelled by the worker that has or gets them.
 * Returns 0, or the exit status of an error that was told.
 */
int remove_mark(struct select *s, const char *const *ids, unsigned n);

#endif
