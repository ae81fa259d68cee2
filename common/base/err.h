#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

#include <stddef.h>

/*
 * Error codes and error texts.
 *
 * Functions return 0 or a negative ERR_*. Where a person will read why, the
 * last parameter is a struct errbuf, filled on failure only.
 */
#define ERR_LIST(X)                                                            \
    X(ERR_NOMEM, "out of memory")                                              \
    X(ERR_TIMEOUT, "timed out")                                                \
    X(ERR_CLOSED, "closed")                                                    \
    X(ERR_INVALID, "invalid input")                                            \
    X(ERR_TOO_BIG, "too big")                                                  \
    X(ERR_MISSING, "not found")                                                \
    X(ERR_SYSTEM, "system error")                                              \
    X(ERR_REFUSED, "refused: not executed")                                    \
    X(ERR_UNKNOWN, "outcome unknown")                                          \
    X(ERR_REDIS, "redis error")                                                \
    X(ERR_FENCED, "lease lost")                                                \
    X(ERR_FULL, "queue full")                                                  \
    X(ERR_HELD, "unique key held by another job")                              \
    X(ERR_AGAIN, "not now")

enum err_index {
#define ERR_INDEX(name, text) name##_INDEX,
    ERR_LIST(ERR_INDEX)
#undef ERR_INDEX
        ERR_COUNT
};

enum err {
#define ERR_VALUE(name, text) name = -(name##_INDEX + 1),
    ERR_LIST(ERR_VALUE)
#undef ERR_VALUE
};

struct errbuf {
    char text[512]; /* NUL-terminated, cut when too long */
};

/* Returns the constant text of a code; "ok" for 0. */
const char *err_str(int err);

/* Writes a text and returns err. eb may be NULL in both. */
int errbuf_set(struct errbuf *eb, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "fmt: " in front of the text that is there, and returns err. */
int errbuf_wrap(struct errbuf *eb, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
