#ifndef PRODUCER_FAILURE_H
#define PRODUCER_FAILURE_H

#include "common/base/buf.h"
#include "common/job/job.h"

/*
 * Appends the last failure of a job, as the member error of its envelope says
 * it, for people: "class: message", or the value as it is if it has another
 * form. Nothing if there is none.
 */
void failure_append(const struct job *job, struct buf *b);

/* The same for text that may be such a value, or any other text. */
void failure_append_text(const char *text, size_t n, struct buf *b);

#endif
