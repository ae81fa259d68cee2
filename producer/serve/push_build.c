/*
 * Push build: from what was read to an envelope.
 *
 * What the members say together is judged here, what each says by itself where
 * it is read, and what is JSON in the envelope too by job_build. Its text
 * names the member, which becomes the pointer.
 *
 * Thread: any.
 */
#include "producer/serve/push_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/unique.h"
#include "producer/push_job.h"

static int on_meta(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb);

/* ---- what is wrong ---- */

/*
 * The pointer to what a text of unique_parse is about: it says
 * `"ttl": 0: not understood`, `ttl belongs to …` or `the key is …`.
 */
static void point_into_unique(const struct push_read *p, const char *text,
                              char *out, size_t size)
{
    static const char *const names[] = {"key", "ttl"};

    const bool object = p->unique.p && json_kind(p->unique) == JSON_IS_OBJECT;

    if (text[0] == '"') {
        /* Of no object: a companion, which stands beside unique. */
        size_t n = strcspn(text + 1, "\"/~");
        (void)snprintf(out, size, "%s/%.*s", object ? "/unique" : "", (int)n,
                       text + 1);
        return;
    }
    if (!object)
        return;
    if (strncmp(text, "the ", 4) == 0)
        text += 4;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(text, names[i], 3) == 0)
            (void)snprintf(out, size, "/unique/%s", names[i]);
    }
}

/* Of "then 3: type: missing", the third of an array. Returns what is behind. */
static const char *point_into_then(const struct push_read *p, const char *text,
                                   char *out, size_t size)
{
    char *colon;
    unsigned long n = strtoul(text + strlen("then "), &colon, 10);

    if (strncmp(colon, ": ", 2) != 0 || n < 1)
        return text;
    if (p->options.then.data[0] == '[')
        (void)snprintf(out, size, "/then/%lu", n - 1);
    else
        (void)snprintf(out, size, "/then");
    text = colon + 2;
    size_t name_len = strcspn(text, ":");
    if (text[name_len] == ':' && push_read_knows(text, name_len)) {
        size_t at = strlen(out);
        (void)snprintf(out + at, size - at, "/%.*s", (int)name_len, text);
        text += name_len + 2;
    }
    return text;
}

/* Notes what job_build or the like has said: "member: why". */
static void wrong_as_told(struct push_read *p, const char *text)
{
    char pointer[128] = "";
    size_t n = strcspn(text, ": ");

    if (strncmp(text, "then ", 5) == 0) {
        text = point_into_then(p, text, pointer, sizeof(pointer));
    } else if (text[n] == ':' && push_read_knows(text, n)) {
        (void)snprintf(pointer, sizeof(pointer), "/%.*s", (int)n, text);
        text += n + 1 + (text[n + 1] == ' ');
        if (strcmp(pointer, "/unique") == 0)
            point_into_unique(p, text, pointer, sizeof(pointer));
    }
    body_wrong(&p->bad, pointer, "%s", text);
}

/* ---- unique ---- */

/* From the member, and its two companions, to what the envelope has. */
static void take_unique(struct push_read *p)
{
    struct buf *json = &p->options.unique_json;
    const bool said = p->until[0] != '\0' || p->on_conflict[0] != '\0';
    struct errbuf eb;

    if (json->len > 0)
        return; /* of a query: read already */
    if (!p->unique.p) {
        if (said)
            body_wrong(&p->bad, p->until[0] ? "/until" : "/on_conflict",
                       "belongs to unique, which is missing");
        return;
    }
    if (said && json_kind(p->unique) == JSON_IS_OBJECT) {
        body_wrong(&p->bad, p->until[0] ? "/until" : "/on_conflict",
                   "belongs into the object that unique is");
        return;
    }
    if (said)
        buf_str(json, "{\"key\":");
    buf_append(json, p->unique.p, p->unique.len);
    if (p->until[0] != '\0') {
        buf_str(json, ",\"until\":");
        buf_json_string(json, p->until, strlen(p->until));
    }
    if (p->on_conflict[0] != '\0') {
        buf_str(json, ",\"on_conflict\":");
        buf_json_string(json, p->on_conflict, strlen(p->on_conflict));
    }
    if (said)
        buf_char(json, '}');
    if (unique_parse((struct json_span){json->data, json->len},
                     &p->options.unique, &eb) != 0)
        wrong_as_told(p, eb.text);
}

/* ---- meta ---- */

struct wanted {
    const char *name; /* borrowed */
    bool found;
};

static int on_meta(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb)
{
    struct wanted *w = arg;

    (void)value;
    (void)eb;
    w->found = w->found || json_string_is(key, w->name);
    return 0;
}

static bool meta_has(const struct push_read *p, const char *name)
{
    const struct buf *meta = &p->options.meta;
    struct wanted w = {.name = name};

    /* What is no object is told when the envelope is built. */
    return meta->len > 0 &&
           (json_scan_object(meta->data, meta->len, on_meta, &w, NULL) != 0 ||
            w.found);
}

void push_read_meta(struct push_read *p, const char *name, const char *value,
                    size_t len)
{
    struct buf *meta = &p->options.meta;

    if (meta_has(p, name))
        return;
    if (meta->len == 0) {
        buf_char(meta, '{');
    } else {
        meta->len--; /* its brace */
        while (strchr(" \t\r\n", meta->data[meta->len - 1]))
            meta->len--;
        if (meta->data[meta->len - 1] != '{')
            buf_char(meta, ',');
    }
    buf_json_string(meta, name, strlen(name));
    buf_char(meta, ':');
    buf_append(meta, value, len);
    buf_char(meta, '}');
}

static void add_text(struct push_read *p, const char *name, const char *text)
{
    struct buf json = {0};

    buf_json_string(&json, text, strlen(text));
    push_read_meta(p, name, json.data, json.len);
    buf_done(&json);
}

/* 00-<32 hex>-<16 hex>-<2 hex>, of this version or a later one. */
static bool is_traceparent(const char *text)
{
    static const int dashes[] = {2, 35, 52};
    size_t n = strspn(text, "0123456789abcdef-");

    if (n < 55 || text[n] != '\0' || (n > 55 && text[55] != '-') ||
        (n > 55 && strncmp(text, "00", 2) == 0) || n >= 64)
        return false;
    for (int i = 0, at = 0; i < 55; i++) {
        bool dash = at < 3 && i == dashes[at];
        at += dash;
        if ((text[i] == '-') != dash)
            return false;
    }
    return strncmp(text, "ff", 2) != 0 && strspn(text + 3, "0") < 32 &&
           strspn(text + 36, "0") < 16;
}

void push_read_trace(struct push_read *p, const char *traceparent,
                     const char *tracestate)
{
    if (!traceparent || !is_traceparent(traceparent) ||
        meta_has(p, "traceparent"))
        return;
    add_text(p, "traceparent", traceparent);
    if (tracestate && tracestate[0] != '\0' && strlen(tracestate) <= 512)
        add_text(p, "tracestate", tracestate);
}

/* ---- a raw body ---- */

/* Whether type, without its parameters, is this one, in any case. */
static bool is_type(const char *type, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(type, word, len) == 0;
}

static size_t type_len(const char *type)
{
    size_t n = strcspn(type, ";");

    while (n > 0 && (type[n - 1] == ' ' || type[n - 1] == '\t'))
        n--;
    return n;
}

static bool ends_json(const char *type, size_t len)
{
    return len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0;
}

static void take_json(struct push_read *p, struct bytes body)
{
    static const char blank[] = " \t\r\n";

    while (body.len > 0 && memchr(blank, body.p[0], 4) != NULL) {
        body.p++;
        body.len--;
    }
    while (body.len > 0 && memchr(blank, body.p[body.len - 1], 4) != NULL)
        body.len--;
    p->spec.payload = (struct json_span){body.p, body.len};
}

static void take_bytes(struct push_read *p, const char *type, struct bytes body,
                       bool text)
{
    buf_clear(&p->payload);
    if (text) {
        buf_json_string(&p->payload, body.p, body.len);
    } else {
        buf_char(&p->payload, '"');
        buf_base64(&p->payload, body.p, body.len);
        buf_char(&p->payload, '"');
    }
    p->spec.payload = (struct json_span){p->payload.data, p->payload.len};
    if (type[0] != '\0')
        add_text(p, "content_type", type);
    if (!text)
        add_text(p, "encoding", "base64");
}

void push_read_raw(struct push_read *p, const char *content_type,
                   struct bytes body)
{
    const char *type = content_type ? content_type : "";
    struct errbuf eb;
    size_t len = type_len(type);

    if (body.len == 0) {
        p->spec.payload = (struct json_span){"null", 4};
        return;
    }
    if (is_type(type, len, "application/json") || ends_json(type, len)) {
        take_json(p, body);
        if (json_check_member(body.p, body.len, &eb) != 0)
            p->bad.not_json = mem_strdup(eb.text);
        return;
    }
    const bool is_text = text_utf8_error(body.p, body.len) == body.len;
    const bool unsaid =
        len == 0 || is_type(type, len, "application/x-www-form-urlencoded");
    if (unsaid && json_check_member(body.p, body.len, NULL) == 0)
        take_json(p, body);
    else if (unsaid || strncasecmp(type, "text/", 5) == 0)
        take_bytes(p, type, body, is_text);
    else
        take_bytes(p, type, body, false);
}

/* ---- the envelope ---- */

/* What members say together. */
static void check_together(struct push_read *p)
{
    struct push_options *o = &p->options;

    if (p->type[0] == '\0' && (p->seen & 1) == 0)
        body_wrong(&p->bad, "/type", "missing");
    if (o->at_ms && o->in_ms)
        body_wrong(&p->bad, "/in", "in and at: only one can be heeded");
    if (p->front && (o->at_ms || o->in_ms))
        body_wrong(&p->bad, "/front",
                   "not for a job that waits until it is due");
    if (o->expires_at_ms && o->expires_in_ms)
        body_wrong(&p->bad, "/expires_in",
                   "expires_in and expires_at: only one can be heeded");
    take_unique(p);
}

/* Counts from when it may start, whatever created_at says. */
static void take_expiry(struct push_read *p)
{
    struct push_options *o = &p->options;
    int64_t due_ms = p->now_ms + o->in_ms;

    if (!o->expires_in_ms)
        return;
    if (o->at_ms > due_ms)
        due_ms = o->at_ms;
    o->expires_at_ms = due_ms + o->expires_in_ms;
    o->expires_in_ms = 0;
}

int push_read_build(struct push_read *p, const char *id, size_t max_bytes,
                    struct buf *out, struct push_one *ret, struct errbuf *eb)
{
    struct job_spec *spec = &p->spec;

    check_together(p);
    if (p->bad.count > 0 || p->bad.not_json)
        return errbuf_set(eb, ERR_INVALID, "not right");
    take_expiry(p);
    spec->id = id;
    spec->type = p->type;
    spec->after = p->after[0] != '\0' ? p->after : NULL;
    if (!spec->payload.p)
        spec->payload = (struct json_span){"null", 4};
    if (!spec->created_at_ms)
        spec->created_at_ms = p->now_ms;
    int rc = push_job_build(spec, &p->options, max_bytes, out, ret, eb);
    if (rc == ERR_INVALID)
        wrong_as_told(p, eb->text);
    if (rc != 0)
        return rc;
    ret->id = id;
    ret->front = p->front;
    return 0;
}
