/*
 * Job: from an envelope or a wish to the bytes that go into Redis.
 *
 * The scripts look at the first bytes of an envelope only, so everything that
 * Belt writes begins with {"id":" or with {"recovered":[ and then the id.
 * Members are moved as the bytes they are; what a push leaves out is put in
 * front as text, so that a complete line costs one scan and one copy.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/job.h"

#include <assert.h>
#include <string.h>

#include "common/base/ulid.h"
#include "common/job/backoff.h"
#include "common/job/job_read.h"
#include "common/job/then.h"
#include "common/job/unique.h"

enum { FRONT_MAX = 128 }; /* id and created_at: what most lines lack */

#define SPACE " \t\r\n"

/* Which members are copied, and to where. */
struct copy {
    struct buf *out;                  /* borrowed */
    const struct job_change *changes; /* borrowed: names to leave out */
    size_t change_count;
    unsigned drop; /* JOB_HAS_* to leave out */
};

static int on_copy(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb);

static void put_id(struct buf *out, const char *id)
{
    buf_str(out, "\"id\":\"");
    buf_str(out, id);
    buf_char(out, '"');
}

static void put_int(struct buf *out, const char *name, int64_t n)
{
    buf_str(out, ",\"");
    buf_str(out, name);
    buf_str(out, "\":");
    buf_int(out, n);
}

static void put_type(struct buf *out, const char *type)
{
    buf_str(out, ",\"type\":");
    buf_json_string(out, type, strlen(type));
}

/* Appends ",name:value" for each member that is not left out. */
static void copy_members(const char *text, size_t len, struct copy *copy)
{
    int rc = json_scan_object(text, len, on_copy, copy, NULL);
    assert(rc == 0); /* only texts that job_read accepted come here */
}

static int on_copy(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb)
{
    const struct copy *copy = arg;

    (void)eb;
    if ((job_member_bit(key) & copy->drop) != 0)
        return 0;
    for (size_t i = 0; i < copy->change_count; i++) {
        if (json_string_is(key, copy->changes[i].name))
            return 0;
    }
    buf_char(copy->out, ',');
    buf_append(copy->out, key.p, key.len);
    buf_char(copy->out, ':');
    buf_append(copy->out, value.p, value.len);
    return 0;
}

/* Appends "recovered":[…], unless nothing is left of it. */
static void put_recovered(const struct job *job, int64_t since_ms,
                          struct buf *out)
{
    bool any = false;

    for (unsigned i = 0; i < job->recovered_count; i++) {
        if (job->recovered_ms[i] < since_ms)
            continue;
        buf_str(out, any ? "," : "\"recovered\":[");
        buf_int(out, job->recovered_ms[i]);
        any = true;
    }
    if (any)
        buf_str(out, "],");
}

static const struct job_change *find_change(const struct job_change *changes,
                                            size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(changes[i].name, name) == 0)
            return &changes[i];
    }
    return NULL;
}

void job_rewrite(const struct job *job, const struct job_change *changes,
                 size_t n, int64_t recovered_since_ms, struct buf *out)
{
    struct copy copy = {
        .out = out,
        .changes = changes,
        .change_count = n,
        .drop = JOB_HAS_ID | JOB_HAS_RECOVERED,
    };
    const struct job_change *recovered = find_change(changes, n, "recovered");

    assert(job->id[0] != '\0');
    assert(find_change(changes, n, "id") == NULL);
    buf_reserve(out, job->raw_len);
    buf_char(out, '{');
    if (recovered == NULL)
        put_recovered(job, recovered_since_ms, out);
    else if (recovered->json != NULL)
        buf_printf(out, "\"recovered\":%s,", recovered->json);
    put_id(out, job->id);
    copy_members(job->raw, job->raw_len, &copy);
    for (size_t i = 0; i < n; i++) {
        if (changes[i].json != NULL && &changes[i] != recovered)
            buf_printf(out, ",\"%s\":%s", changes[i].name, changes[i].json);
    }
    buf_char(out, '}');
}

/* Takes back what was appended since start, and returns rc. */
static int undo(struct buf *out, size_t start, int rc)
{
    out->len = start;
    if (out->data != NULL)
        out->data[start] = '\0';
    return rc;
}

static int check_size(struct buf *out, size_t start, size_t max_bytes,
                      struct errbuf *eb)
{
    const size_t len = out->len - start;

    if (len <= max_bytes)
        return 0;
    return undo(out, start,
                errbuf_set(eb, ERR_TOO_BIG,
                           "envelope of %zu bytes, the limit is %zu", len,
                           max_bytes));
}

static int check_spec(const struct job_spec *spec, struct errbuf *eb)
{
    if (spec->type == NULL)
        return errbuf_set(eb, ERR_INVALID, "type: missing");
    int rc = job_check_type(spec->type, strlen(spec->type), eb);
    if (rc == 0 && spec->id != NULL)
        rc = job_check_id(spec->id, strlen(spec->id), eb);
    if (rc != 0)
        return rc;
    if (spec->queue != NULL && !text_is_name(spec->queue, strlen(spec->queue)))
        return errbuf_set(eb, ERR_INVALID, "queue: %s: not a name",
                          spec->queue);
    if (spec->created_at_ms < 0 || spec->max_attempts < 0 ||
        spec->timeout_ms < 0 || spec->keep_ms < 0 || spec->at_ms < 0 ||
        spec->in_ms < 0 || spec->expires_at_ms < 0)
        return errbuf_set(eb, ERR_INVALID, "a time or number below 0");
    return 0;
}

/* The members of a spec that are JSON; their order is that of spans. */
static const char *const span_names[] = {"backoff", "unique", "then", "meta",
                                         "payload"};
enum { SPANS = sizeof(span_names) / sizeof(span_names[0]) };

static int put_spans(const struct json_span spans[SPANS], struct buf *out,
                     struct errbuf *eb)
{
    for (int i = 0; i < SPANS; i++) {
        if (spans[i].p == NULL)
            continue;
        int rc = json_check_member(spans[i].p, spans[i].len, eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "%s", span_names[i]);
        buf_str(out, ",\"");
        buf_str(out, span_names[i]);
        buf_str(out, "\":");
        buf_append(out, spans[i].p, spans[i].len);
    }
    return 0;
}

static void put_numbers(const struct job_spec *spec, struct buf *out)
{
    const struct {
        const char *name;
        int64_t n;
    } numbers[] = {
        {"created_at", spec->created_at_ms},
        {"max_attempts", spec->max_attempts},
        {"timeout", spec->timeout_ms},
        {"keep", spec->keep_ms},
        {"at", spec->at_ms},
        {"in", spec->in_ms},
        {"expires_at", spec->expires_at_ms},
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].n != 0)
            put_int(out, numbers[i].name, numbers[i].n);
    }
}

int job_check_pushed(const struct job *job, const char *default_type,
                     unsigned depth, struct errbuf *eb)
{
    struct backoff backoff;
    struct unique unique;
    struct job_after after;
    int rc = 0;

    if (job->type[0] == '\0') {
        if (default_type == NULL)
            return errbuf_set(eb, ERR_INVALID, "type: missing");
        rc = job_check_type(default_type, strlen(default_type), eb);
    }
    if (rc == 0 && job->at_ms != 0 && job->in_ms != 0)
        rc = errbuf_set(eb, ERR_INVALID, "at and in: only one can be heeded");
    if (rc == 0 && job->backoff.p != NULL)
        rc = backoff_parse(job->backoff, &backoff, eb);
    if (rc == 0 && job->unique.p != NULL)
        rc = unique_parse(job->unique, &unique, eb);
    if (rc == 0 && job->after.p != NULL)
        rc = job_after_read(job, &after, eb);
    return rc != 0 ? rc : then_check(job->then, depth, eb);
}

/* Reads again what the spec had as JSON; a plain push has none. */
static int check_options(const struct job_spec *spec, const char *text,
                         size_t len, struct errbuf *eb)
{
    struct job job;

    if (spec->backoff.p == NULL && spec->unique.p == NULL &&
        spec->after == NULL && spec->then.p == NULL && spec->meta.p == NULL)
        return 0;
    int rc = job_read(text, len, &job, NULL, eb);
    return rc == 0 ? job_check_pushed(&job, NULL, 0, eb) : rc;
}

int job_build(const struct job_spec *spec, size_t max_bytes, struct buf *out,
              struct errbuf *eb)
{
    const size_t start = out->len;
    char fresh[ULID_LEN + 1];
    int rc = check_spec(spec, eb);

    if (rc != 0)
        return rc;
    if (spec->id == NULL)
        ulid_make(fresh);
    buf_char(out, '{');
    put_id(out, spec->id != NULL ? spec->id : fresh);
    put_type(out, spec->type);
    if (spec->queue != NULL)
        buf_printf(out, ",\"queue\":\"%s\"", spec->queue);
    if (spec->after != NULL) {
        buf_str(out, ",\"after\":");
        buf_json_string(out, spec->after, strlen(spec->after));
    }
    put_numbers(spec, out);
    rc = put_spans((const struct json_span[]){spec->backoff, spec->unique,
                                              spec->then, spec->meta,
                                              spec->payload},
                   out, eb);
    buf_char(out, '}');
    if (rc == 0)
        rc = check_options(spec, out->data + start, out->len - start, eb);
    return rc != 0 ? undo(out, start, rc)
                   : check_size(out, start, max_bytes, eb);
}

/* Whether the envelope can go as it is: its own id in front, as plain text. */
static bool is_complete(const char *text, size_t len, const struct job *job)
{
    static const char front[] = "{\"id\":\"";
    const size_t front_len = sizeof(front) - 1, id_len = strlen(job->id);

    return id_len > 0 && job->type[0] != '\0' && job->created_at_ms != 0 &&
           len > front_len + id_len && memcmp(text, front, front_len) == 0 &&
           memcmp(text + front_len, job->id, id_len) == 0 &&
           text[front_len + id_len] == '"';
}

/* The members that a push puts in front of this envelope. */
static unsigned find_lacking(const struct job *job)
{
    unsigned lacking = JOB_HAS_ID;

    if (job->type[0] == '\0')
        lacking |= JOB_HAS_TYPE;
    if (job->created_at_ms == 0)
        lacking |= JOB_HAS_CREATED_AT;
    return lacking;
}

/*
 * Appends all members but those of drop, the brace that ends the envelope
 * included. has tells whether there is anything to drop: most lines go as they
 * are.
 */
static void write_rest(const char *text, size_t len, unsigned has,
                       unsigned drop, struct buf *out)
{
    struct copy copy = {.out = out, .drop = drop};

    if ((has & drop) != 0) {
        copy_members(text, len, &copy);
        buf_char(out, '}');
        return;
    }
    /* The text ends with its brace, and not with a NUL. */
    size_t first = 1;
    while (memchr(SPACE, text[first], sizeof(SPACE) - 1) != NULL)
        first++;
    if (text[first] != '}')
        buf_char(out, ',');
    buf_append(out, text + first, len - first);
}

/* What job_complete makes of an envelope, and for whom. */
struct completion {
    const char *default_type; /* NULL: a type must be there */
    const char *queue;        /* NULL: as it is */
    int64_t now_ms;
    size_t max_bytes;
    unsigned depth; /* of job_check_pushed */
};

static void write_completed(const char *text, size_t len, const struct job *job,
                            unsigned has, const struct completion *c,
                            struct buf *out)
{
    unsigned lacking = find_lacking(job);
    char fresh[ULID_LEN + 1];

    if (job->id[0] == '\0')
        ulid_make(fresh);
    buf_reserve(out, len + FRONT_MAX);
    buf_char(out, '{');
    put_id(out, job->id[0] != '\0' ? job->id : fresh);
    if ((lacking & JOB_HAS_TYPE) != 0) {
        assert(c->default_type != NULL); /* job_check_pushed asks for it */
        put_type(out, c->default_type);
    }
    if ((lacking & JOB_HAS_CREATED_AT) != 0)
        put_int(out, "created_at", c->now_ms);
    if (c->queue != NULL) {
        buf_str(out, ",\"queue\":");
        buf_json_string(out, c->queue, strlen(c->queue));
        lacking |= JOB_HAS_QUEUE;
    }
    write_rest(text, len, has, lacking, out);
}

static int complete(const char *raw, size_t len, const struct completion *c,
                    struct buf *out, struct job *ret, struct errbuf *eb)
{
    const size_t start = out->len;
    struct job own, *job = ret != NULL ? ret : &own;
    unsigned has;
    int rc = job_read(raw, len, job, &has, eb);

    if (rc == 0)
        rc = job_check_pushed(job, c->default_type, c->depth, eb);
    if (rc != 0)
        return rc;
    while (raw[0] != '{') { /* white space: job_read found an object */
        raw++;
        len--;
    }
    while (raw[len - 1] != '}')
        len--;
    if (c->queue == NULL && is_complete(raw, len, job))
        buf_append(out, raw, len);
    else
        write_completed(raw, len, job, has, c, out);
    return check_size(out, start, c->max_bytes, eb);
}

int job_complete(const char *raw, size_t len, const char *default_type,
                 int64_t now_ms, size_t max_bytes, struct buf *out,
                 struct job *ret, struct errbuf *eb)
{
    const struct completion c = {
        .default_type = default_type, .now_ms = now_ms, .max_bytes = max_bytes};

    return complete(raw, len, &c, out, ret, eb);
}

int job_complete_follower(const char *raw, size_t len, const char *queue,
                          int64_t now_ms, struct buf *out, struct errbuf *eb)
{
    const struct completion c = {.queue = queue,
                                 .now_ms = now_ms,
                                 .max_bytes = SIZE_MAX,
                                 .depth = THEN_CHECK_DEPTH};

    return complete(raw, len, &c, out, NULL, eb);
}

void job_build_invalid(const char *raw, size_t len, size_t raw_max,
                       const char *why, int64_t now_ms, struct buf *out)
{
    size_t kept = len < raw_max ? len : raw_max;
    char id[ULID_LEN + 1];

    ulid_make(id);
    buf_char(out, '{');
    put_id(out, id);
    put_type(out, "belt.invalid");
    put_int(out, "created_at", now_ms);
    buf_str(out, ",\"error\":{\"class\":\"invalid\",\"message\":");
    buf_json_string(out, why, strlen(why));
    put_int(out, "at", now_ms);
    buf_str(out, "},\"raw\":\"");
    buf_base64(out, raw, kept);
    buf_char(out, '"');
    if (kept < len)
        put_int(out, "raw_bytes", (int64_t)len);
    buf_char(out, '}');
}
