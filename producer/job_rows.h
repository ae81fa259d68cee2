#ifndef PRODUCER_JOB_ROWS_H
#define PRODUCER_JOB_ROWS_H

#include "common/job/job.h"
#include "common/redis/queue.h"
#include "producer/element.h"
#include "producer/out.h"

/*
 * Jobs as rows. What lies in Redis may come from anybody, so an element that
 * is no envelope is shown as one, with the reason. Threads as of out.h.
 */
struct job_rows;

struct job_row {
    const char *queue, *state; /* shown by rows that tell the place */
    const char *lane;          /* that holds it; NULL: none */
    struct bytes element;
    const struct job *job; /* what job_of made of it */
    int64_t at_ms;         /* when it is due, or died; -1: no such time */
    const char *why;       /* it is no job: the reason */
};

/* Returns owned rows; placed: with queue and state. */
struct job_rows *job_rows_new(const struct options *o, bool placed);
/* The same, into a buffer, as out_new_to. */
struct job_rows *job_rows_new_to(const struct options *o, bool placed,
                                 struct buf *to);
/* Returns false when stdout can take no more. */
bool job_rows_print(struct job_rows *rows, const struct job_row *row);
void job_rows_end(struct job_rows *rows); /* writes what is left, and frees */

#endif
