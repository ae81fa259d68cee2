/*
 * Clean: UTF-8 in, UTF-8 out, character by character.
 */
#include "clean.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { QUOTED = 40 };

/* Bytes of the character at p, and which it is; 0: no UTF-8. */
static size_t decode(const unsigned char *p, size_t left, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));

    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = (c << 6) | (p[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return n;
}

static bool is_blank(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 ||
           (c >= 0x2000 && c <= 0x200b) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x3000 || c == 0xfeff;
}

/* Control characters, and those that turn the direction of what follows. */
static bool is_control(uint32_t c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

enum clean clean_text(const char *in, size_t size, size_t max, char *out,
                      size_t *ret_count)
{
    const unsigned char *p = (const unsigned char *)in, *end = p + size;
    size_t count = 0, kept = 0, at = 0, end_at = 0;
    uint32_t c;

    for (size_t n; p < end; p += n) {
        n = decode(p, (size_t)(end - p), &c);
        if (n == 0)
            return CLEAN_NO_UTF8;
        if (is_control(c) || (count == 0 && is_blank(c)))
            continue;
        count++; /* with the blanks at its end: they may be inside yet */
        if (count <= max) {
            memcpy(out + at, p, n);
            at += n;
        }
        if (!is_blank(c)) {
            kept = count;
            end_at = at;
        }
    }
    out[kept <= max ? end_at : 0] = '\0';
    *ret_count = kept;
    return kept <= max ? CLEAN_OK : CLEAN_TOO_LONG;
}

const char *clean_quote(const char *in, size_t size, char out[QUOTED_MAX])
{
    const unsigned char *p = (const unsigned char *)in, *end = p + size;
    size_t at = 0;
    uint32_t c;

    out[at++] = '"';
    for (size_t n, count = 0; p < end && count < QUOTED; p += n) {
        n = decode(p, (size_t)(end - p), &c);
        if (n == 0)
            break;
        if (is_control(c) || c == '\n')
            continue;
        memcpy(out + at, p, n);
        at += n;
        count++;
    }
    memcpy(out + at, p < end ? "…\"" : "\"", p < end ? 5 : 2);
    return out;
}
