/*
 * Failures: what stays of them with a job.
 *
 * "error" is the last one in full, "failures" a short form of the last ten,
 * newest first. Both are bounded, since the envelope that they make grow must
 * still be read (ENVELOPE_SLACK in intake.c). What "failures" held before came
 * out of Redis and is carried only as far as it looks like ours.
 *
 * Thread: event loop only.
 */
#include <string.h>

#include "common/job/json.h"
#include "worker/settle_priv.h"

enum {
    FAILURES_MAX = 10,
    FAILURE_BYTES_MAX = 4 * 1024, /* of one that is carried */
    SHORT_MESSAGE_MAX = 200,
    STDERR_MAX = 8 * 1024,
    SHORT_STDERR_MAX = 300
};

struct carry {
    struct buf *out; /* borrowed */
    unsigned n;
};

static int on_failure(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);

static bool is_middle(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* The first bytes of b, at most max, without half a character at the end. */
static struct bytes head_of(const struct buf *b, size_t max)
{
    size_t n = b->len < max ? b->len : max;
    for (unsigned i = 0; n < b->len && n > 0 && i < 3 && is_middle(b->data[n]);
         i++)
        n--;
    return (struct bytes){b->data, n};
}

/* The last bytes of b, at most max, without half a character in front. */
static struct bytes tail_of(const struct buf *b, size_t max)
{
    size_t skip = b->len > max ? b->len - max : 0;
    for (unsigned i = 0;
         skip > 0 && skip < b->len && i < 3 && is_middle(b->data[skip]); i++)
        skip++;
    return (struct bytes){b->len > 0 ? b->data + skip : NULL, b->len - skip};
}

static void put_failure(const struct work *w, const struct outcome *o,
                        int64_t attempt, struct bytes message,
                        struct bytes tail, struct buf *out)
{
    const char *worker = w->lane->agent->id;
    buf_str(out, "{\"class\":");
    buf_json_string(out, o->error_class, strlen(o->error_class));
    buf_str(out, ",\"message\":");
    buf_json_string(out, message.p, message.len);
    buf_str(out, ",\"at\":");
    buf_int(out, w->now_ms);
    buf_str(out, ",\"attempt\":");
    buf_int(out, attempt);
    buf_str(out, ",\"worker\":");
    buf_json_string(out, worker, strlen(worker));
    if (tail.len > 0) {
        buf_str(out, ",\"stderr\":");
        buf_json_string(out, tail.p, tail.len);
    }
    buf_char(out, '}');
}

void failure_error(const struct work *w, const struct slot *s, int64_t attempt,
                   struct buf *error)
{
    const struct outcome *o = &s->d->outcome;
    put_failure(w, o, attempt, head_of(&o->message, MESSAGE_MAX),
                tail_of(&o->stderr_tail, STDERR_MAX), error);
}

static int on_failure(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct carry *c = arg;
    (void)key;
    (void)eb;
    if (c->n == FAILURES_MAX)
        return ERR_TOO_BIG;
    if (json_kind(value) != JSON_IS_OBJECT || value.len > FAILURE_BYTES_MAX)
        return 0;
    buf_char(c->out, ',');
    buf_append(c->out, value.p, value.len);
    c->n++;
    return 0;
}

void failure_texts(const struct work *w, const struct slot *s, int64_t attempt,
                   struct buf *error, struct buf *failures)
{
    const struct outcome *o = &s->d->outcome;
    const struct json_span old = s->d->job->failures;
    struct carry carry = {failures, 1};
    failure_error(w, s, attempt, error);
    buf_char(failures, '[');
    put_failure(w, o, attempt, head_of(&o->message, SHORT_MESSAGE_MAX),
                tail_of(&o->stderr_tail, SHORT_STDERR_MAX), failures);
    if (old.p != NULL && json_kind(old) == JSON_IS_ARRAY)
        (void)json_scan_array(old.p, old.len, on_failure, &carry, NULL);
    buf_char(failures, ']');
}
