/*
 * Cron entry: from JSON, and from what people say, to a struct and back.
 *
 * There is one judge of what is right, cron_entry_parse: what is made here is
 * read again, and the options of the jobs are checked by reading a job.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/cron_entry.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/backoff.h"

#define COUNT_MAX 1000000000

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);

enum member {
    SPEC,
    TZ,
    TYPE,
    PAYLOAD,
    JITTER,
    OVERLAP,
    CATCH_UP,
    CATCH_UP_LIMIT,
    PAUSED,
    TIMES,
    MAX_ATTEMPTS,
    TIMEOUT,
    BACKOFF,
    KEEP,
    EXPIRES,
    SOURCE,
    UPDATED_AT,
    MEMBERS
};

static const char *const names[MEMBERS + 1] = {
    [SPEC] = "spec",
    [TZ] = "tz",
    [TYPE] = "type",
    [PAYLOAD] = "payload",
    [JITTER] = "jitter",
    [OVERLAP] = "overlap",
    [CATCH_UP] = "catch_up",
    [CATCH_UP_LIMIT] = "catch_up_limit",
    [PAUSED] = "paused",
    [TIMES] = "times",
    [MAX_ATTEMPTS] = "max_attempts",
    [TIMEOUT] = "timeout",
    [BACKOFF] = "backoff",
    [KEEP] = "keep",
    [EXPIRES] = "expires",
    [SOURCE] = "source",
    [UPDATED_AT] = "updated_at",
};

static const char *const overlaps[] = {
    [CRON_ALLOW] = "allow", [CRON_SKIP] = "skip", NULL};
static const char *const catch_ups[] = {
    [CRON_LAST] = "last", [CRON_NONE] = "none", [CRON_ALL] = "all", NULL};

struct scan {
    struct cron_entry *e; /* borrowed */
    unsigned seen;        /* bit per member */
};

bool cron_is_name(const char *s, size_t n)
{
    return n <= CRON_NAME_MAX_LEN && text_is_name(s, n);
}

static int find_word(struct json_span value, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (json_string_is(value, words[i]))
            return i;
    }
    return -1;
}

static int read_text(struct json_span value, char *out, size_t cap)
{
    size_t len;

    return json_string_copy(value, out, cap, &len);
}

static int read_int(struct json_span value, int64_t min, int64_t max,
                    int64_t *ret)
{
    int64_t n;

    if (json_int_value(value, &n) != 0 || n < min || n > max)
        return ERR_INVALID;
    *ret = n;
    return 0;
}

static int read_word(struct json_span value, const char *const *words, int *ret)
{
    *ret = find_word(value, words);
    return *ret < 0 ? ERR_INVALID : 0;
}

static int read_bool(struct json_span value, bool *ret)
{
    enum json_kind kind = json_kind(value);

    *ret = kind == JSON_IS_TRUE;
    return kind == JSON_IS_TRUE || kind == JSON_IS_FALSE ? 0 : ERR_INVALID;
}

/* What concerns the entry itself; the rest is the job's. */
static int read_member(struct cron_entry *e, enum member m,
                       struct json_span value)
{
    int word = 0, rc;

    switch (m) {
    case SPEC:
        return read_text(value, e->spec, sizeof(e->spec));
    case TZ:
        return read_text(value, e->zone, sizeof(e->zone));
    case TYPE:
        return read_text(value, e->type, sizeof(e->type));
    case SOURCE:
        return read_text(value, e->source, sizeof(e->source));
    case PAYLOAD:
        e->payload = value;
        return 0;
    case BACKOFF:
        e->backoff = value;
        return 0;
    case OVERLAP:
        rc = read_word(value, overlaps, &word);
        e->overlap = (enum cron_overlap)word;
        return rc;
    case CATCH_UP:
        rc = read_word(value, catch_ups, &word);
        e->catch_up = (enum cron_catch_up)word;
        return rc;
    case PAUSED:
        return read_bool(value, &e->paused);
    case JITTER:
        return read_int(value, 0, CRON_JITTER_MAX_MS, &e->jitter_ms);
    case CATCH_UP_LIMIT:
        return read_int(value, 0, CRON_LIMIT_MAX_MS, &e->catch_up_limit_ms);
    case TIMES:
        return read_int(value, 1, COUNT_MAX, &e->times);
    case EXPIRES:
        return read_int(value, 1, JOB_DURATION_MAX_MS, &e->expires_ms);
    case MAX_ATTEMPTS:
        return read_int(value, 1, COUNT_MAX, &e->max_attempts);
    case TIMEOUT:
        return read_int(value, 1, JOB_DURATION_MAX_MS, &e->timeout_ms);
    case KEEP:
        return read_int(value, 1, JOB_DURATION_MAX_MS, &e->keep_ms);
    case UPDATED_AT:
        return read_int(value, 0, INT64_C(1) << 53, &e->updated_at_ms);
    case MEMBERS:
        break;
    }
    return ERR_INVALID;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct scan *s = arg;
    int m = find_word(key, names);

    if (m < 0)
        return 0;
    if ((s->seen >> m & 1) != 0)
        return errbuf_set(eb, ERR_INVALID, "%s: twice", names[m]);
    s->seen |= 1U << m;
    if (json_kind(value) == JSON_IS_NULL && m != PAYLOAD)
        return 0;
    if (read_member(s->e, (enum member)m, value) != 0)
        return errbuf_set(eb, ERR_INVALID, "%s: %.*s: not understood", names[m],
                          (int)(value.len < 64 ? value.len : 64), value.p);
    return 0;
}

/* A job of it has to be a valid one. */
static int check_job(const struct cron_entry *e, struct errbuf *eb)
{
    struct buf b = {0};
    struct backoff unused;
    struct job *job = NULL;
    char id[ID_MAX_LEN + 1];

    cron_job_id(e, INT64_C(9999999999999), id);
    cron_job(e, id, INT64_C(9999999999999), 1, &b);
    int rc = job_parse(b.data, b.len, JOB_ENVELOPE_MAX_BYTES, &job, eb);
    if (rc == 0)
        rc = backoff_parse(job->backoff, &unused, eb);
    job_free(job);
    buf_done(&b);
    return rc;
}

static int check(struct cron_entry *e, struct errbuf *eb)
{
    if (e->spec[0] == '\0')
        return errbuf_set(eb, ERR_INVALID, "spec: missing");
    if (e->type[0] == '\0')
        return errbuf_set(eb, ERR_INVALID, "type: missing");
    if (e->expires_ms > 0 && e->expires_ms <= e->jitter_ms)
        return errbuf_set(eb, ERR_INVALID,
                          "expires: %lld: not more than the jitter, so its "
                          "jobs would expire before they come",
                          (long long)e->expires_ms);
    int rc = cron_parse(e->spec, &e->cron, eb);
    return rc != 0 ? rc : check_job(e, eb);
}

int cron_entry_parse(const char *name, const char *text, size_t len,
                     struct cron_entry **ret, struct errbuf *eb)
{
    if (!cron_is_name(name, strlen(name)))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.*s\" is no name of an entry: up to %d of A-Z "
                          "a-z 0-9 . _ -, a letter or digit first",
                          2 * CRON_NAME_MAX_LEN, name, CRON_NAME_MAX_LEN);
    if (len > CRON_ENTRY_MAX_BYTES)
        return errbuf_set(eb, ERR_TOO_BIG, "an entry of %zu bytes: at most %d",
                          len, CRON_ENTRY_MAX_BYTES);
    struct cron_entry *e = mem_new(sizeof(*e));
    struct scan scan = {.e = e};
    e->raw = mem_dup(text, len);
    e->raw_len = len;
    e->times = -1;
    e->catch_up_limit_ms = CRON_LIMIT_DEFAULT_MS;
    memcpy(e->name, name, strlen(name));
    memcpy(e->zone, "UTC", 4);
    int rc = json_scan_object(e->raw, len, on_member, &scan, eb);
    if (rc == 0)
        rc = check(e, eb);
    if (rc == 0)
        *ret = e;
    else
        cron_entry_free(e);
    return rc;
}

void cron_entry_free(struct cron_entry *e)
{
    if (e == NULL)
        return;
    free(e->raw);
    free(e);
}

static void put_name(struct buf *b, enum member m)
{
    if (b->len > 1) /* than the brace */
        buf_char(b, ',');
    buf_printf(b, "\"%s\":", names[m]);
}

static void put_text(struct buf *b, enum member m, const char *text)
{
    if (text == NULL)
        return;
    put_name(b, m);
    buf_json_string(b, text, strlen(text));
}

static void put_json(struct buf *b, enum member m, const char *p, size_t len)
{
    if (p == NULL)
        return;
    put_name(b, m);
    buf_append(b, p, len);
}

static void put_int(struct buf *b, enum member m, int64_t n, int64_t unset)
{
    if (n == unset)
        return;
    put_name(b, m);
    buf_int(b, n);
}

static void write_wish(const struct cron_wish *w, struct buf *b)
{
    buf_char(b, '{');
    put_text(b, SPEC, w->spec);
    put_text(b, TZ, w->zone != NULL ? w->zone : "UTC");
    put_text(b, TYPE, w->type);
    put_json(b, PAYLOAD, w->payload.p, w->payload.len);
    put_int(b, JITTER, w->jitter_ms, 0);
    put_text(b, OVERLAP, w->overlap);
    put_text(b, CATCH_UP, w->catch_up);
    put_int(b, CATCH_UP_LIMIT, w->catch_up_limit_ms, -1);
    if (w->paused)
        put_json(b, PAUSED, "true", 4);
    put_int(b, TIMES, w->times, 0);
    put_int(b, MAX_ATTEMPTS, w->max_attempts, 0);
    put_int(b, TIMEOUT, w->timeout_ms, 0);
    if (w->backoff != NULL)
        put_json(b, BACKOFF, w->backoff, strlen(w->backoff));
    put_int(b, KEEP, w->keep_ms, 0);
    put_int(b, EXPIRES, w->expires_ms, 0);
    put_text(b, SOURCE, w->source);
    put_int(b, UPDATED_AT, w->updated_at_ms, 0);
    buf_char(b, '}');
}

int cron_entry_make(const char *name, const struct cron_wish *w,
                    struct cron_entry **ret, struct errbuf *eb)
{
    struct buf b = {0};
    struct zone *z = NULL;

    write_wish(w, &b);
    int rc = cron_entry_parse(name, b.data, b.len, ret, eb);
    buf_done(&b);
    if (rc != 0)
        return rc;
    rc = zone_open((*ret)->zone, &z, eb);
    zone_free(z);
    if (rc != 0) {
        cron_entry_free(*ret);
        *ret = NULL;
    }
    return rc;
}

struct copy {
    const struct job_change *changes; /* borrowed */
    size_t n;
    struct buf *out; /* borrowed */
    bool any;
};

static void copy_member(struct copy *c, struct json_span key,
                        struct json_span value)
{
    if (c->any)
        buf_char(c->out, ',');
    c->any = true;
    buf_append(c->out, key.p, key.len);
    buf_char(c->out, ':');
    buf_append(c->out, value.p, value.len);
}

static int on_copy(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb)
{
    struct copy *c = arg;

    (void)eb;
    for (size_t i = 0; i < c->n; i++) {
        if (json_string_is(key, c->changes[i].name))
            return 0;
    }
    copy_member(c, key, value);
    return 0;
}

void cron_entry_rewrite(const struct cron_entry *e,
                        const struct job_change *changes, size_t n,
                        struct buf *out)
{
    struct copy c = {.changes = changes, .n = n, .out = out};

    buf_char(out, '{');
    (void)json_scan_object(e->raw, e->raw_len, on_copy, &c, NULL);
    for (size_t i = 0; i < n; i++) {
        if (changes[i].json == NULL)
            continue;
        if (c.any)
            buf_char(out, ',');
        c.any = true;
        buf_printf(out, "\"%s\":%s", changes[i].name, changes[i].json);
    }
    buf_char(out, '}');
}

static bool same_span(struct json_span a, struct json_span b)
{
    if (a.p == NULL || b.p == NULL)
        return a.p == b.p;
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

bool cron_entry_same_ticks(const struct cron_entry *a,
                           const struct cron_entry *b)
{
    return strcmp(a->spec, b->spec) == 0 && strcmp(a->zone, b->zone) == 0;
}

bool cron_entry_same(const struct cron_entry *a, const struct cron_entry *b)
{
    return cron_entry_same_ticks(a, b) && strcmp(a->type, b->type) == 0 &&
           strcmp(a->source, b->source) == 0 &&
           same_span(a->payload, b->payload) &&
           same_span(a->backoff, b->backoff) && a->overlap == b->overlap &&
           a->catch_up == b->catch_up &&
           a->catch_up_limit_ms == b->catch_up_limit_ms &&
           a->jitter_ms == b->jitter_ms && a->expires_ms == b->expires_ms &&
           a->max_attempts == b->max_attempts &&
           a->timeout_ms == b->timeout_ms && a->keep_ms == b->keep_ms;
}
