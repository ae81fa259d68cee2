#ifndef PRODUCER_SERVE_BODY_H
#define PRODUCER_SERVE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/job/json.h"
#include "common/redis/queue.h"
#include "producer/serve/answer.h"

/*
 * Bodies that are one JSON object of members known from a table. All that is
 * wrong is told at once, as the errors of a problem (RFC 9457), each with a
 * pointer to its place (RFC 6901). A member that is null counts as not given,
 * MEMBER_JSON excepted. One thread at a time.
 *
 *     struct body b = {0};
 *     body_read(&b, request_body(r), members, &wish);
 *     if (wish.x && !is_right(wish.x))
 *         body_wrong(&b, "/x", "why");
 *     if (!body_is_wrong(&b, a))
 *         use(&wish);
 *     body_done(&b);
 */
enum member_type {
    MEMBER_TEXT,  /* const char *: a string of at most max bytes, without NUL */
    MEMBER_BOOL,  /* bool */
    MEMBER_INT,   /* int64_t within [min, max] */
    MEMBER_SPAN,  /* int64_t: milliseconds within [min, max], or "1h30m" */
    MEMBER_JSON,  /* struct json_span: any value, as it is */
    MEMBER_TEXTS, /* struct body_texts: an array of at most max strings */
};

struct body_texts {
    const char **texts;
    size_t count;
    bool given;
};

struct body_member {
    const char *name; /* plain ASCII; NULL ends a table */
    enum member_type type;
    size_t offset; /* in the struct that is read into */
    int64_t min, max;
};

/* Start with {0}. */
struct body {
    struct buf errors; /* JSON objects, commas between */
    unsigned count;    /* of them */
    char *not_json;    /* owned: why it is none; NULL: it is */
    void **owned;      /* owned, each too: what was read into the struct */
    size_t owned_count, owned_cap;
};

/*
 * Reads text into into; what is not given stays as it was. What is lent there
 * is until body_done, or of text. White space, or nothing, is an empty object.
 */
void body_read(struct body *b, struct bytes text,
               const struct body_member *members, void *into);

/* One thing more that is wrong; pointer is "/at". */
void body_wrong(struct body *b, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A member that is none of these n names; the nearest may have been meant. */
void body_wrong_key(struct body *b, struct json_span key,
                    const char *const *names, size_t n);

/* Whether anything was wrong: a is then a 400 (invalid-json) or a 422
 * (invalid-body). */
bool body_is_wrong(const struct body *b, struct answer *a);

/* The same of what a query said: a is then a 400 (invalid-query). */
bool body_query_is_wrong(const struct body *b, struct answer *a);

void body_done(struct body *b);

#endif
