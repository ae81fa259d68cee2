#ifndef PRODUCER_SERVE_DEAD_H
#define PRODUCER_SERVE_DEAD_H

#include "producer/select.h"
#include "producer/serve/request.h"

/*
 * Makes a select of the dead jobs of the queue that a request names, which the
 * filter, all of them as yet, may narrow. It borrows everything.
 */
void dead_select(struct select *s, struct client *c, const struct request *r,
                 const struct select_plan *plan, struct options *o, void *arg);

/* The place where a part goes on as a cursor; false: it is none. */
void dead_cursor_append(struct buf *out, const struct select_part *part);
bool dead_cursor_read(const char *cursor, struct select_part *part);

#endif
