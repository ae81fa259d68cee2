#ifndef PRODUCER_BULK_H
#define PRODUCER_BULK_H

#include "producer/options.h"
#include "producer/push_options.h"

/*
 * belt push --ndjson: any number of jobs from the lines of a file or of stdin
 * (path "-"), in bounded memory.
 *
 * Bad lines are told by number and skipped. When it ends early it says how
 * many lines are certainly in Redis, so that --skip resumes there. p: what
 * holds for all lines, if they are bare payloads. Returns the exit status.
 */
int bulk_push(const struct options *o, const struct push_options *p,
              const char *path);

#endif
