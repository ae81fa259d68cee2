#ifndef PRODUCER_PURGE_H
#define PRODUCER_PURGE_H

#include <stdbool.h>
#include <stdint.h>

#include "producer/options.h"

/* Whether it is "ready", "scheduled", "retry", "dead" or "all". */
bool purge_knows(const char *state);

/*
 * Takes away the jobs of the queue o->args[0] that are in this state, at most
 * as many as are when it begins, with their locks and news; with o->export_to
 * each is a line of that new file, on the disk, before it goes. Returns 0, or
 * the exit status of an error that was told; *ret_done jobs went in either
 * case. Main thread.
 */
int purge_queue(const struct options *o, const char *state, int64_t *ret_done);

#endif
