#ifndef COMMON_JOB_BACKOFF_TEXT_H
#define COMMON_JOB_BACKOFF_TEXT_H

#include "common/base/buf.h"
#include "common/base/err.h"

/*
 * Policies of back-off as people write them (--backoff, backoff = "…"):
 *
 *     default   exponential   exponential:5s   exponential:5s:2:6h
 *     fixed:60s   10s,1m,5m   or JSON as an envelope has it
 *
 * Appends it as an envelope has it. ERR_INVALID names the part that is no
 * duration; the rest is for backoff_parse to judge. Any thread.
 */
int backoff_from_text(const char *text, struct buf *out, struct errbuf *eb);

#endif
