#ifndef PRODUCER_SERVE_PLACE_H
#define PRODUCER_SERVE_PLACE_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "producer/walk.h"

/*
 * The place where a walk goes on, as a text for cursors, and back. What comes
 * back may be anybody's. Any thread.
 */
void place_append(struct buf *out, const struct walk_place *p);

/* Returns false if it is no such text. */
bool place_read(const char *text, size_t n, struct walk_place *ret);

#endif
