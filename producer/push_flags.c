/*
 * Push flags: what a command line says about the life of a job.
 *
 * Thread: main.
 */
#include "producer/push_flags.h"

#include <string.h>

#include "common/base/text.h"
#include "common/job/backoff_text.h"
#include "producer/payload.h"

bool push_flags_given(const struct options *o)
{
    return o->in_ms || o->at || o->expires || o->unique || o->until ||
           o->on_conflict || o->backoff || o->then.count || o->meta.count;
}

static int read_times(const struct options *o, struct push_options *p,
                      struct errbuf *eb)
{
    int rc = 0;

    p->in_ms = o->in_ms;
    if (o->at && o->in_ms)
        return errbuf_set(eb, ERR_INVALID, "--in and --at: one of them");
    if (o->at)
        rc = text_parse_instant(o->at, &p->at_ms, eb);
    if (rc != 0)
        return errbuf_wrap(eb, rc, "--at");
    if (o->expires)
        rc = push_expires_read(o->expires, p, eb);
    return rc == 0 ? 0 : errbuf_wrap(eb, rc, "--expires");
}

static int read_unique(const struct options *o, struct push_options *p,
                       struct errbuf *eb)
{
    struct push_unique u = {
        .unique = o->unique,
        .until = o->until,
        .on_conflict = o->on_conflict,
        .names = {"--unique", "--until", "--on-conflict"},
    };

    return push_unique_read(&u, p, eb);
}

/* An object becomes an element, the elements of an array some. */
static void put_elements(struct buf *out, const struct buf *json)
{
    const char *p = json->data;
    size_t n = json->len;

    if (p[0] == '[') {
        p++;
        n -= 2;
        size_t blank = strspn(p, " \t\r\n");
        if (blank >= n)
            return;
    }
    if (out->len > 1)
        buf_char(out, ',');
    buf_append(out, p, n);
}

static int read_then(const struct options *o, struct buf *out,
                     struct errbuf *eb)
{
    struct buf one = {0};
    int rc = 0;

    if (o->then.count > 1)
        buf_char(out, '[');
    for (int i = 0; i < o->then.count && rc == 0; i++) {
        buf_clear(&one);
        rc =
            payload_build(&o->then.texts[i], 1, (size_t)o->max_bytes, &one, eb);
        if (rc == 0 && one.data[0] != '{' && one.data[0] != '[')
            rc = errbuf_set(eb, ERR_INVALID,
                            "neither an envelope nor an array of them");
        if (rc != 0)
            break;
        if (o->then.count == 1)
            buf_append(out, one.data, one.len);
        else
            put_elements(out, &one);
    }
    if (o->then.count > 1)
        buf_char(out, ']');
    buf_done(&one);
    return rc;
}

int push_flags_read(const struct options *o, struct push_options *ret,
                    struct errbuf *eb)
{
    *ret = (struct push_options){0};
    int rc = read_times(o, ret, eb);
    if (rc == 0)
        rc = read_unique(o, ret, eb);
    if (rc == 0 && o->backoff) {
        rc = backoff_from_text(o->backoff, &ret->backoff, eb);
        if (rc != 0)
            errbuf_wrap(eb, rc, "--backoff");
    }
    if (rc == 0 && o->then.count > 0) {
        rc = read_then(o, &ret->then, eb);
        if (rc != 0)
            errbuf_wrap(eb, rc, "--then");
    }
    if (rc == 0 && o->meta.count > 0) {
        rc = payload_build(o->meta.texts, o->meta.count, (size_t)o->max_bytes,
                           &ret->meta, eb);
        if (rc != 0)
            errbuf_wrap(eb, rc, "--meta");
    }
    return rc;
}
