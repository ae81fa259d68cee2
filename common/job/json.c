/*
 * JSON scanner: checks a text and finds where its values begin and end.
 *
 * Envelopes come from strangers, so the scanner never recurses: one bit per
 * level says whether that level is an object or an array, and the number of
 * levels is bounded. Envelopes are also the hottest data of a worker, so the
 * inside of strings is passed eight bytes at a time.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/json.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/base/text.h"
#include "common/job/json_escape.h"

#define BYTES(c) (UINT64_C(0x0101010101010101) * (unsigned char)(c))

enum { WORD = sizeof(uint64_t) };

struct scan {
    const char *start, *p, *end;           /* borrowed */
    struct errbuf *eb;                     /* borrowed, may be NULL */
    unsigned depth;                        /* open objects and arrays */
    uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit d: level d is an object */
};

static int scan_text(const char *text, size_t len, enum json_kind outer,
                     json_member_cb cb, void *arg, struct errbuf *eb);
static int scan_value(struct scan *s);
static int scan_scalar(struct scan *s);
static int scan_string(struct scan *s);

enum json_kind json_kind(struct json_span value)
{
    assert(value.p != NULL && value.len > 0);
    switch (value.p[0]) {
    case '{':
        return JSON_IS_OBJECT;
    case '[':
        return JSON_IS_ARRAY;
    case '"':
        return JSON_IS_STRING;
    case 't':
        return JSON_IS_TRUE;
    case 'f':
        return JSON_IS_FALSE;
    case 'n':
        return JSON_IS_NULL;
    default:
        return JSON_IS_NUMBER;
    }
}

static int fail_at(struct scan *s, const char *at, const char *why)
{
    return errbuf_set(s->eb, ERR_INVALID, "byte %zu: %s",
                      (size_t)(at - s->start), why);
}

static int fail_expected(struct scan *s, const char *what)
{
    return errbuf_set(
        s->eb, ERR_INVALID, "byte %zu: %s%s", (size_t)(s->p - s->start),
        s->p == s->end ? "the text ends, expected " : "expected ", what);
}

static bool at(const struct scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

/* The end of the whole text, behind its only value. */
static int scan_end(struct scan *s)
{
    skip_space(s);
    return s->p == s->end ? 0 : fail_at(s, s->p, "text behind the value");
}

int json_check(const char *text, size_t len, struct errbuf *eb)
{
    struct scan s = {.start = text, .p = text, .end = text + len, .eb = eb};

    skip_space(&s);
    int rc = scan_value(&s);
    return rc != 0 ? rc : scan_end(&s);
}

int json_scan_object(const char *text, size_t len, json_member_cb cb, void *arg,
                     struct errbuf *eb)
{
    return scan_text(text, len, JSON_IS_OBJECT, cb, arg, eb);
}

int json_scan_array(const char *text, size_t len, json_member_cb cb, void *arg,
                    struct errbuf *eb)
{
    return scan_text(text, len, JSON_IS_ARRAY, cb, arg, eb);
}

/* A name and its colon, up to the value. */
static int scan_name(struct scan *s, struct json_span *ret)
{
    if (!at(s, '"'))
        return fail_expected(s, "a name in quotes");
    ret->p = s->p;
    int rc = scan_string(s);
    if (rc != 0)
        return rc;
    ret->len = (size_t)(s->p - ret->p);
    skip_space(s);
    if (!at(s, ':'))
        return fail_expected(s, "':'");
    s->p++;
    skip_space(s);
    return 0;
}

static int scan_outer_member(struct scan *s, enum json_kind outer,
                             json_member_cb cb, void *arg)
{
    struct json_span key = {0}, value;

    if (outer == JSON_IS_OBJECT) {
        int rc = scan_name(s, &key);
        if (rc != 0)
            return rc;
    }
    value.p = s->p;
    int rc = scan_value(s);
    if (rc != 0)
        return rc;
    value.len = (size_t)(s->p - value.p);
    return cb(arg, key, value, s->eb);
}

static int scan_text(const char *text, size_t len, enum json_kind outer,
                     json_member_cb cb, void *arg, struct errbuf *eb)
{
    struct scan s = {.start = text, .p = text, .end = text + len, .eb = eb};
    const bool object = outer == JSON_IS_OBJECT;
    const char close = object ? '}' : ']';

    skip_space(&s);
    if (!at(&s, object ? '{' : '['))
        return fail_expected(&s, object ? "an object" : "an array");
    s.p++;
    s.depth = 1;
    skip_space(&s);
    if (at(&s, close)) {
        s.p++;
        return scan_end(&s);
    }
    for (;;) {
        int rc = scan_outer_member(&s, outer, cb, arg);
        if (rc != 0)
            return rc;
        skip_space(&s);
        if (at(&s, close)) {
            s.p++;
            return scan_end(&s);
        }
        if (!at(&s, ','))
            return fail_expected(&s, object ? "',' or '}'" : "',' or ']'");
        s.p++;
        skip_space(&s);
    }
}

static bool in_object(const struct scan *s)
{
    unsigned level = s->depth - 1;

    return (s->objects[level / 64] >> (level % 64) & 1) != 0;
}

/* An opening bracket; *ret_empty tells that it was closed right away. */
static int scan_open(struct scan *s, bool *ret_empty)
{
    const bool object = *s->p == '{';
    const unsigned level = s->depth;

    if (level == JSON_DEPTH_MAX)
        return errbuf_set(s->eb, ERR_INVALID,
                          "byte %zu: nested deeper than %d levels",
                          (size_t)(s->p - s->start), JSON_DEPTH_MAX);
    uint64_t bit = UINT64_C(1) << level % 64;
    if (object)
        s->objects[level / 64] |= bit;
    else
        s->objects[level / 64] &= ~bit;
    s->p++;
    skip_space(s);
    *ret_empty = at(s, object ? '}' : ']');
    if (*ret_empty) {
        s->p++;
        return 0;
    }
    s->depth++;
    struct json_span name;
    return object ? scan_name(s, &name) : 0;
}

/*
 * Behind a value: closes what ends here, down to level base. *ret_more tells
 * that another value follows, at s->p.
 */
static int scan_next(struct scan *s, unsigned base, bool *ret_more)
{
    struct json_span name;

    *ret_more = false;
    while (s->depth > base) {
        const bool object = in_object(s);
        skip_space(s);
        if (at(s, ',')) {
            s->p++;
            skip_space(s);
            *ret_more = true;
            return object ? scan_name(s, &name) : 0;
        }
        if (!at(s, object ? '}' : ']'))
            return fail_expected(s, object ? "',' or '}'" : "',' or ']'");
        s->p++;
        s->depth--;
    }
    return 0;
}

/* One value of any depth, from its first byte. */
static int scan_value(struct scan *s)
{
    const unsigned base = s->depth;
    bool more = true;

    while (more) {
        if (at(s, '{') || at(s, '[')) {
            bool empty = false;
            int rc = scan_open(s, &empty);
            if (rc != 0)
                return rc;
            if (!empty)
                continue;
        } else {
            int rc = scan_scalar(s);
            if (rc != 0)
                return rc;
        }
        int rc = scan_next(s, base, &more);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static bool is_digit(const struct scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static int scan_digits(struct scan *s)
{
    if (!is_digit(s))
        return fail_expected(s, "a digit");
    while (is_digit(s))
        s->p++;
    return 0;
}

static int scan_number(struct scan *s)
{
    int rc = 0;

    if (at(s, '-'))
        s->p++;
    if (at(s, '0')) {
        s->p++;
        if (is_digit(s))
            return fail_at(s, s->p, "a digit behind a leading zero");
    } else {
        rc = scan_digits(s);
    }
    if (rc == 0 && at(s, '.')) {
        s->p++;
        rc = scan_digits(s);
    }
    if (rc == 0 && (at(s, 'e') || at(s, 'E'))) {
        s->p++;
        if (at(s, '+') || at(s, '-'))
            s->p++;
        rc = scan_digits(s);
    }
    return rc;
}

static int scan_word(struct scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return fail_expected(s, "a value");
    s->p += len;
    return 0;
}

static int scan_scalar(struct scan *s)
{
    switch (s->p < s->end ? *s->p : '\0') {
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    case '-':
        return scan_number(s);
    default:
        return is_digit(s) ? scan_number(s) : fail_expected(s, "a value");
    }
}

/*
 * Returns the first byte that is a quote, a backslash, a control character or
 * not ASCII. Below 0x80 each subtraction sets the high bit of exactly the
 * bytes looked for, up to the first of them, which is the one that counts.
 */
static const char *skip_plain(const char *p, const char *end)
{
    for (; end - p >= WORD; p += WORD) {
        uint64_t w;
        memcpy(&w, p, WORD);
        w = le64toh(w);
        uint64_t special = w | (w - BYTES(' '));
        special |= (w ^ BYTES('"')) - BYTES(1);
        special |= (w ^ BYTES('\\')) - BYTES(1);
        special &= BYTES(0x80);
        if (special != 0)
            return p + __builtin_ctzll(special) / 8;
    }
    while (p < end && (unsigned char)*p >= ' ' && (unsigned char)*p < 0x80 &&
           *p != '"' && *p != '\\')
        p++;
    return p;
}

static int scan_escape(struct scan *s)
{
    size_t len = 2;

    if (s->end - s->p < 2)
        return fail_at(s, s->p, "an escape without end");
    if (s->p[1] == 'u') {
        if (json_unicode_escape(s->p, s->end, &len) < 0)
            return fail_at(s, s->p, "invalid \\u escape or lone surrogate");
    } else if (memchr("\"\\/bfnrt", s->p[1], 8) == NULL) {
        return fail_at(s, s->p, "invalid escape");
    }
    s->p += len;
    return 0;
}

/* A run of bytes that are not ASCII. */
static int scan_utf8(struct scan *s)
{
    const char *run = s->p;

    while (s->p < s->end && (unsigned char)*s->p >= 0x80)
        s->p++;
    size_t len = (size_t)(s->p - run);
    size_t bad = text_utf8_error(run, len);
    return bad == len ? 0 : fail_at(s, run + bad, "invalid UTF-8");
}

static int scan_string(struct scan *s)
{
    const char *quote = s->p++;
    int rc = 0;

    while (rc == 0) {
        s->p = skip_plain(s->p, s->end);
        if (s->p == s->end)
            return fail_at(s, quote, "a string without end");
        if (*s->p == '"') {
            s->p++;
            return 0;
        }
        if (*s->p == '\\')
            rc = scan_escape(s);
        else if ((unsigned char)*s->p >= 0x80)
            rc = scan_utf8(s);
        else
            rc = fail_at(s, s->p, "a raw control character in a string");
    }
    return rc;
}
