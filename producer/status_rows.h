#ifndef PRODUCER_STATUS_ROWS_H
#define PRODUCER_STATUS_ROWS_H

#include "producer/out.h"
#include "producer/standing.h"

/*
 * How jobs stand as rows, as belt status shows them. Threads as of out.h.
 */
struct status_rows;

/* Returns owned rows on stdout, */
struct status_rows *status_rows_new(const struct options *o);
/* or in a buffer, as out_new_to, and with the result. */
struct status_rows *status_rows_new_to(const struct options *o, struct buf *to);

/*
 * As of now_ms, by Redis' clock. One that was not found is shown with its name
 * only. Returns false when stdout can take no more.
 */
bool status_rows_print(struct status_rows *rows, const struct standing *s,
                       int64_t now_ms);

void status_rows_end(struct status_rows *rows); /* writes what is left, frees */

#endif
