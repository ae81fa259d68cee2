/*
 * Pattern: an error without what is different each time.
 *
 * Thread: any.
 */
#include "producer/pattern.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/safe.h"

enum { HEX_MIN = 8, ID_MIN = 16, ID_DIGITS = 3, QUOTED_MAX = 1000 };

static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0;
}

static bool is_hex(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)p[i]))
            return false;
    }
    return true;
}

static bool is_uuid(const char *p, size_t n)
{
    static const size_t groups[] = {8, 4, 4, 4, 12};
    size_t at = 0;

    for (int i = 0; i < 5; i++) {
        if (n < at + groups[i] || !is_hex(p + at, groups[i]))
            return false;
        at += groups[i];
        if (i < 4 && (n <= at || p[at++] != '-'))
            return false;
    }
    return n == at || !is_word(p[at]);
}

/* Bytes of the number in a word's place: digits are one where they begin. */
static size_t number_length(const char *p, size_t n, size_t word)
{
    size_t digits = 0;

    if (is_uuid(p, n))
        return 36;
    if (word > 2 && p[0] == '0' && (p[1] | 32) == 'x' &&
        is_hex(p + 2, word - 2))
        return word;
    for (size_t i = 0; i < word; i++)
        digits += isdigit((unsigned char)p[i]) != 0;
    if (word >= ID_MIN && digits >= ID_DIGITS)
        return word;
    return word >= HEX_MIN && digits > 0 && is_hex(p, word) ? word : 0;
}

static size_t append_word(struct buf *out, const char *p, size_t n)
{
    size_t word = 0;

    while (word < n && is_word(p[word]))
        word++;
    size_t number = number_length(p, n, word);
    if (number > 0) {
        buf_char(out, '#');
        return number;
    }
    for (size_t i = 0; i < word; i++) {
        bool digit = isdigit((unsigned char)p[i]) != 0;
        if (!digit)
            buf_char(out, p[i]);
        else if (i == 0 || !isdigit((unsigned char)p[i - 1]))
            buf_char(out, '#');
    }
    return word;
}

/* Bytes of what begins with a quote and ends with one, or 0: it is another
 * thing, as in "can't". */
static size_t quoted_length(const char *p, size_t n, bool behind_word)
{
    if (behind_word || !strchr("\"'`", p[0]) || p[0] == '\0')
        return 0;
    const char *end =
        memchr(p + 1, p[0], n - 1 < QUOTED_MAX ? n - 1 : QUOTED_MAX);
    return end ? (size_t)(end - p) + 1 : 0;
}

void pattern_append(struct buf *out, const char *text, size_t n)
{
    size_t start = out->len;

    for (size_t i = 0; i < n && out->len - start < PATTERN_MAX;) {
        size_t quoted =
            quoted_length(text + i, n - i, i > 0 && is_word(text[i - 1]));
        if (quoted > 0) {
            const char star[] = {text[i], '*', text[i]};
            buf_append(out, star, 3);
            i += quoted;
        } else if (is_word(text[i])) {
            i += append_word(out, text + i, n - i);
        } else {
            buf_char(out, text[i++]);
        }
    }
    if (out->len - start > PATTERN_MAX)
        out->len =
            start + safe_cut(out->data + start, PATTERN_MAX, PATTERN_MAX);
}
