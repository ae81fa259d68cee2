#ifndef PRODUCER_IDS_H
#define PRODUCER_IDS_H

#include "producer/job_name.h"
#include "producer/options.h"

/*
 * The jobs that a command line names: QUEUE/ID, a bare ID, or "-" for any
 * number of QUEUE/ID from stdin, one a line. Main thread.
 */

/* Called for each name, in order. A result other than 0 ends the reading. */
typedef int (*job_name_cb)(void *arg, const struct job_name *name);

/*
 * Reads them from the arguments of o. Returns 0, the result of cb, or an exit
 * status that was told; EX_DATAERR if lines of stdin were no QUEUE/ID, each of
 * which is told and passed over.
 */
int job_names_read(const struct options *o, job_name_cb cb, void *arg);

#endif
