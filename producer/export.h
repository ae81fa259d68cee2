#ifndef PRODUCER_EXPORT_H
#define PRODUCER_EXPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/job/job.h"
#include "common/redis/queue.h"

/*
 * Writes an element of a queue as a line that belt push --ndjson and belt dead
 * import read: its own bytes, but for line ends, which are blanks then; what is
 * no envelope (job NULL, because of why) as one of the type belt.invalid.
 * Returns false when f can take no more.
 */
bool export_job(FILE *f, struct bytes element, const struct job *job,
                const char *why);

#endif
