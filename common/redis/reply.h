#ifndef COMMON_REDIS_REPLY_H
#define COMMON_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A Redis reply as input that is checked, never trusted: every accessor says
 * whether the reply has that shape. Replies are lent until the callback that
 * received them returns. NULL is a reply of no shape: every accessor says no.
 */
struct reply;

bool reply_is_nil(const struct reply *r);
bool reply_is_error(const struct reply *r);

/*
 * The text of an error ("OOM command not allowed …"); "" for other replies.
 */
const char *reply_error(const struct reply *r);

/*
 * Whether the error is of this class, as in "NOSCRIPT": its first word, or,
 * as Redis 6.2 wraps the errors of scripts, the word behind " -".
 */
bool reply_error_is(const struct reply *r, const char *code);

/* Returns false when r is no integer (or not the text of one). */
bool reply_int(const struct reply *r, int64_t *ret_n);

/* Bulk or status; the bytes are followed by a NUL. */
bool reply_str(const struct reply *r, const char **ret_p, size_t *ret_len);
bool reply_str_is(const struct reply *r, const char *text);

/* Elements of an array; 0 for other replies. NULL outside of it. */
size_t reply_len(const struct reply *r);
const struct reply *reply_at(const struct reply *r, size_t i);

#endif
