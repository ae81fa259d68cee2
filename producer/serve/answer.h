#ifndef PRODUCER_SERVE_ANSWER_H
#define PRODUCER_SERVE_ANSWER_H

#include <stdint.h>

#include "common/base/buf.h"

/*
 * What a request is answered with: a status, a body and a few headers. It is
 * made by whoever answers, in any thread, and given to request_answer. Start
 * with {0}.
 */
enum { ANSWER_HEADERS_MAX = 8 };

struct answer {
    int status;               /* 0: nothing was said yet */
    const char *content_type; /* lives for ever; NULL: application/json */
    struct buf body;
    struct {
        const char *name; /* lives for ever */
        char *value;      /* owned */
    } headers[ANSWER_HEADERS_MAX];
    unsigned header_count;
};

#define ANSWER_PROBLEM "application/problem+json"

/* Each kind of problem, and what it is for people. */
struct problem_kind {
    const char *name, *title;
};
const struct problem_kind *problem_kinds(size_t *ret_n);

/* Each status that we answer with, and what is behind it in the first line. The
 * last one stands for all others. */
struct answer_status {
    int status;
    const char *phrase;
};
enum { ANSWER_STATUSES = 24 };
extern const struct answer_status answer_statuses[ANSWER_STATUSES];
unsigned answer_status_place(int status);
const char *answer_phrase(int status);

void answer_done(struct answer *a); /* frees and makes it empty again */

/* Adds a header; what would end its line becomes a space. */
void answer_header(struct answer *a, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Makes it a problem (RFC 9457), whatever it was: kind is the last part of its
 * type, "queue-full", and one of those in docs/HTTP.md; the text is for people.
 * Headers that were added stay.
 */
void answer_problem(struct answer *a, int status, const char *kind,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Adds a member to the object that the body is; name is plain ASCII. */
void answer_add_text(struct answer *a, const char *name, const char *text);
void answer_add_int(struct answer *a, const char *name, int64_t n);
void answer_add_json(struct answer *a, const char *name,
                     const struct buf *json);

/*
 * The same for what the core of belt tells as a status of sysexits.h and a
 * text: 65 is 400, 66 and 1 404, 69 and 75 503, 77 403, others 500, with
 * Retry-After where trying again helps.
 */
void answer_failure(struct answer *a, int status, const char *text);

#endif
