/*
 * Push event: from a CloudEvent to a job.
 *
 * Attributes are carried as they are: a handler finds in meta what the source
 * has sent. What the specification demands is checked, and no more, since
 * extensions are anybody's.
 *
 * Thread: any.
 */
#include "producer/serve/push_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "producer/serve/match.h"

enum { ATTRIBUTES_MAX_BYTES = 64 * 1024, NAME_MAX_BYTES = 64 };

struct events {
    struct push_event *e;
    struct push_read *p;
};

static int on_attribute(void *arg, struct json_span key, struct json_span value,
                        struct errbuf *eb);

void push_event_done(struct push_event *e)
{
    buf_done(&e->source);
    buf_done(&e->id);
    buf_done(&e->attributes);
    buf_done(&e->traceparent);
    buf_done(&e->tracestate);
}

static void wrong(struct push_read *p, const char *name, const char *why)
{
    char pointer[NAME_MAX_BYTES + 2];

    (void)snprintf(pointer, sizeof(pointer), "/%s", name);
    body_wrong(&p->bad, pointer, "%s", why);
}

/* The version of the specification is 1.0, whose patches change nothing. */
static void take_version(struct push_event *e, struct push_read *p,
                         const char *text)
{
    e->has_version = true;
    if (strcmp(text, "1.0") != 0)
        wrong(p, "specversion", "only 1.0 is known here");
}

/* An attribute that is a text. Returns whether meta has it too. */
static bool take_text(struct push_event *e, struct push_read *p,
                      const char *name, const char *text)
{
    const struct {
        const char *name;
        struct buf *into;
    } bufs[] = {{"source", &e->source},
                {"id", &e->id},
                {"traceparent", &e->traceparent},
                {"tracestate", &e->tracestate}};

    if (strcmp(name, "type") == 0) {
        e->has_type = true;
        push_read_type(p, text);
        return false;
    }
    if (strcmp(name, "specversion") == 0)
        take_version(e, p, text);
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        if (strcmp(name, bufs[i].name) == 0 && bufs[i].into->len == 0)
            buf_str(bufs[i].into, text);
    }
    return true;
}

static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");

    return n > 0 && n <= NAME_MAX_BYTES && name[n] == '\0';
}

static void add(struct push_event *e, struct push_read *p, const char *name,
                const char *json, size_t len)
{
    if (e->attributes.len + len > ATTRIBUTES_MAX_BYTES) {
        wrong(p, name, "the attributes are above 64 KiB together");
        return;
    }
    if (e->attributes.len > 0)
        buf_char(&e->attributes, ',');
    buf_json_string(&e->attributes, name, strlen(name));
    buf_char(&e->attributes, ':');
    buf_append(&e->attributes, json, len);
}

/* ---- structured mode ---- */

static void take_value(struct push_event *e, struct push_read *p,
                       const char *name, struct json_span value)
{
    const enum json_kind kind = json_kind(value);
    size_t len;

    if (kind == JSON_IS_NULL)
        return;
    if (kind == JSON_IS_OBJECT || kind == JSON_IS_ARRAY) {
        wrong(p, name, "an attribute is a text, a number, true or false");
        return;
    }
    if (kind == JSON_IS_STRING) {
        char *text = json_string_dup(value, &len);
        bool meta = text && take_text(e, p, name, text);
        if (!text)
            wrong(p, name, "not a text without \\u0000");
        free(text);
        if (!meta)
            return;
    }
    add(e, p, name, value.p, value.len);
}

static int on_attribute(void *arg, struct json_span key, struct json_span value,
                        struct errbuf *eb)
{
    struct events *es = arg;
    char name[NAME_MAX_BYTES + 1] = "";
    size_t len;

    (void)eb;
    if (json_string_is(key, "data")) {
        es->e->data = value;
    } else if (json_string_is(key, "data_base64")) {
        es->e->data_base64 = value;
    } else if (json_string_copy(key, name, sizeof(name), &len) != 0 ||
               !is_name(name)) {
        body_wrong(&es->p->bad, "",
                   "names of attributes have up to %d characters of a-z 0-9",
                   NAME_MAX_BYTES);
    } else {
        take_value(es->e, es->p, name, value);
    }
    return 0;
}

static bool is_base64(struct json_span value)
{
    struct buf out = {0};
    size_t len;
    char *text = json_string_dup(value, &len);
    bool right = text && buf_unbase64(&out, text, len);

    free(text);
    buf_done(&out);
    return right;
}

static void take_data(struct push_event *e, struct push_read *p)
{
    const struct json_span base64 = e->data_base64;

    if (e->data.p && base64.p) {
        wrong(p, "data_base64", "data and data_base64: only one can be");
    } else if (base64.p && json_kind(base64) != JSON_IS_NULL) {
        if (!is_base64(base64))
            wrong(p, "data_base64", "not base64");
        push_read_payload(p, base64);
        push_read_meta(p, "encoding", "\"base64\"", strlen("\"base64\""));
    } else if (e->data.p) {
        push_read_payload(p, e->data);
    }
}

void push_event_json(struct push_event *e, struct push_read *p,
                     const char *text, size_t len)
{
    struct events es = {.e = e, .p = p};
    struct errbuf eb;

    if (json_scan_object(text, len, on_attribute, &es, &eb) == 0) {
        take_data(e, p);
        return;
    }
    if (json_check(text, len, NULL) != 0)
        p->bad.not_json = mem_strdup(eb.text);
    else
        body_wrong(&p->bad, "", "not an object");
}

/* ---- binary mode ---- */

static void decode(const char *value, struct buf *out)
{
    for (const char *p = value; *p; p++) {
        int high = p[0] == '%' ? percent_digit(p[1]) : -1;
        int low = high >= 0 ? percent_digit(p[2]) : -1;
        if (low >= 0 && (high > 0 || low > 0)) {
            buf_char(out, (char)(high << 4 | low));
            p += 2;
        } else {
            buf_char(out, *p);
        }
    }
}

void push_event_header(struct push_event *e, struct push_read *p,
                       const char *name, const char *value)
{
    char lower[NAME_MAX_BYTES + 1];
    struct buf text = {0}, json = {0};
    size_t n;

    if (strncasecmp(name, "ce-", 3) != 0)
        return;
    name += 3;
    n = strlen(name);
    for (size_t i = 0; i <= n && n < sizeof(lower); i++)
        lower[i] =
            (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
    if (n >= sizeof(lower) || !is_name(lower)) {
        body_wrong(&p->bad, "",
                   "names of attributes have up to %d characters of a-z 0-9",
                   NAME_MAX_BYTES);
        return;
    }
    decode(value, &text);
    if (take_text(e, p, lower, text.data ? text.data : "")) {
        buf_json_string(&json, text.data ? text.data : "", text.len);
        add(e, p, lower, json.data, json.len);
    }
    buf_done(&text);
    buf_done(&json);
}

/* ---- both ---- */

void push_event_end(struct push_event *e, struct push_read *p)
{
    struct buf object = {0};

    if (!e->has_version)
        wrong(p, "specversion", "missing");
    if (!e->has_type)
        wrong(p, "type", "missing");
    if (e->source.len == 0)
        wrong(p, "source", "missing");
    if (e->id.len == 0)
        wrong(p, "id", "missing");
    if (e->attributes.len > 0) {
        buf_char(&object, '{');
        buf_append(&object, e->attributes.data, e->attributes.len);
        buf_char(&object, '}');
        push_read_meta(p, "cloudevent", object.data, object.len);
    }
    push_read_trace(p, e->traceparent.data, e->tracestate.data);
    buf_done(&object);
}
