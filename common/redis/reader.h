#ifndef COMMON_REDIS_READER_H
#define COMMON_REDIS_READER_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/redis/reply.h"

/*
 * Bytes in, replies out: hiredis' reader with limits, for conn.c.
 *
 * A reply may take max_bytes, counting its bytes on the wire and the memory
 * that its arrays announce, so that neither a long string nor a header like
 * "*2147483647" makes us allocate what we do not want to. One thread.
 */
struct reader;

struct reader *reader_new(size_t max_bytes); /* returns owned */
void reader_free(struct reader *rd);         /* NULL is a no-op */

void reader_feed(struct reader *rd, const char *p, size_t n);

/*
 * Lends the next complete reply until the next call or reader_free, or NULL
 * through ret when bytes are missing. ERR_TOO_BIG, or ERR_REDIS for what is no
 * RESP: after either the stream cannot be read on.
 */
int reader_next(struct reader *rd, const struct reply **ret, struct errbuf *eb);

#endif
