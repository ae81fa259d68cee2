#ifndef PRODUCER_JOB_NAME_H
#define PRODUCER_JOB_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/text.h"

/* What a job is called: its queue and its id. Any thread. */
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

#endif
