/*
 * A scan over the members of a JSON object. It believes what it reads: where
 * an element is no JSON it finds less, or something else, but stays within
 * the bytes.
 *
 * Thread: any.
 */
#include "tests/faults/journal_envelope.h"

#include <string.h>

struct scan {
    const char *p, *end;
};

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && memchr(" \t\r\n", *s->p, 4) != NULL)
        s->p++;
}

static bool take(struct scan *s, char c)
{
    skip_blanks(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* The bytes between the quotes. */
static bool take_string(struct scan *s, struct text *ret)
{
    if (!take(s, '"'))
        return false;
    const char *begin = s->p;
    while (s->p < s->end && *s->p != '"')
        s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
    if (s->p >= s->end)
        return false;
    *ret = (struct text){begin, (size_t)(s->p - begin)};
    s->p++;
    return true;
}

/* A value of any kind: up to the comma or bracket that ends it. */
static struct text take_value(struct scan *s)
{
    struct text string;
    size_t depth = 0;
    skip_blanks(s);
    const char *begin = s->p, *end = begin;
    while (s->p < s->end) {
        char c = *s->p;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        if (c == '"') {
            if (!take_string(s, &string))
                s->p = s->end;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            s->p++;
        }
        if (memchr(" \t\r\n", c, 4) == NULL)
            end = s->p;
    }
    return (struct text){begin, (size_t)(end - begin)};
}

static bool is_id(struct text t)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
                                  "rstuvwxyz0123456789._:-";
    for (size_t i = 0; i < t.len; i++) {
        if (memchr(allowed, t.p[i], sizeof(allowed) - 1) == NULL)
            return false;
    }
    return t.len >= 1 && t.len <= 64;
}

static uint64_t serial_of(struct text payload)
{
    struct scan s = {payload.p, payload.p + payload.len};
    struct text name;
    uint64_t n = 0;
    if (!take(&s, '{') || !take_string(&s, &name) || !text_is(name, "n") ||
        !take(&s, ':'))
        return 0;
    skip_blanks(&s);
    for (; s.p < s.end && *s.p >= '0' && *s.p <= '9'; s.p++)
        n = n * 10 + (uint64_t)(*s.p - '0');
    return n;
}

static bool begins(struct text t, const char *s)
{
    return t.len >= strlen(s) && memcmp(t.p, s, strlen(s)) == 0;
}

static void note(struct envelope *e, struct text name, struct text value)
{
    struct text quoted = {0};
    if (value.len >= 2 && value.p[0] == '"')
        quoted = (struct text){value.p + 1, value.len - 2};
    if (text_is(name, "id") && e->id.p == NULL && is_id(quoted))
        e->id = quoted;
    else if (text_is(name, "type"))
        e->invalid = e->invalid || text_is(quoted, "belt.invalid");
    else if (text_is(name, "put_offs"))
        e->put_off = true;
    else if (text_is(name, "error"))
        e->expired = begins(value, "{\"class\":\"expired\"");
    else if (text_is(name, "then"))
        e->then = value;
    else if (text_is(name, "raw"))
        e->raw = quoted;
    else if (text_is(name, "payload") && e->payload.p == NULL)
        e->payload = value;
}

struct envelope envelope_read(struct text element)
{
    struct scan s = {element.p, element.p + element.len};
    struct envelope e = {0};
    struct text name;
    if (!take(&s, '{'))
        return e;
    while (take_string(&s, &name) && take(&s, ':')) {
        note(&e, name, take_value(&s));
        if (!take(&s, ','))
            break;
    }
    if (e.payload.p != NULL)
        e.serial = serial_of(e.payload);
    return e;
}

size_t envelope_elements(struct text then, struct text *out, size_t max)
{
    struct scan s = {then.p, then.p + then.len};
    size_t n = 0;
    if (!take(&s, '[')) {
        out[0] = then;
        return 1;
    }
    if (take(&s, ']'))
        return 0;
    do
        out[n++] = take_value(&s);
    while (n < max && take(&s, ','));
    return n;
}

/* What stands behind the members that Belt puts in front. */
static struct text core(struct text element)
{
    struct scan s = {element.p, element.p + element.len};
    if (!take(&s, '{'))
        return element;
    for (;;) {
        struct scan member = s;
        struct text name;
        if (!take_string(&s, &name) ||
            !(text_is(name, "id") || text_is(name, "recovered")) ||
            !take(&s, ':')) {
            skip_blanks(&member);
            return (struct text){member.p, (size_t)(member.end - member.p)};
        }
        (void)take_value(&s);
        (void)take(&s, ',');
    }
}

bool envelope_same_core(struct text a, struct text b)
{
    return text_same(a, b) || text_same(core(a), core(b));
}

bool envelope_is_raw(struct text base64, struct text bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
                                 "rstuvwxyz0123456789+/";
    if (base64.len != (bytes.len + 2) / 3 * 4)
        return false;
    for (size_t i = 0, at = 0; i < bytes.len; i += 3, at += 4) {
        uint32_t three = 0;
        for (size_t b = 0; b < 3; b++)
            three = three << 8 |
                    (i + b < bytes.len ? (unsigned char)bytes.p[i + b] : 0);
        for (size_t d = 0; d < 4 && i + d <= bytes.len; d++) {
            if (base64.p[at + d] != digits[three >> (18 - 6 * d) & 63])
                return false;
        }
    }
    return true;
}
