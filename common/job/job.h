#ifndef COMMON_JOB_JOB_H
#define COMMON_JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/text.h"
#include "common/job/json.h"

/*
 * A job and its envelope, the JSON object that is the job in Redis
 * (docs/PROTOCOL.md, "Envelope").
 *
 * The payload and every member that we do not know are carried byte for byte
 * through each rewrite. Times are integer milliseconds. One thread at a time.
 */
#define JOB_MAX_ATTEMPTS_DEFAULT 20
#define JOB_ENVELOPE_MAX_BYTES (1024 * 1024) /* default limit */
#define JOB_TYPE_MAX_LEN 128
#define JOB_DURATION_MAX_MS (366 * 86400000LL) /* of timeout and keep */
#define JOB_RECOVERED_MAX 16 /* times of recovery that are read */

struct job {
    char *raw; /* owned: the envelope exactly as it is in Redis */
    size_t raw_len;

    struct json_span payload;  /* into raw, or the constant "null" */
    struct json_span backoff;  /* into raw; absent: default policy */
    struct json_span unique;   /* into raw; absent: none. See unique.h */
    struct json_span then;     /* into raw; absent: nothing follows */
    struct json_span failures; /* into raw; absent: none yet */
    struct json_span queue;    /* into raw; of an envelope that goes to one */
    struct json_span after;    /* into raw; absent: none. See job_after_read */
    struct json_span meta;     /* into raw; absent: none */

    int64_t created_at_ms; /* 0: unknown */
    int64_t attempt;       /* attempts already made */
    int64_t max_attempts;  /* the default unless says_attempts */
    bool says_attempts;
    int64_t timeout_ms;    /* 0: the handler's */
    int64_t expires_at_ms; /* 0: never; not to be started at or after it */
    int64_t at_ms;         /* 0: at once; not to be started before it */
    int64_t in_ms;         /* the same as a delay from the push on */
    int64_t keep_ms;       /* 0: nothing is kept after the end */
    int64_t crashes;       /* attempts that ended by a signal */
    int64_t put_offs;      /* times put off in a row */
    int64_t put_off_since_ms;
    int64_t snoozes; /* times that the handler asked to be run later */
    unsigned recovered_count;

    /*
     * job_read clears what stands above, and only that: a new member belongs
     * there. These are not initialised beyond their ends, or recovered_count.
     */
    int64_t recovered_ms[JOB_RECOVERED_MAX]; /* newest first */
    char id[ID_MAX_LEN + 1];                 /* "" if the envelope has none */
    char type[JOB_TYPE_MAX_LEN + 1];         /* UTF-8, no control characters */
    char traceparent[64];                    /* meta.traceparent, "" if none */
};

/*
 * Parses an envelope of len bytes, which is copied, and returns the job,
 * owned, through ret_job. ERR_INVALID or ERR_TOO_BIG (> max_bytes) with a
 * text that names the member or the byte offset. An absent id is no error;
 * of two members named id or recovered the first counts (stamp and reap write
 * in front), any other known name twice is an error.
 */
int job_parse(const char *raw, size_t len, size_t max_bytes,
              struct job **ret_job, struct errbuf *eb);

void job_free(struct job *job);

/* The kept job that one is to run after. */
struct job_after {
    char queue[NAME_MAX_LEN + 1]; /* "": that of the job itself */
    char id[ID_MAX_LEN + 1];
};

/* Reads job->after, "QUEUE/ID" or "ID". ERR_INVALID with a text. */
int job_after_read(const struct job *job, struct job_after *ret,
                   struct errbuf *eb);

/* Number of recoveries noted at or after since_ms. */
unsigned job_recoveries_since(const struct job *job, int64_t since_ms);

/* A new value for one member; NULL json removes the member. */
struct job_change {
    const char *name; /* plain ASCII, without quotes, at most 63 bytes */
    const char *json; /* a valid JSON value, or NULL */
};

/*
 * Appends the envelope with the changes applied: {"id":"…" first (or
 * {"recovered":[…],"id":"… if there are recoveries at or after
 * recovered_since_ms), then all other members in their old order with their
 * old bytes, changed ones at the end. The job must have an id, which no change
 * can name; a change of recovered takes the place of the array in front.
 */
void job_rewrite(const struct job *job, const struct job_change *changes,
                 size_t n, int64_t recovered_since_ms, struct buf *out);

/* What a push can say; zero or NULL means "not written". */
struct job_spec {
    const char *id; /* NULL: a fresh ULID */
    const char *type;
    const char *queue;        /* of one that is pushed by a handler */
    const char *after;        /* "QUEUE/ID" */
    struct json_span payload; /* carried as it is */
    int64_t created_at_ms;
    int64_t max_attempts, timeout_ms, keep_ms;
    int64_t at_ms, in_ms, expires_at_ms;
    struct json_span backoff, unique, then, meta; /* p NULL: not written */
};

/*
 * Appends a new envelope, beginning {"id":"…","type":…. ERR_INVALID names the
 * member that is bad, ERR_TOO_BIG an envelope above max_bytes; out is then as
 * before.
 */
int job_build(const struct job_spec *spec, size_t max_bytes, struct buf *out,
              struct errbuf *eb);

/*
 * Completes a stranger's envelope for a push: valid as it is with an id in
 * front → appended unchanged; without an id, or with one further back → a
 * fresh or that id is put in front. created_at is added where it is missing.
 * default_type is used when there is no type; NULL makes that an error.
 * Everything that job_parse checks is checked, and backoff, unique and then,
 * and that not both at and in are there. On failure out is as before. ret,
 * unless NULL, gets what raw says: spans are of raw, and there is no id or type
 * in it that was put in front.
 */
int job_complete(const char *raw, size_t len, const char *default_type,
                 int64_t now_ms, size_t max_bytes, struct buf *out,
                 struct job *ret, struct errbuf *eb);

/*
 * Appends the envelope of an element that is no valid one, for dead:
 * {"id":…,"type":"belt.invalid","error":{…},"raw":base64}. Of an element of
 * more than raw_max bytes the rest is cut, and "raw_bytes" says its length.
 */
void job_build_invalid(const char *raw, size_t len, size_t raw_max,
                       const char *why, int64_t now_ms, struct buf *out);

#endif
