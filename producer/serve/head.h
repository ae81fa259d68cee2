#ifndef PRODUCER_SERVE_HEAD_H
#define PRODUCER_SERVE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The head of a request, read beside evhttp and before it: what has to be known
 * before its body comes, and what two readers could understand in two ways
 * (RFC 9112, 9.3 and 11.2), which is refused. Any thread.
 */
struct head {
    size_t len;       /* with the empty line at its end */
    int64_t body_len; /* that it announces; -1: none */
    bool chunked, bulk;
    const char *token; /* of Authorization, lent from text, or NULL */
    size_t token_len;

    int status; /* 0: it is right; else what it is refused with, */
    const char *kind, *why;
};

/* Returns false if its end is not among n bytes; those before from were looked
 * at before. */
bool head_read(const char *text, size_t n, size_t from, struct head *ret);

#endif
