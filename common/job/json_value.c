/*
 * JSON values: what a value that the scanner found means.
 *
 * The spans given here were checked by json.c. Only the few values that Belt
 * itself needs are decoded, most of them into memory of the caller.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/json_escape.h"

enum { NAME_CAP = 64 };     /* what json_string_is can compare, with its NUL */
enum { INT64_DIGITS = 19 }; /* at most; as many never overflow a uint64_t */

/* Returns the four hex digits at p as a number, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t n = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9')
            n = n << 4 | (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            n = n << 4 | ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return n;
}

int32_t json_unicode_escape(const char *p, const char *end, size_t *ret_len)
{
    int32_t high = hex4(p + 2, end);

    *ret_len = 6;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return -1;
    int32_t low = hex4(p + 8, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *ret_len = 12;
    return 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
}

static size_t utf8_encode(int32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Decodes the valid escape at p; returns its length in the text. */
static size_t decode_escape(const char *p, const char *end, int32_t *ret_code)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    size_t len = 2;

    if (p[1] == 'u') {
        *ret_code = json_unicode_escape(p, end, &len);
        assert(*ret_code >= 0);
        return len;
    }
    const char *named = strchr(from, p[1]);
    *ret_code = named != NULL ? to[named - from] : p[1];
    return len;
}

int json_string_copy(struct json_span value, char *out, size_t cap,
                     size_t *ret_len)
{
    if (value.len < 2 || value.p[0] != '"')
        return ERR_INVALID;
    const char *p = value.p + 1, *end = value.p + value.len - 1;
    size_t n = 0;

    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        const size_t plain = (size_t)((escape != NULL ? escape : end) - p);
        if (n + plain >= cap)
            return ERR_TOO_BIG;
        memcpy(out + n, p, plain);
        n += plain;
        p += plain;
        if (escape == NULL)
            break;
        int32_t code;
        char utf8[4];
        p += decode_escape(p, end, &code);
        if (code == 0)
            return ERR_INVALID;
        size_t more = utf8_encode(code, utf8);
        if (n + more >= cap)
            return ERR_TOO_BIG;
        memcpy(out + n, utf8, more);
        n += more;
    }
    out[n] = '\0';
    *ret_len = n;
    return 0;
}

char *json_string_dup(struct json_span value, size_t *ret_len)
{
    if (value.len < 2 || value.p[0] != '"')
        return NULL;
    /* No escape is shorter than what it stands for. */
    char *text = mem_try(value.len - 1);
    if (text == NULL ||
        json_string_copy(value, text, value.len - 1, ret_len) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

bool json_string_is(struct json_span value, const char *text)
{
    const size_t len = strlen(text);
    char decoded[NAME_CAP];
    size_t decoded_len;

    assert(len < NAME_CAP);
    if (value.len == len + 2 && value.p[0] == '"' &&
        memcmp(value.p + 1, text, len) == 0)
        return true;
    if (value.len <= len + 2 || memchr(value.p, '\\', value.len) == NULL)
        return false;
    return json_string_copy(value, decoded, sizeof(decoded), &decoded_len) ==
               0 &&
           decoded_len == len && memcmp(decoded, text, len) == 0;
}

int json_int_value(struct json_span value, int64_t *ret_n)
{
    const char *p = value.p, *end = value.p + value.len;
    uint64_t n = 0;

    const bool negative = p < end && *p == '-';
    if (negative)
        p++;
    if (p == end || end - p > INT64_DIGITS)
        return ERR_INVALID;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return ERR_INVALID;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (n > (uint64_t)INT64_MAX + negative)
        return ERR_INVALID;
    *ret_n = negative ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}
