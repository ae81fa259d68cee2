/*
 * Push options: from flags to members of an envelope.
 *
 * Only what a flag has of its own is read here: the forms of --backoff,
 * --unique and --expires. Whether a member is right is said by those who read
 * it, when the envelope is built, so that a flag takes what an envelope takes.
 *
 * Thread: main.
 */
#include "producer/push_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/backoff_text.h"
#include "common/job/json.h"
#include "producer/payload.h"

bool push_options_given(const struct options *o)
{
    return o->in_ms || o->at || o->expires || o->unique || o->until ||
           o->on_conflict || o->backoff || o->then.count || o->meta.count;
}

void push_options_done(struct push_options *p)
{
    buf_done(&p->backoff);
    buf_done(&p->then);
    buf_done(&p->meta);
    buf_done(&p->unique_json);
}

/* ---- when ---- */

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
    if (!o->expires ||
        text_parse_instant(o->expires, &p->expires_at_ms, NULL) == 0)
        return 0;
    if (text_parse_duration(o->expires, &p->expires_in_ms, NULL) == 0 &&
        p->expires_in_ms > 0 && p->expires_in_ms <= JOB_DURATION_MAX_MS)
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "--expires: \"%.64s\" is neither a duration like 90s or "
                      "12h, up to 366d, nor an instant like "
                      "2026-11-26T08:30:00Z",
                      o->expires);
}

/* ---- unique ---- */

/* The colon in front of the TTL of KEY:TTL, or NULL. */
static const char *find_ttl(const char *text, int64_t *ret_ms)
{
    const char *colon = strrchr(text, ':');

    if (!colon || text_parse_duration(colon + 1, ret_ms, NULL) != 0 ||
        *ret_ms < 1)
        return NULL;
    return colon;
}

static int check_word(const char *flag, const char *word,
                      const char *const *words, struct errbuf *eb)
{
    for (size_t i = 0; word && words[i]; i++) {
        if (strcmp(word, words[i]) == 0)
            return 0;
    }
    if (!word)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "%s: %.40s: not one of %s, %s%s%s", flag,
                      word, words[0], words[1], words[2] ? ", " : "",
                      words[2] ? words[2] : "");
}

static void put_unique(struct buf *out, const struct options *o, size_t key_len,
                       int64_t ttl_ms)
{
    bool plain = !ttl_ms && !o->until && !o->on_conflict;

    if (!plain)
        buf_str(out, "{\"key\":");
    buf_json_string(out, o->unique, key_len);
    if (ttl_ms)
        buf_printf(out, ",\"until\":\"time\",\"ttl\":%lld", (long long)ttl_ms);
    else if (o->until)
        buf_printf(out, ",\"until\":\"%s\"", o->until);
    if (o->on_conflict)
        buf_printf(out, ",\"on_conflict\":\"%s\"", o->on_conflict);
    if (!plain)
        buf_char(out, '}');
}

static int read_unique(const struct options *o, struct push_options *p,
                       struct errbuf *eb)
{
    static const char *const untils[] = {"done", "started", NULL};
    static const char *const conflicts[] = {"skip", "replace", "error", NULL};
    int64_t ttl_ms = 0;

    if (!o->unique && (o->until || o->on_conflict))
        return errbuf_set(eb, ERR_INVALID,
                          "--until and --on-conflict belong to --unique");
    int rc = check_word("--until", o->until, untils, eb);
    if (rc == 0)
        rc = check_word("--on-conflict", o->on_conflict, conflicts, eb);
    if (rc != 0 || !o->unique)
        return rc;
    const char *colon = find_ttl(o->unique, &ttl_ms);
    size_t key_len = colon ? (size_t)(colon - o->unique) : strlen(o->unique);
    const char *last = strrchr(o->unique, ':');
    if (!colon && last && strcmp(last, ":0") != 0 &&
        text_parse_duration(last + 1, &ttl_ms, NULL) == 0)
        return errbuf_set(eb, ERR_INVALID, "--unique: %.64s: for no time",
                          last + 1);
    if (!colon)
        ttl_ms = 0;
    if (ttl_ms && o->until)
        return errbuf_set(eb, ERR_INVALID,
                          "--unique: a lock for %s needs no --until",
                          colon + 1);
    if (text_utf8_error(o->unique, key_len) != key_len)
        return errbuf_set(eb, ERR_INVALID, "--unique: not UTF-8");
    put_unique(&p->unique_json, o, key_len, ttl_ms);
    return unique_parse(
        (struct json_span){p->unique_json.data, p->unique_json.len}, &p->unique,
        eb);
}

/* ---- then, meta ---- */

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

int push_options_read(const struct options *o, struct push_options *ret,
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

static struct json_span span_of(const struct buf *b)
{
    return (struct json_span){b->len > 0 ? b->data : NULL, b->len};
}

void push_options_apply(const struct push_options *p, int64_t now_ms,
                        struct job_spec *spec)
{
    int64_t due_ms = now_ms + p->in_ms;

    if (p->at_ms > due_ms)
        due_ms = p->at_ms;
    spec->at_ms = p->at_ms;
    spec->in_ms = p->in_ms;
    spec->expires_at_ms =
        p->expires_in_ms ? due_ms + p->expires_in_ms : p->expires_at_ms;
    spec->backoff = span_of(&p->backoff);
    spec->unique = span_of(&p->unique_json);
    spec->then = span_of(&p->then);
    spec->meta = span_of(&p->meta);
}
