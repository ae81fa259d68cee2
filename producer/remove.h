#ifndef PRODUCER_REMOVE_H
#define PRODUCER_REMOVE_H

#include "producer/select.h"

/* Removes jobs of a set, with their locks and news. A select_act. */
int remove_jobs(struct select *s, const struct selected *jobs, unsigned n);

#endif
