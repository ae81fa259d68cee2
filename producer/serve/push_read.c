/*
 * Push read: from what a request says to a job and its envelope.
 *
 * One pass over the body finds the members, a table says how each is read.
 * Payload, "then" and what else is JSON in the envelope too is carried as the
 * bytes it is, and judged by those who judge it in every push (job_build);
 * what they say is wrong names the member, which becomes the pointer.
 *
 * A member that is not known is an error: a misspelt "uniqe" would otherwise
 * be a job that runs twice.
 *
 * Thread: any.
 */
#include "producer/serve/push_read.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/backoff_text.h"

#define COUNT_MAX 1000000000LL /* as job.c has it */
#define INSTANT_MAX_MS (1LL << 53)

enum { TEXT_MAX = 512 }; /* of a value that is read as a text */

enum reading {
    READ_TEXT,     /* into size bytes */
    READ_INSTANT,  /* milliseconds, or RFC 3339 */
    READ_DURATION, /* milliseconds, or 90s */
    READ_COUNT,
    READ_SWITCH,
    READ_BACKOFF,
    READ_UNIQUE,
    READ_PAYLOAD,
    READ_JSON, /* into a struct buf */
    READ_QUEUE,
    READ_NOT /* what Belt writes */
};

struct member {
    const char *name;
    uint8_t len;
    enum reading reading;
    size_t offset; /* in struct push_read */
    size_t size;   /* of a text */
};

#define MEMBER(n, how, field)                                                  \
    {                                                                          \
        .name = (n), .len = sizeof(n) - 1, .reading = (how),                   \
        .offset = offsetof(struct push_read, field),                           \
        .size = sizeof(((struct push_read *)0)->field)                         \
    }
#define WRITTEN(n)                                                             \
    {                                                                          \
        .name = (n), .len = sizeof(n) - 1, .reading = READ_NOT                 \
    }

/* The commonest first: the table is searched from the front. */
static const struct member members[] = {
    MEMBER("type", READ_TEXT, type),
    MEMBER("payload", READ_PAYLOAD, spec.payload),
    MEMBER("id", READ_TEXT, id),
    MEMBER("unique", READ_UNIQUE, unique),
    MEMBER("keep", READ_DURATION, spec.keep_ms),
    MEMBER("in", READ_DURATION, options.in_ms),
    MEMBER("at", READ_INSTANT, options.at_ms),
    MEMBER("meta", READ_JSON, options.meta),
    MEMBER("max_attempts", READ_COUNT, spec.max_attempts),
    MEMBER("timeout", READ_DURATION, spec.timeout_ms),
    MEMBER("backoff", READ_BACKOFF, options.backoff),
    MEMBER("then", READ_JSON, options.then),
    MEMBER("expires_at", READ_INSTANT, options.expires_at_ms),
    MEMBER("expires_in", READ_DURATION, options.expires_in_ms),
    MEMBER("until", READ_TEXT, until),
    MEMBER("on_conflict", READ_TEXT, on_conflict),
    MEMBER("front", READ_SWITCH, front),
    MEMBER("after", READ_TEXT, after),
    MEMBER("queue", READ_QUEUE, queue),
    MEMBER("created_at", READ_INSTANT, spec.created_at_ms),
    WRITTEN("attempt"),
    WRITTEN("error"),
    WRITTEN("failures"),
    WRITTEN("crashes"),
    WRITTEN("put_offs"),
    WRITTEN("put_off_since"),
    WRITTEN("recovered"),
    WRITTEN("snoozes"),
    WRITTEN("group"),
    WRITTEN("batch"),
};

enum { MEMBERS = sizeof(members) / sizeof(members[0]) };
_Static_assert(MEMBERS <= 64, "one bit of seen for each member");

const char *const push_read_names[PUSH_READ_NAMES + 1] = {
    "queue",       "id",           "keep",       "in",
    "at",          "timeout",      "backoff",    "until",
    "on_conflict", "max_attempts", "expires_at", "expires_in",
    "front",       "after",        "unique",     NULL};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);

void push_read_init(struct push_read *p, const char *queue, int64_t now_ms)
{
    *p = (struct push_read){.queue = queue, .now_ms = now_ms};
}

void push_read_done(struct push_read *p)
{
    push_options_done(&p->options);
    buf_done(&p->payload);
    body_done(&p->bad);
}

/* ---- what is wrong ---- */

static void wrong_member(struct push_read *p, const struct member *m,
                         const char *text)
{
    char pointer[32];

    (void)snprintf(pointer, sizeof(pointer), "/%s", m->name);
    body_wrong(&p->bad, pointer, "%s", text);
}

static const struct member *find_name(const char *name, size_t len)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (members[i].len == len && memcmp(members[i].name, name, len) == 0)
            return &members[i];
    }
    return NULL;
}

bool push_read_knows(const char *name, size_t len)
{
    return find_name(name, len) != NULL;
}

/* ---- texts ---- */

static int64_t *number_at(struct push_read *p, const struct member *m)
{
    return (int64_t *)(void *)((char *)p + m->offset);
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

static void read_number(struct push_read *p, const struct member *m, int64_t n)
{
    static const struct {
        int64_t least, most;
        const char *text;
    } ranges[] = {
        [READ_INSTANT] = {0, INSTANT_MAX_MS,
                          "not milliseconds since 1970, up to 2^53, nor an "
                          "instant like 2026-11-26T08:30:00Z"},
        [READ_DURATION] = {0, JOB_DURATION_MAX_MS,
                           "not milliseconds, nor a duration like 90s or 12h; "
                           "up to 366 days"},
        [READ_COUNT] = {1, COUNT_MAX,
                        "not a whole number from 1 to 1000000000"},
    };

    if (n < ranges[m->reading].least || n > ranges[m->reading].most)
        wrong_member(p, m, ranges[m->reading].text);
    else
        *number_at(p, m) = n;
}

static void read_time(struct push_read *p, const struct member *m,
                      const char *text)
{
    int64_t n = -1; /* is refused by read_number */

    if (is_number(text))
        (void)text_parse_int(text, 0, INSTANT_MAX_MS, NULL, &n, NULL);
    else if (m->reading == READ_INSTANT)
        (void)text_parse_instant(text, &n, NULL);
    else if (m->reading == READ_DURATION)
        (void)text_parse_duration(text, &n, NULL);
    read_number(p, m, n);
}

static void read_copy(struct push_read *p, const struct member *m,
                      const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n >= m->size) {
        char why[64];
        (void)snprintf(why, sizeof(why), "not a text of 1 to %zu bytes",
                       m->size - 1);
        wrong_member(p, m, why);
        return;
    }
    memcpy((char *)p + m->offset, text, n + 1);
}

static void read_backoff(struct push_read *p, const struct member *m,
                         const char *text)
{
    struct errbuf eb;

    buf_clear(&p->options.backoff);
    if (backoff_from_text(text, &p->options.backoff, &eb) != 0)
        wrong_member(p, m, eb.text);
}

static void read_queue(struct push_read *p, const struct member *m,
                       const char *text)
{
    if (strcmp(text, p->queue) != 0)
        wrong_member(p, m, "not the queue that the path names");
}

/* A value that is a text, of JSON or of a query. */
static void read_text(struct push_read *p, const struct member *m,
                      const char *text)
{
    switch (m->reading) {
    case READ_INSTANT:
    case READ_DURATION:
        read_time(p, m, text);
        return;
    case READ_BACKOFF:
        read_backoff(p, m, text);
        return;
    case READ_QUEUE:
        read_queue(p, m, text);
        return;
    default:
        read_copy(p, m, text);
    }
}

/* ---- JSON ---- */

static void read_json_text(struct push_read *p, const struct member *m,
                           struct json_span value)
{
    char text[TEXT_MAX];
    size_t len;
    int rc = json_string_copy(value, text, sizeof(text), &len);

    if (rc == 0 && memchr(text, '\0', len) == NULL)
        read_text(p, m, text);
    else if (m->reading == READ_INSTANT || m->reading == READ_DURATION)
        read_number(p, m, -1);
    else if (rc == ERR_TOO_BIG)
        wrong_member(p, m, "too long");
    else
        wrong_member(p, m, "not a text without \\u0000");
}

static void read_json_number(struct push_read *p, const struct member *m,
                             struct json_span value)
{
    int64_t n;

    if (json_int_value(value, &n) != 0)
        n = -1;
    read_number(p, m, n);
}

static void read_json(struct push_read *p, const struct member *m,
                      struct json_span value)
{
    const enum json_kind kind = json_kind(value);
    struct buf *buf = (struct buf *)(void *)((char *)p + m->offset);

    switch (m->reading) {
    case READ_PAYLOAD:
        p->spec.payload = value;
        return;
    case READ_UNIQUE:
        p->unique = value;
        return;
    case READ_SWITCH:
        p->front = kind == JSON_IS_TRUE;
        if (kind != JSON_IS_TRUE && kind != JSON_IS_FALSE)
            wrong_member(p, m, "neither true nor false");
        return;
    case READ_NOT:
        wrong_member(p, m, "written by Belt, and not for a push");
        return;
    case READ_COUNT:
        read_json_number(p, m, value);
        return;
    case READ_INSTANT:
    case READ_DURATION:
        if (kind != JSON_IS_STRING) {
            read_json_number(p, m, value);
            return;
        }
        break;
    case READ_BACKOFF:
    case READ_JSON:
        if (m->reading == READ_JSON || kind != JSON_IS_STRING) {
            buf_append(buf, value.p, value.len);
            return;
        }
        break;
    default:
        break;
    }
    read_json_text(p, m, value);
}

static const struct member *find_key(struct json_span key)
{
    const struct member *m = find_name(key.p + 1, key.len - 2);

    if (m || memchr(key.p, '\\', key.len) == NULL)
        return m;
    for (size_t i = 0; i < MEMBERS; i++) {
        if (json_string_is(key, members[i].name))
            return &members[i];
    }
    return NULL;
}

static void wrong_key(struct push_read *p, struct json_span key)
{
    const char *names[MEMBERS];

    for (size_t i = 0; i < MEMBERS; i++)
        names[i] = members[i].name;
    body_wrong_key(&p->bad, key, names, MEMBERS);
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct push_read *p = arg;
    const struct member *m = find_key(key);

    (void)eb;
    if (!m) {
        wrong_key(p, key);
        return 0;
    }
    uint64_t bit = UINT64_C(1) << (m - members);
    if ((p->seen & bit) != 0)
        wrong_member(p, m, "twice");
    else if (json_kind(value) != JSON_IS_NULL || m->reading == READ_PAYLOAD)
        read_json(p, m, value);
    p->seen |= bit;
    return 0;
}

void push_read_json(struct push_read *p, const char *text, size_t len)
{
    struct errbuf eb;

    if (json_scan_object(text, len, on_member, p, &eb) == 0)
        return;
    if (json_check(text, len, NULL) != 0) {
        p->bad.not_json = mem_strdup(eb.text);
        return;
    }
    p->seen |= 1; /* that there is no type goes without saying */
    body_wrong(&p->bad, "", "not an object");
}

/* ---- a query ---- */

static void read_unique_text(struct push_read *p, const char *text)
{
    struct push_unique u = {.unique = text,
                            .until = p->until[0] ? p->until : NULL,
                            .on_conflict =
                                p->on_conflict[0] ? p->on_conflict : NULL,
                            .names = {"unique", "until", "on_conflict"}};
    struct errbuf eb;

    if (push_unique_read(&u, &p->options, &eb) != 0)
        body_wrong(&p->bad, "/unique", "%s", eb.text);
}

void push_read_text(struct push_read *p, const char *name, const char *text)
{
    const struct member *m = find_name(name, strlen(name));

    assert(m != NULL);
    p->seen |= UINT64_C(1) << (m - members);
    if (m->reading == READ_UNIQUE)
        read_unique_text(p, text);
    else if (m->reading == READ_COUNT)
        read_time(p, m, text);
    else if (m->reading != READ_SWITCH)
        read_text(p, m, text);
    else if (text_parse_switch(text[0] ? text : "true", &p->front, NULL) != 0)
        wrong_member(p, m, "neither true nor false");
}

void push_read_type(struct push_read *p, const char *type)
{
    p->seen |= 1;
    read_copy(p, &members[0], type);
}

void push_read_payload(struct push_read *p, struct json_span payload)
{
    p->spec.payload = payload;
}
