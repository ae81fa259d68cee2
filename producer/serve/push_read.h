#ifndef PRODUCER_SERVE_PUSH_READ_H
#define PRODUCER_SERVE_PUSH_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "common/redis/queue.h"
#include "producer/push_options.h"
#include "producer/serve/body.h"

/*
 * From a request to a job: what its body, its query and its headers say, then
 * the envelope that belt push would make of the same.
 *
 * Members have the names and values of an envelope; times are milliseconds, or
 * texts as the flags of belt push take them ("90s", "2026-11-26T08:30:00Z").
 * All that is wrong is gathered, each with a JSON pointer. Any thread.
 */
struct push_read {
    const char *queue; /* borrowed: where it goes */
    int64_t now_ms;
    bool front;
    char id[ID_MAX_LEN + 1]; /* "": not given */
    struct push_options options;
    struct body bad; /* what is wrong */

    /* For push_read.c and push_build.c only. */
    struct job_spec spec;
    char type[JOB_TYPE_MAX_LEN + 1];
    char after[NAME_MAX_LEN + 1 + ID_MAX_LEN + 1];
    char until[16], on_conflict[16];
    struct json_span unique; /* as it was given, borrowed */
    struct buf payload;      /* of one that was no JSON */
    uint64_t seen;           /* bit for each row of the table of members */
};

/* Starts a job for this queue. */
void push_read_init(struct push_read *p, const char *queue, int64_t now_ms);
void push_read_done(struct push_read *p);

/* Reads a body that says it all: an object, which must stay as long as p. */
void push_read_json(struct push_read *p, const char *text, size_t len);

/*
 * Reads one option of a query, of those in push_read_names. unique is
 * KEY[:TTL], as --unique is.
 */
void push_read_text(struct push_read *p, const char *name, const char *text);
enum { PUSH_READ_NAMES = 15 };
/* NULL behind the last. */
extern const char *const push_read_names[PUSH_READ_NAMES + 1];

/* The type, out of a path, and a payload that is JSON, which must stay. */
void push_read_type(struct push_read *p, const char *type);
void push_read_payload(struct push_read *p, struct json_span payload);

/*
 * Takes a body as the payload: JSON byte for byte, a text as a string, other
 * bytes in base64, as its Content-Type says (docs/HTTP.md). NULL: none.
 */
void push_read_raw(struct push_read *p, const char *content_type,
                   struct bytes body);

/*
 * Adds the trace context of the request to meta (W3C Trace Context), unless
 * the body has one of its own or it is none. Both may be NULL.
 */
void push_read_trace(struct push_read *p, const char *traceparent,
                     const char *tracestate);

/* Adds to meta a member that is not there; value is JSON. */
void push_read_meta(struct push_read *p, const char *name, const char *value,
                    size_t len);

/* Whether an envelope may have a member of this name. For push_build.c. */
bool push_read_knows(const char *name, size_t len);

/*
 * Appends the envelope, under this id, which is borrowed, to out, and says in
 * *ret all that a push of it needs to know, which p lends. ERR_INVALID: bad
 * says why; ERR_TOO_BIG with a text.
 */
int push_read_build(struct push_read *p, const char *id, size_t max_bytes,
                    struct buf *out, struct push_one *ret, struct errbuf *eb);

#endif
