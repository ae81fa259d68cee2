#ifndef PRODUCER_IDS_H
#define PRODUCER_IDS_H

#include <stdbool.h>

#include "common/base/text.h"
#include "producer/options.h"

/*
 * The jobs that a command line names: QUEUE/ID, a bare ID, or "-" for any
 * number of QUEUE/ID from stdin, one a line. Main thread.
 */
struct job_name {
    char queue[NAME_MAX_LEN + 1]; /* "": not said */
    char id[ID_MAX_LEN + 1];
};

/* "queue/id" */
#define JOB_NAME_TEXT_MAX (NAME_MAX_LEN + ID_MAX_LEN + 2)
const char *job_name_format(const struct job_name *name,
                            char out[JOB_NAME_TEXT_MAX]);

/* Returns false if text is neither QUEUE/ID nor ID. */
bool job_name_parse(const char *text, size_t n, struct job_name *ret);

/* Called for each name, in order. A result other than 0 ends the reading. */
typedef int (*job_name_cb)(void *arg, const struct job_name *name);

/*
 * Reads them from the arguments of o. Returns 0, the result of cb, or an exit
 * status that was told; EX_DATAERR if lines of stdin were no QUEUE/ID, each of
 * which is told and passed over.
 */
int job_names_read(const struct options *o, job_name_cb cb, void *arg);

#endif
