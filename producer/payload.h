#ifndef PRODUCER_PAYLOAD_H
#define PRODUCER_PAYLOAD_H

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/*
 * The payload that the arguments of a push mean ("belt help payload").
 *
 * Appends it to out, a valid JSON value: one argument of JSON, "-" for stdin,
 * "@FILE", key=value and key:=json, or none for null. White space around it
 * is dropped, the rest is carried byte for byte. ERR_INVALID names the
 * argument; ERR_MISSING: the file cannot be opened; ERR_SYSTEM: not read;
 * ERR_TOO_BIG: a file or stdin of more than max_bytes. May block on stdin.
 */
int payload_build(const char *const *args, int n, size_t max_bytes,
                  struct buf *out, struct errbuf *eb);

/*
 * Appends all that comes from fd, which what names: any bytes. ERR_SYSTEM and
 * ERR_TOO_BIG as above.
 */
int payload_read(int fd, const char *what, size_t max_bytes, struct buf *text,
                 struct errbuf *eb);

#endif
