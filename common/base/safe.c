/*
 * Safe: text that cannot command a terminal.
 *
 * Thread: any; nothing here has state.
 */
#include "common/base/safe.h"

#include <stdint.h>
#include <string.h>

#include "common/base/text.h"

size_t safe_unsafe(const char *s, size_t n, uint32_t *ret_code)
{
    unsigned char c = (unsigned char)s[0];

    if (c < 0x20 || c == 0x7f) {
        *ret_code = c;
        return 1;
    }
    if (c == 0xc2 && n >= 2 && (unsigned char)s[1] < 0xa0) {
        *ret_code = (unsigned char)s[1];
        return 2;
    }
    if (c == 0xd8 && n >= 2 && (unsigned char)s[1] == 0x9c) {
        *ret_code = 0x061c; /* Arabic letter mark */
        return 2;
    }
    if (c != 0xe2 || n < 3)
        return 0;
    uint32_t code = 0x2000U | ((unsigned char)s[1] & 0x3fU) << 6 |
                    ((unsigned char)s[2] & 0x3fU);
    bool reorders = (code >= 0x2028 && code <= 0x202e) || /* or ends lines */
                    (code >= 0x2066 && code <= 0x2069) || code == 0x200e ||
                    code == 0x200f;
    *ret_code = code;
    return reorders ? 3 : 0;
}

static void put_escape(struct buf *b, uint32_t code)
{
    if (code == '\n')
        buf_str(b, "\\n");
    else if (code == '\t')
        buf_str(b, "\\t");
    else if (code == '\r')
        buf_str(b, "\\r");
    else if (code < 0x80)
        buf_printf(b, "\\x%02x", code);
    else
        buf_printf(b, "\\u%04x", code);
}

/* In valid JSON, where control characters never stand within a string. */
static void put_json_escape(struct buf *b, uint32_t code)
{
    if (code < 0x20)
        buf_char(b, ' ');
    else
        buf_printf(b, "\\u%04x", code);
}

/* Appends well-formed UTF-8; put writes what must not stand there itself. */
static void append_run(struct buf *b, const char *s, size_t n,
                       void (*put)(struct buf *b, uint32_t code))
{
    size_t done = 0, i = 0;

    while (i < n) {
        uint32_t code;
        size_t len = safe_unsafe(s + i, n - i, &code);
        if (len == 0) {
            i++;
            continue;
        }
        buf_append(b, s + done, i - done);
        put(b, code);
        i += len;
        done = i;
    }
    buf_append(b, s + done, n - done);
}

void safe_append(struct buf *b, const char *s, size_t n)
{
    for (;;) {
        size_t good = text_utf8_error(s, n);
        append_run(b, s, good, put_escape);
        if (good == n)
            return;
        buf_printf(b, "\\x%02x", (unsigned char)s[good]);
        s += good + 1;
        n -= good + 1;
    }
}

void safe_append_json(struct buf *b, const char *s, size_t n)
{
    buf_reserve(b, n);
    append_run(b, s, n, put_json_escape);
}

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

size_t safe_width(const char *s, size_t n)
{
    size_t width = 0;

    for (size_t i = 0; i < n; i++)
        width += starts_character(s[i]);
    return width;
}

size_t safe_cut(const char *s, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        if (starts_character(s[i]) && width-- == 0)
            return i;
    }
    return n;
}
