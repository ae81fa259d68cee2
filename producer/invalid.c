/*
 * Invalid: back from base64.
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

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Appends what four digits mean, of which the last may be "=". */
static bool decode_four(const char *p, bool last, struct buf *out)
{
    int n = last && p[3] == '=' ? (p[2] == '=' ? 2 : 3) : 4;
    unsigned bits = 0;

    for (int i = 0; i < 4; i++) {
        int d = i < n ? digit(p[i]) : 0;
        if (d < 0)
            return false;
        bits = bits << 6 | (unsigned)d;
    }
    const char three[] = {(char)(bits >> 16), (char)(bits >> 8 & 255),
                          (char)(bits & 255)};
    buf_append(out, three, (size_t)n - 1);
    return true;
}

static bool decode(const char *p, size_t n, struct buf *out)
{
    size_t start = out->len;
    bool good = n % 4 == 0;

    buf_reserve(out, n / 4 * 3);
    for (size_t i = 0; i < n && good; i += 4)
        good = decode_four(p + i, i + 4 == n, out);
    if (!good)
        out->len = start;
    return good;
}

int invalid_raw(const struct job *job, struct buf *out, struct errbuf *eb)
{
    struct members m = {0};
    size_t n = 0;

    (void)json_scan_object(job->raw, job->raw_len, on_member, &m, NULL);
    char *text = m.raw.p ? json_string_dup(m.raw, &n) : NULL;
    bool good = text && decode(text, n, out);
    free(text);
    if (!good)
        return errbuf_set(eb, ERR_INVALID, "raw: not base64");
    if (m.raw_bytes != 0)
        return errbuf_set(eb, ERR_INVALID, "raw: only the first bytes of %lld",
                          (long long)m.raw_bytes);
    return 0;
}
