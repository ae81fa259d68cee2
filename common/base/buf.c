/*
 * A growable run of bytes.
 *
 * Capacity doubles, so appending n bytes one by one costs O(n). One byte
 * beyond len is always reserved for the NUL that makes data a C string.
 *
 * Thread: one at a time.
 */
#include "common/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/base/text.h"

enum { BUF_FIRST_CAP = 64 }; /* most log lines and replies grow once or twice */

static void json_run(struct buf *b, const char *s, size_t n);

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_reserve(struct buf *b, size_t more)
{
    if (b->data != NULL && more < b->cap - b->len)
        return;
    assert(more < SIZE_MAX / 2 - b->len);
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST_CAP;
    while (cap <= b->len + more)
        cap *= 2;
    b->data = mem_resize(b->data, cap);
    b->data[b->len] = '\0';
    b->cap = cap;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    buf_reserve(b, n);
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_int(struct buf *b, int64_t n)
{
    buf_reserve(b, INT_TEXT_MAX);
    b->len += text_format_int(n, b->data + b->len);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    buf_reserve(b, (size_t)n);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void buf_json_string(struct buf *b, const char *s, size_t n)
{
    buf_reserve(b, n + 2);
    buf_char(b, '"');
    for (;;) {
        size_t good = text_utf8_error(s, n);
        json_run(b, s, good);
        if (good == n)
            break;
        buf_str(b, "\xef\xbf\xbd"); /* U+FFFD, one for each bad byte */
        s += good + 1;
        n -= good + 1;
    }
    buf_char(b, '"');
}

void buf_base64(struct buf *b, const char *s, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)s;

    buf_reserve(b, (n + 2) / 3 * 4);
    for (; n >= 3; p += 3, n -= 3) {
        const char four[] = {
            digits[p[0] >> 2], digits[(p[0] & 3) << 4 | p[1] >> 4],
            digits[(p[1] & 15) << 2 | p[2] >> 6], digits[p[2] & 63]};
        buf_append(b, four, sizeof(four));
    }
    if (n > 0) {
        const unsigned second = n > 1 ? p[1] : 0;
        char four[] = {digits[p[0] >> 2], digits[(p[0] & 3) << 4 | second >> 4],
                       '=', '='};
        if (n > 1)
            four[2] = digits[(second & 15) << 2];
        buf_append(b, four, sizeof(four));
    }
}

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Appends what four digits mean, of which the last may be "=". */
static bool decode_four(const char *p, bool last, struct buf *out)
{
    int n = last && p[3] == '=' ? (p[2] == '=' ? 2 : 3) : 4;
    unsigned bits = 0;

    for (int i = 0; i < 4; i++) {
        int d = i < n ? digit(p[i]) : 0;
        if (d < 0)
            return false;
        bits = bits << 6 | (unsigned)d;
    }
    const char three[] = {(char)(bits >> 16), (char)(bits >> 8 & 255),
                          (char)(bits & 255)};
    buf_append(out, three, (size_t)n - 1);
    return true;
}

bool buf_unbase64(struct buf *b, const char *s, size_t n)
{
    size_t start = b->len;
    bool good = n % 4 == 0;

    buf_reserve(b, n / 4 * 3);
    for (size_t i = 0; i < n && good; i += 4)
        good = decode_four(s + i, i + 4 == n, b);
    if (!good)
        b->len = start;
    return good;
}

char *buf_take(struct buf *b)
{
    buf_reserve(b, 0);
    char *data = b->data;
    *b = (struct buf){0};
    return data;
}

/* The letter of a two-character escape, or 0. */
static char short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* Appends well-formed UTF-8 with JSON's escapes. */
static void json_run(struct buf *b, const char *s, size_t n)
{
    size_t done = 0, i = 0;
    while (i < n) {
        uint32_t code = 0;
        char letter = short_escape(s[i]);
        size_t len = letter != 0 ? 1 : safe_unsafe(s + i, n - i, &code);
        if (len == 0) {
            i++;
            continue;
        }
        buf_append(b, s + done, i - done);
        if (letter != 0)
            buf_append(b, (const char[]){'\\', letter}, 2);
        else
            buf_printf(b, "\\u%04x", code);
        i += len;
        done = i;
    }
    buf_append(b, s + done, n - done);
}
