#ifndef COMMON_BASE_BUF_H
#define COMMON_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A growable run of bytes. data is never NULL after the first append and is
 * followed by a NUL that len does not count. {0} is an empty buffer.
 * Growth aborts when memory is out; callers bound what strangers may send.
 */
struct buf {
    char *data;
    size_t len, cap;
};

void buf_done(struct buf *b);  /* frees and makes it empty again */
void buf_clear(struct buf *b); /* len = 0, keeps the memory */
void buf_reserve(struct buf *b, size_t more);
void buf_append(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_int(struct buf *b, int64_t n);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Appends s as a JSON string with its quotes. Bytes that are not UTF-8 become
 * U+FFFD, so that any text can be stored, and what a terminal must not see
 * becomes an escape, so that it can be shown.
 */
void buf_json_string(struct buf *b, const char *s, size_t n);

/* Appends s in base64 (RFC 4648), padded. */
void buf_base64(struct buf *b, const char *s, size_t n);
/* Appends the bytes that it stands for; returns false, and appends nothing, if
 * s is no base64. */
bool buf_unbase64(struct buf *b, const char *s, size_t n);

/* Returns the bytes, owned by the caller, and leaves the buffer empty. */
char *buf_take(struct buf *b);

#endif
