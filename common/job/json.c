/*
 * JSON scanner: checks a text and finds where its values begin and end.
 *
 * Envelopes come from strangers, so the scanner never recurses: one bit per
 * level says whether that level is an object or an array, and the number of
 * levels is bounded. Envelopes are also the hottest data of a worker, so the
 * inside of strings is passed sixteen bytes at a time.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/json.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/base/text.h"
#include "common/job/json_escape.h"

struct scan {
    const char *start, *end;               /* borrowed */
    struct errbuf *eb;                     /* borrowed, may be NULL */
    unsigned depth;                        /* open objects and arrays */
    uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit d: level d is an object */
};

/*
 * Each of these takes the place where something begins and returns the place
 * behind it, or NULL when the text is at fault, which was told.
 */
static const char *scan_end(struct scan *s, const char *p);
static const char *scan_name(struct scan *s, const char *p,
                             struct json_span *ret);
static const char *scan_value(struct scan *s, const char *p);
static const char *scan_scalar(struct scan *s, const char *p);
static const char *scan_string(struct scan *s, const char *p);

static int scan_text(const char *text, size_t len, enum json_kind outer,
                     json_member_cb cb, void *arg, struct errbuf *eb);

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

static const char *fail_at(struct scan *s, const char *at, const char *why)
{
    errbuf_set(s->eb, ERR_INVALID, "byte %zu: %s", (size_t)(at - s->start),
               why);
    return NULL;
}

static const char *fail_expected(struct scan *s, const char *p,
                                 const char *what)
{
    errbuf_set(s->eb, ERR_INVALID, "byte %zu: %s%s", (size_t)(p - s->start),
               p == s->end ? "the text ends, expected " : "expected ", what);
    return NULL;
}

static inline bool at(const struct scan *s, const char *p, char c)
{
    return p < s->end && *p == c;
}

static inline const char *skip_space(const struct scan *s, const char *p)
{
    while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* The end of the whole text, behind its only value. */
static const char *scan_end(struct scan *s, const char *p)
{
    p = skip_space(s, p);
    return p == s->end ? p : fail_at(s, p, "text behind the value");
}

static int check(const char *text, size_t len, unsigned depth,
                 struct errbuf *eb)
{
    struct scan s = {
        .start = text, .end = text + len, .eb = eb, .depth = depth};
    const char *p = scan_value(&s, skip_space(&s, text));

    return p && scan_end(&s, p) ? 0 : ERR_INVALID;
}

int json_check(const char *text, size_t len, struct errbuf *eb)
{
    return check(text, len, 0, eb);
}

int json_check_member(const char *text, size_t len, struct errbuf *eb)
{
    return check(text, len, 1, eb);
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

/* A name and its colon, up to the value. ret may be NULL. */
static const char *scan_name(struct scan *s, const char *p,
                             struct json_span *ret)
{
    if (!at(s, p, '"'))
        return fail_expected(s, p, "a name in quotes");
    const char *behind = scan_string(s, p);
    if (!behind)
        return NULL;
    if (ret)
        *ret = (struct json_span){p, (size_t)(behind - p)};
    p = skip_space(s, behind);
    if (!at(s, p, ':'))
        return fail_expected(s, p, "':'");
    return skip_space(s, p + 1);
}

static int scan_text(const char *text, size_t len, enum json_kind outer,
                     json_member_cb cb, void *arg, struct errbuf *eb)
{
    struct scan s = {.start = text, .end = text + len, .eb = eb, .depth = 1};
    const bool object = outer == JSON_IS_OBJECT;
    const char close = object ? '}' : ']';
    const char *p = skip_space(&s, text);

    if (!at(&s, p, object ? '{' : '[')) {
        fail_expected(&s, p, object ? "an object" : "an array");
        return ERR_INVALID;
    }
    p = skip_space(&s, p + 1);
    bool more = !at(&s, p, close);
    while (more) {
        struct json_span key = {0};
        if (object)
            p = scan_name(&s, p, &key);
        const char *behind = p ? scan_value(&s, p) : NULL;
        if (!behind)
            return ERR_INVALID;
        struct json_span value = {p, (size_t)(behind - p)};
        int rc = cb(arg, key, value, eb);
        if (rc != 0)
            return rc;
        p = skip_space(&s, behind);
        more = at(&s, p, ',');
        if (more)
            p = skip_space(&s, p + 1);
    }
    if (!at(&s, p, close)) {
        fail_expected(&s, p, object ? "',' or '}'" : "',' or ']'");
        return ERR_INVALID;
    }
    return scan_end(&s, p + 1) ? 0 : ERR_INVALID;
}

static bool in_object(const struct scan *s)
{
    unsigned level = s->depth - 1;

    return (s->objects[level / 64] >> (level % 64) & 1) != 0;
}

/*
 * An opening bracket, up to the first value behind it; *ret_empty tells that
 * there is none, and then it was closed.
 */
static const char *scan_open(struct scan *s, const char *p, bool *ret_empty)
{
    const bool object = *p == '{';
    const unsigned level = s->depth;

    if (level == JSON_DEPTH_MAX) {
        errbuf_set(s->eb, ERR_INVALID, "byte %zu: nested deeper than %d levels",
                   (size_t)(p - s->start), JSON_DEPTH_MAX);
        return NULL;
    }
    uint64_t bit = UINT64_C(1) << level % 64;
    if (object)
        s->objects[level / 64] |= bit;
    else
        s->objects[level / 64] &= ~bit;
    p = skip_space(s, p + 1);
    *ret_empty = at(s, p, object ? '}' : ']');
    if (*ret_empty)
        return p + 1;
    s->depth++;
    return object ? scan_name(s, p, NULL) : p;
}

/*
 * Behind a value: closes what ends here, down to level base. *ret_more tells
 * that another value follows there.
 */
static const char *scan_next(struct scan *s, const char *p, unsigned base,
                             bool *ret_more)
{
    *ret_more = false;
    while (s->depth > base) {
        const bool object = in_object(s);
        p = skip_space(s, p);
        if (at(s, p, ',')) {
            *ret_more = true;
            p = skip_space(s, p + 1);
            return object ? scan_name(s, p, NULL) : p;
        }
        if (!at(s, p, object ? '}' : ']'))
            return fail_expected(s, p, object ? "',' or '}'" : "',' or ']'");
        p++;
        s->depth--;
    }
    return p;
}

/* One value of any depth, from its first byte. */
static const char *scan_value(struct scan *s, const char *p)
{
    const unsigned base = s->depth;
    bool more = true;

    do {
        bool empty = true;
        if (at(s, p, '{') || at(s, p, '['))
            p = scan_open(s, p, &empty);
        else
            p = scan_scalar(s, p);
        if (p && empty)
            p = scan_next(s, p, base, &more);
    } while (p && more);
    return p;
}

static inline bool is_digit(const struct scan *s, const char *p)
{
    return p < s->end && *p >= '0' && *p <= '9';
}

static const char *scan_digits(struct scan *s, const char *p)
{
    if (!is_digit(s, p))
        return fail_expected(s, p, "a digit");
    do
        p++;
    while (is_digit(s, p));
    return p;
}

static const char *scan_number(struct scan *s, const char *p)
{
    if (*p == '-')
        p++;
    if (at(s, p, '0') && is_digit(s, p + 1))
        return fail_at(s, p + 1, "a digit behind a leading zero");
    p = scan_digits(s, p);
    if (p && at(s, p, '.'))
        p = scan_digits(s, p + 1);
    if (p && (at(s, p, 'e') || at(s, p, 'E'))) {
        p++;
        if (at(s, p, '+') || at(s, p, '-'))
            p++;
        p = scan_digits(s, p);
    }
    return p;
}

static const char *scan_word(struct scan *s, const char *p, const char *word,
                             size_t len)
{
    if ((size_t)(s->end - p) < len || memcmp(p, word, len) != 0)
        return fail_expected(s, p, "a value");
    return p + len;
}

static const char *scan_scalar(struct scan *s, const char *p)
{
    switch (p < s->end ? *p : '\0') {
    case '"':
        return scan_string(s, p);
    case 't':
        return scan_word(s, p, "true", 4);
    case 'f':
        return scan_word(s, p, "false", 5);
    case 'n':
        return scan_word(s, p, "null", 4);
    case '-':
        return scan_number(s, p);
    default:
        return is_digit(s, p) ? scan_number(s, p)
                              : fail_expected(s, p, "a value");
    }
}

/* Sixteen bytes at a time, which every compiler knows to compare at once. */
typedef signed char bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/*
 * Returns the first byte that is a quote, a backslash, a control character or
 * not ASCII; the last two are what is below ' ' as a signed number.
 */
static inline const char *skip_plain(const char *p, const char *end)
{
    for (; end - p >= (ptrdiff_t)sizeof(bytes16); p += sizeof(bytes16)) {
        bytes16 b;
        memcpy(&b, p, sizeof(b));
        words2 special = (words2)((b < ' ') | (b == '"') | (b == '\\'));
        if (special[0] != 0)
            return p + __builtin_ctzll(le64toh(special[0])) / 8;
        if (special[1] != 0)
            return p + 8 + __builtin_ctzll(le64toh(special[1])) / 8;
    }
    while (p < end && (signed char)*p >= ' ' && *p != '"' && *p != '\\')
        p++;
    return p;
}

static const char *scan_escape(struct scan *s, const char *p)
{
    size_t len = 2;

    if (s->end - p < 2)
        return fail_at(s, p, "an escape without end");
    if (p[1] == 'u') {
        if (json_unicode_escape(p, s->end, &len) < 0)
            return fail_at(s, p, "invalid \\u escape or lone surrogate");
    } else if (memchr("\"\\/bfnrt", p[1], 8) == NULL) {
        return fail_at(s, p, "invalid escape");
    }
    return p + len;
}

/* A run of bytes that are not ASCII. */
static const char *scan_utf8(struct scan *s, const char *p)
{
    const char *run = p;

    while (p < s->end && (unsigned char)*p >= 0x80)
        p++;
    size_t len = (size_t)(p - run);
    size_t bad = text_utf8_error(run, len);
    return bad == len ? p : fail_at(s, run + bad, "invalid UTF-8");
}

/* The rest of a string, from the first byte that is not plain. */
static const char *scan_special(struct scan *s, const char *quote,
                                const char *p)
{
    while (p && p < s->end && *p != '"') {
        if (*p == '\\')
            p = scan_escape(s, p);
        else if ((unsigned char)*p >= 0x80)
            p = scan_utf8(s, p);
        else
            return fail_at(s, p, "a raw control character in a string");
        if (p)
            p = skip_plain(p, s->end);
    }
    if (p == s->end)
        return fail_at(s, quote, "a string without end");
    return p ? p + 1 : NULL;
}

static const char *scan_string(struct scan *s, const char *p)
{
    const char *stop = skip_plain(p + 1, s->end);

    return at(s, stop, '"') ? stop + 1 : scan_special(s, p, stop);
}
