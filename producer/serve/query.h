#ifndef PRODUCER_SERVE_QUERY_H
#define PRODUCER_SERVE_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

/*
 * Values of a query, as numbers and such, and the way to the next page. What
 * is wrong is a 400 (invalid-query) in a, and false is returned; what is not
 * given leaves ret as it was. Names: those that request_check_query takes.
 */
bool query_int(const struct request *r, const char *name, int64_t min,
               int64_t max, int64_t *ret, struct answer *a);
/* "10m", or a number of seconds, in ms. */
bool query_span(const struct request *r, const char *name, int64_t min_ms,
                int64_t max_ms, int64_t *ret_ms, struct answer *a);
bool query_bool(const struct request *r, const char *name, bool *ret,
                struct answer *a);

/* The 400: "NAME: " and the text. Returns false. */
bool query_is_wrong(struct answer *a, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * A place in a listing, as text for a URL (base64url, RFC 4648 5), and back.
 * Reading appends to out; false: it is none.
 */
void cursor_append(struct buf *out, const char *place, size_t n);
bool cursor_read(const char *cursor, struct buf *out);

/* Takes the word at *p, of less than cap bytes, and the space behind it. */
bool cursor_word(const char **p, const char *end, char *out, size_t cap);

/*
 * Says where the next page is, Link: <?…&cursor=…>; rel="next", relative to
 * what was asked, with the same values for the other names.
 */
void answer_next(struct answer *a, const struct request *r,
                 const char *const *names, const char *cursor);

#endif
