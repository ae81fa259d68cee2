/*
 * Head: what the head of a request says, before its body comes.
 *
 * Thread: any.
 */
#include "producer/serve/head.h"

#include <string.h>
#include <strings.h>

enum { LENGTH_DIGITS_MAX = 18 };

struct reading {
    struct head *head;
    unsigned hosts, lengths, codings, types, tokens;
    bool is_11;
    bool is_bodiless; /* evhttp would take its body for the next request */
};

static void refuse(struct head *h, int status, const char *kind,
                   const char *why)
{
    if (h->status != 0)
        return;
    h->status = status;
    h->kind = kind;
    h->why = why;
}

static void bad(struct head *h, const char *why)
{
    refuse(h, 400, "bad-request", why);
}

/* Returns the offset behind the empty line, or 0. */
static size_t find_end(const char *text, size_t n, size_t from)
{
    const char *end = text + n;
    const char *p = text + (from > 3 ? from - 3 : 0);
    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (end - p >= 1 && p[0] == '\n')
            return (size_t)(p + 1 - text);
        if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
            return (size_t)(p + 2 - text);
    }
    return 0;
}

static bool has_control(const char *p, size_t n)
{
    unsigned found = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        found |= (c < 0x20 && c != '\t') | (c == 0x7f);
    }
    return found != 0;
}

static bool is(const char *p, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

/* METHOD PATH HTTP/1.1, with one space between. */
static void read_first_line(struct reading *r, const char *p, size_t n)
{
    static const char version[] = " HTTP/1.1";
    size_t v = sizeof(version) - 1;
    const char *space = memchr(p, ' ', n), *last = p + (n > v ? n - v : 0);
    if (!space || space == p || space + 1 >= last ||
        strncmp(last, version, 6) != 0) {
        bad(r->head, "the first line is not METHOD PATH HTTP/1.1");
        return;
    }
    r->is_11 = p[n - 1] == '1';
    size_t method_len = (size_t)(space - p);
    r->is_bodiless = is(p, method_len, "HEAD") || is(p, method_len, "TRACE");
    if (memcmp(last, version, v - 1) != 0 || (!r->is_11 && p[n - 1] != '0'))
        refuse(r->head, 505, "version-unknown", "HTTP/1.0 and 1.1 are known");
    else if (memchr(space + 1, ' ', (size_t)(last - space - 1)))
        bad(r->head, "the path has a space");
    else if (space[1] == '/' && space[2] == '/')
        bad(r->head, "the path begins with two slashes"); /* or is a host */
}

static void read_length(struct reading *r, const char *p, size_t n)
{
    int64_t length = 0;
    if (n == 0 || n > LENGTH_DIGITS_MAX || r->lengths++ > 0) {
        bad(r->head, "Content-Length is given twice, or is no length");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            bad(r->head, "Content-Length is no number");
            return;
        }
        length = length * 10 + (p[i] - '0');
    }
    r->head->body_len = length;
}

static void read_type(struct reading *r, const char *p, size_t n)
{
    size_t end = 0;
    while (end < n && p[end] != ';' && p[end] != ' ')
        end++;
    r->head->bulk =
        is(p, end, "application/x-ndjson") || is(p, end, "application/jsonl");
    if (r->types++ > 0)
        bad(r->head, "Content-Type is given twice");
}

static void read_coding(struct reading *r, const char *p, size_t n)
{
    r->head->chunked = true;
    if (r->codings++ > 0 || !is(p, n, "chunked"))
        bad(r->head, "Transfer-Encoding is not chunked");
}

static void read_token(struct reading *r, const char *p, size_t n)
{
    r->head->token = p;
    r->head->token_len = n;
    if (r->tokens++ > 0)
        bad(r->head, "Authorization is given twice");
}

static void read_field(struct reading *r, const char *name, size_t name_len,
                       const char *p, size_t n)
{
    switch (name_len) {
    case 4:
        r->hosts += is(name, name_len, "Host");
        break;
    case 12:
        if (is(name, name_len, "Content-Type"))
            read_type(r, p, n);
        break;
    case 13:
        if (is(name, name_len, "Authorization"))
            read_token(r, p, n);
        break;
    case 14:
        if (is(name, name_len, "Content-Length"))
            read_length(r, p, n);
        break;
    case 17:
        if (is(name, name_len, "Transfer-Encoding"))
            read_coding(r, p, n);
        break;
    default:
        break;
    }
}

static void read_line(struct reading *r, const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n);
    if (!colon || colon == p || *p == ' ' || *p == '\t' || colon[-1] == ' ' ||
        colon[-1] == '\t') {
        bad(r->head, "a header is not NAME: VALUE in one line");
        return;
    }
    const char *value = colon + 1, *end = p + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    read_field(r, p, (size_t)(colon - p), value, (size_t)(end - value));
}

static void read_lines(struct reading *r, const char *p, const char *end)
{
    bool first = true;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)(newline - p);
        if (n > 0 && p[n - 1] == '\r')
            n--;
        if (has_control(p, n))
            bad(r->head, "a control character in the headers");
        else if (first)
            read_first_line(r, p, n);
        else if (n > 0)
            read_line(r, p, n);
        first = false;
        p = newline + 1;
    }
}

bool head_read(const char *text, size_t n, size_t from, struct head *ret)
{
    struct head h = {.body_len = -1, .len = find_end(text, n, from)};
    struct reading r = {.head = &h};
    if (h.len == 0)
        return false;
    read_lines(&r, text, text + h.len);
    if (h.chunked && h.body_len >= 0)
        bad(&h, "both Content-Length and Transfer-Encoding");
    if (h.chunked && !r.is_11)
        bad(&h, "Transfer-Encoding is of HTTP/1.1");
    if (r.is_bodiless && (h.chunked || h.body_len > 0))
        bad(&h, "HEAD and TRACE have no body");
    if (r.hosts > 1 || (r.is_11 && r.hosts == 0))
        bad(&h, "Host has to be given, once");
    *ret = h;
    return true;
}
