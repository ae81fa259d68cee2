/*
 * Invalid: the bytes that were no envelope.
 *
 * Thread: any.
 */
#include "producer/invalid.h"

#include <stdlib.h>
#include <string.h>

#include "common/job/json.h"

struct members {
    struct json_span raw;
    int64_t raw_bytes;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);

bool invalid_is(const struct job *job)
{
    return strcmp(job->type, "belt.invalid") == 0;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct members *m = arg;

    (void)eb;
    if (json_string_is(key, "raw"))
        m->raw = value;
    else if (json_string_is(key, "raw_bytes") &&
             json_int_value(value, &m->raw_bytes) != 0)
        m->raw_bytes = -1;
    return 0;
}

int invalid_raw(const struct job *job, struct buf *out, struct errbuf *eb)
{
    struct members m = {0};
    size_t n = 0;

    (void)json_scan_object(job->raw, job->raw_len, on_member, &m, NULL);
    char *text = m.raw.p ? json_string_dup(m.raw, &n) : NULL;
    bool good = text && buf_unbase64(out, text, n);
    free(text);
    if (!good)
        return errbuf_set(eb, ERR_INVALID, "raw: not base64");
    if (m.raw_bytes != 0)
        return errbuf_set(eb, ERR_INVALID, "raw: only the first bytes of %lld",
                          (long long)m.raw_bytes);
    return 0;
}
