#ifndef PRODUCER_CONTROL_LINE_H
#define PRODUCER_CONTROL_LINE_H

#include "common/base/buf.h"
#include "producer/options.h"

/*
 * Lines of the control channel (docs/HANDLERS.md), from a handler that is a
 * shell script to the worker that runs it. No Redis is asked. Main thread.
 */

/* What a worker keeps of the text of one line. */
enum { CONTROL_TEXT_MAX = 4096 };

/*
 * Writes a line, its end included, to the descriptor that BELT_CONTROL_FD
 * names. Returns 0, or the exit status of a failure that was told: 64 outside
 * of a handler.
 */
int control_send(const struct options *o, struct buf *line);

/* Appends ,"name":"text", of which at most CONTROL_TEXT_MAX bytes. */
void control_text(struct buf *line, const char *name, const char *text,
                  size_t n);

/* The arguments from the i-th on, with blanks between; owned. */
struct buf control_words(const struct options *o, int i);

#endif
