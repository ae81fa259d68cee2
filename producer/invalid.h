#ifndef PRODUCER_INVALID_H
#define PRODUCER_INVALID_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/job/job.h"

/* Envelopes of the type belt.invalid: what was no envelope, in base64. */

bool invalid_is(const struct job *job);

/*
 * Appends the bytes that it was. ERR_INVALID says why that cannot be: it has
 * none, or only a part of them (then that part is appended).
 */
int invalid_raw(const struct job *job, struct buf *out, struct errbuf *eb);

#endif
