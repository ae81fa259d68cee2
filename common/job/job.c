/*
 * Job: from an envelope to a struct.
 *
 * One pass over the text and one allocation, because every job of a worker
 * goes through here: the text is copied behind the struct, and what is carried
 * unread stays a span of that copy. Known members are a table; whatever is not
 * in it is none of our business and survives untouched.
 *
 * Thread: any, one at a time per job.
 */
#include "common/job/job.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/job_read.h"

/*
 * Sums with them must not overflow, and every reader of JSON knows integers
 * up to 2^53.
 */
#define COUNT_MAX 1000000000LL
#define INSTANT_MAX_MS (1LL << 53)

/* How the value of a known member is read. */
enum reading {
    READ_ID,
    READ_TYPE,
    READ_SPAN,
    READ_COUNT,    /* integer from 0 to COUNT_MAX */
    READ_POSITIVE, /* integer from 1 to COUNT_MAX */
    READ_INSTANT,  /* integer from 0 to INSTANT_MAX_MS */
    READ_DURATION, /* integer from 0 to JOB_DURATION_MAX_MS */
    READ_RECOVERED,
    READ_META,
    READ_NOT /* carried: known here only to be refused when it comes twice */
};

struct member {
    const char *name;
    size_t len;
    enum reading reading;
    unsigned bit;  /* JOB_HAS_*, or 0 */
    size_t offset; /* in struct job, of what is read by a common function */
};

#define MEMBER(n, how, has, field)                                             \
    {                                                                          \
        .name = (n), .len = sizeof(n) - 1, .reading = (how), .bit = (has),     \
        .offset = offsetof(struct job, field)                                  \
    }
#define CARRIED(n)                                                             \
    {                                                                          \
        .name = (n), .len = sizeof(n) - 1, .reading = READ_NOT                 \
    }

/* The commonest first: the table is searched from the front. */
static const struct member members[] = {
    MEMBER("id", READ_ID, JOB_HAS_ID, id),
    MEMBER("type", READ_TYPE, JOB_HAS_TYPE, type),
    MEMBER("payload", READ_SPAN, 0, payload),
    MEMBER("created_at", READ_INSTANT, JOB_HAS_CREATED_AT, created_at_ms),
    MEMBER("attempt", READ_COUNT, 0, attempt),
    MEMBER("max_attempts", READ_POSITIVE, 0, max_attempts),
    MEMBER("timeout", READ_DURATION, 0, timeout_ms),
    MEMBER("keep", READ_DURATION, 0, keep_ms),
    MEMBER("recovered", READ_RECOVERED, JOB_HAS_RECOVERED, recovered_ms),
    MEMBER("backoff", READ_SPAN, 0, backoff),
    MEMBER("meta", READ_META, 0, traceparent),
    MEMBER("expires_at", READ_INSTANT, 0, expires_at_ms),
    MEMBER("crashes", READ_COUNT, 0, crashes),
    MEMBER("put_offs", READ_COUNT, 0, put_offs),
    MEMBER("put_off_since", READ_INSTANT, 0, put_off_since_ms),
    MEMBER("at", READ_INSTANT, 0, at_ms),
    MEMBER("in", READ_DURATION, 0, in_ms),
    MEMBER("unique", READ_SPAN, 0, unique),
    MEMBER("then", READ_SPAN, 0, then),
    MEMBER("failures", READ_SPAN, 0, failures),
    MEMBER("snoozes", READ_COUNT, 0, snoozes),
    MEMBER("queue", READ_SPAN, JOB_HAS_QUEUE, queue),
    MEMBER("after", READ_SPAN, 0, after),
    CARRIED("error"),
    CARRIED("group"),
    CARRIED("batch"),
};

enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

struct reader {
    struct job *job; /* borrowed */
    uint32_t seen;   /* bit per row of members */
    unsigned has;    /* JOB_HAS_* */
};

_Static_assert(MEMBERS <= 32, "one bit of reader.seen for each member");

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_recovered(void *arg, struct json_span key, struct json_span value,
                        struct errbuf *eb);
static int on_meta(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb);

int job_parse(const char *raw, size_t len, size_t max_bytes,
              struct job **ret_job, struct errbuf *eb)
{
    if (len > max_bytes)
        return errbuf_set(eb, ERR_TOO_BIG,
                          "envelope of %zu bytes, the limit is %zu", len,
                          max_bytes);
    struct job *job = mem_try(sizeof(*job) + len + 1);
    if (job == NULL)
        return errbuf_set(eb, ERR_NOMEM, "no memory for %zu bytes", len);
    char *copy = (char *)(job + 1);
    memcpy(copy, raw, len);
    copy[len] = '\0';
    int rc = job_read(copy, len, job, NULL, eb);
    if (rc == 0 && job->type[0] == '\0')
        rc = errbuf_set(eb, ERR_INVALID, "type: missing");
    if (rc != 0) {
        free(job);
        return rc;
    }
    job->raw = copy;
    job->raw_len = len;
    *ret_job = job;
    return 0;
}

void job_free(struct job *job)
{
    free(job);
}

int job_after_read(const struct job *job, struct job_after *ret,
                   struct errbuf *eb)
{
    char text[NAME_MAX_LEN + 1 + ID_MAX_LEN + 1];
    size_t len;

    *ret = (struct job_after){0};
    if (job->after.p != NULL &&
        json_string_copy(job->after, text, sizeof(text), &len) == 0) {
        const char *slash = strchr(text, '/');
        const char *id = slash != NULL ? slash + 1 : text;
        size_t queue_len = slash != NULL ? (size_t)(slash - text) : 0;

        if (text_is_id(id, strlen(id)) &&
            (slash == NULL || text_is_name(text, queue_len))) {
            memcpy(ret->queue, text, queue_len);
            memcpy(ret->id, id, strlen(id));
            return 0;
        }
        return errbuf_set(eb, ERR_INVALID,
                          "after: \"%s\" is not the QUEUE/ID or ID of a job",
                          text);
    }
    return errbuf_set(eb, ERR_INVALID,
                      "after: not the QUEUE/ID or ID of a job");
}

unsigned job_recoveries_since(const struct job *job, int64_t since_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < job->recovered_count; i++)
        n += job->recovered_ms[i] >= since_ms;
    return n;
}

int job_read(const char *text, size_t len, struct job *job, unsigned *ret_has,
             struct errbuf *eb)
{
    struct reader r = {.job = job};

    memset(job, 0, offsetof(struct job, recovered_ms));
    job->id[0] = job->type[0] = job->traceparent[0] = '\0';
    job->payload = (struct json_span){.p = "null", .len = 4};
    int rc = json_scan_object(text, len, on_member, &r, eb);
    job->says_attempts = job->max_attempts > 0;
    if (!job->says_attempts)
        job->max_attempts = JOB_MAX_ATTEMPTS_DEFAULT;
    if (rc == 0 && ret_has != NULL)
        *ret_has = r.has;
    return rc;
}

/* Returns the row of a name, or NULL. */
static const struct member *member_find(struct json_span name)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (name.len == members[i].len + 2 &&
            memcmp(name.p + 1, members[i].name, members[i].len) == 0)
            return &members[i];
    }
    if (memchr(name.p, '\\', name.len) == NULL)
        return NULL;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (json_string_is(name, members[i].name))
            return &members[i];
    }
    return NULL;
}

unsigned job_member_bit(struct json_span name)
{
    const struct member *m = member_find(name);

    return m == NULL ? 0 : m->bit;
}

int job_check_id(const char *id, size_t len, struct errbuf *eb)
{
    if (text_is_id(id, len))
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "id: not a text of 1 to %d characters from "
                      "A-Z a-z 0-9 . _ : -",
                      ID_MAX_LEN);
}

int job_check_type(const char *type, size_t len, struct errbuf *eb)
{
    if (len == 0 || len > JOB_TYPE_MAX_LEN)
        return errbuf_set(eb, ERR_INVALID, "type: not a text of 1 to %d bytes",
                          JOB_TYPE_MAX_LEN);
    size_t bad = text_utf8_error(type, len);
    if (bad < len)
        return errbuf_set(eb, ERR_INVALID, "type: byte %zu: invalid UTF-8",
                          bad);
    bad = text_control(type, len);
    if (bad < len)
        return errbuf_set(eb, ERR_INVALID,
                          "type: byte %zu: a control character", bad);
    return 0;
}

static int read_id(struct json_span value, struct job *job, struct errbuf *eb)
{
    size_t len;

    if (json_string_copy(value, job->id, sizeof(job->id), &len) != 0)
        len = 0;
    return job_check_id(job->id, len, eb);
}

static int read_type(struct json_span value, struct job *job, struct errbuf *eb)
{
    size_t len;

    if (json_string_copy(value, job->type, sizeof(job->type), &len) != 0)
        len = 0;
    return job_check_type(job->type, len, eb);
}

static int read_int(const struct member *m, struct json_span value,
                    struct job *job, struct errbuf *eb)
{
    const int64_t least = m->reading == READ_POSITIVE;
    int64_t n, most = COUNT_MAX;

    if (m->reading == READ_INSTANT)
        most = INSTANT_MAX_MS;
    else if (m->reading == READ_DURATION)
        most = JOB_DURATION_MAX_MS;
    if (json_int_value(value, &n) != 0 || n < least || n > most)
        return errbuf_set(eb, ERR_INVALID,
                          "%s: not a whole number%s from %d to %lld", m->name,
                          most != COUNT_MAX ? " of milliseconds" : "",
                          (int)least, (long long)most);
    memcpy((char *)job + m->offset, &n, sizeof(n));
    return 0;
}

static int read_recovered(struct json_span value, struct job *job,
                          struct errbuf *eb)
{
    if (json_kind(value) != JSON_IS_ARRAY)
        return errbuf_set(eb, ERR_INVALID, "recovered: not an array");
    return json_scan_array(value.p, value.len, on_recovered, job, eb);
}

static int on_recovered(void *arg, struct json_span key, struct json_span value,
                        struct errbuf *eb)
{
    struct job *job = arg;
    int64_t at_ms;

    (void)key;
    if (json_int_value(value, &at_ms) != 0 || at_ms < 0 ||
        at_ms > INSTANT_MAX_MS)
        return errbuf_set(eb, ERR_INVALID,
                          "recovered: an element is not a whole number of "
                          "milliseconds from 0 up");
    if (job->recovered_count < JOB_RECOVERED_MAX)
        job->recovered_ms[job->recovered_count++] = at_ms;
    return 0;
}

static int read_meta(struct json_span value, struct job *job, struct errbuf *eb)
{
    if (json_kind(value) != JSON_IS_OBJECT)
        return errbuf_set(eb, ERR_INVALID, "meta: not an object");
    job->meta = value;
    return json_scan_object(value.p, value.len, on_meta, job, eb);
}

/* A traceparent that is none is ignored: tracing must not cost a job. */
static int on_meta(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb)
{
    struct job *job = arg;
    char text[sizeof(job->traceparent)];
    size_t len;

    (void)eb;
    if (!json_string_is(key, "traceparent") ||
        json_string_copy(value, text, sizeof(text), &len) != 0)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return 0;
    }
    memcpy(job->traceparent, text, len + 1);
    return 0;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct reader *r = arg;
    const struct member *m = member_find(key);

    if (m == NULL)
        return 0;
    const uint32_t bit = UINT32_C(1) << (m - members);
    if ((r->seen & bit) != 0) {
        if (m->reading == READ_ID || m->reading == READ_RECOVERED)
            return 0;
        return errbuf_set(eb, ERR_INVALID, "%s: twice", m->name);
    }
    r->seen |= bit;
    r->has |= m->bit;
    if (json_kind(value) == JSON_IS_NULL)
        return 0;
    switch (m->reading) {
    case READ_ID:
        return read_id(value, r->job, eb);
    case READ_TYPE:
        return read_type(value, r->job, eb);
    case READ_SPAN:
        memcpy((char *)r->job + m->offset, &value, sizeof(value));
        return 0;
    case READ_RECOVERED:
        return read_recovered(value, r->job, eb);
    case READ_META:
        return read_meta(value, r->job, eb);
    case READ_NOT:
        return 0;
    default:
        return read_int(m, value, r->job, eb);
    }
}
