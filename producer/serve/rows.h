#ifndef PRODUCER_SERVE_ROWS_H
#define PRODUCER_SERVE_ROWS_H

#include "common/base/buf.h"
#include "producer/out.h"
#include "producer/serve/answer.h"

/*
 * Rows of the commands as bodies: what a list or a listing has is what belt
 * shows with -o json. Any thread.
 */

/* Appends {"NAME": and begins an array of rows; end it with out_end. */
struct out *rows_begin(struct answer *a, const char *name,
                       const struct column *columns);
/* The same where the name is there already. */
struct out *rows_go_on(struct answer *a, const struct column *columns);

/* Begins rows of which there is one only, an object; end it with row_end. */
struct out *row_begin(struct answer *a, const struct column *columns);

/* Ends the row, but not the object: ,"name":value may follow. */
void row_end(struct out *out, struct answer *a);

/* Appends the end of the object, and makes the answer one of this status. */
void rows_finish(struct answer *a, int status);

#endif
