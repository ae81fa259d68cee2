/*
 * Query: what stands behind the question mark.
 *
 * Thread: any.
 */
#include "producer/serve/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

enum { TEXT_SHOWN = 512 };

bool query_is_wrong(struct answer *a, const char *name, const char *fmt, ...)
{
    char text[TEXT_SHOWN];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    answer_problem(a, 400, "invalid-query", "%s: %s", name, text);
    return false;
}

bool query_int(const struct request *r, const char *name, int64_t min,
               int64_t max, int64_t *ret, struct answer *a)
{
    const char *text = request_query(r, name);
    struct errbuf eb;

    if (!text || text_parse_int(text, min, max, NULL, ret, &eb) == 0)
        return true;
    return query_is_wrong(a, name, "%s", eb.text);
}

bool query_span(const struct request *r, const char *name, int64_t min_ms,
                int64_t max_ms, int64_t *ret_ms, struct answer *a)
{
    const char *text = request_query(r, name);
    char least[32], most[32];
    int64_t ms;

    if (!text)
        return true;
    if (text_parse_int(text, 0, INT64_MAX / 1000, NULL, &ms, NULL) == 0)
        ms *= 1000;
    else if (text_parse_duration(text, &ms, NULL) != 0)
        return query_is_wrong(a, name, "%s: neither seconds nor a span (10m)",
                              text);
    if (ms < min_ms || ms > max_ms)
        return query_is_wrong(a, name, "%s: not from %s to %s", text,
                              text_format_duration(min_ms, least),
                              text_format_duration(max_ms, most));
    *ret_ms = ms;
    return true;
}

bool query_bool(const struct request *r, const char *name, bool *ret,
                struct answer *a)
{
    const char *text = request_query(r, name);
    struct errbuf eb;

    if (!text || text_parse_switch(text, ret, &eb) == 0)
        return true;
    return query_is_wrong(a, name, "%s", eb.text);
}

/* ---- pages ---- */

void cursor_append(struct buf *out, const char *place, size_t n)
{
    size_t from = out->len;

    buf_base64(out, place, n);
    for (size_t i = from; i < out->len; i++) {
        if (out->data[i] == '+')
            out->data[i] = '-';
        else if (out->data[i] == '/')
            out->data[i] = '_';
    }
    while (out->len > from && out->data[out->len - 1] == '=')
        out->data[--out->len] = '\0';
}

bool cursor_read(const char *cursor, struct buf *out)
{
    struct buf plain = {0};

    for (const char *p = cursor; *p; p++) {
        if (*p == '+' || *p == '/' || *p == '=') {
            buf_done(&plain);
            return false;
        }
        if (*p == '-')
            buf_char(&plain, '+');
        else if (*p == '_')
            buf_char(&plain, '/');
        else
            buf_char(&plain, *p);
    }
    while (plain.len % 4 != 0)
        buf_char(&plain, '=');
    bool right = plain.len > 0 && buf_unbase64(out, plain.data, plain.len);
    buf_done(&plain);
    return right;
}

bool cursor_word(const char **p, const char *end, char *out, size_t cap)
{
    const char *space = memchr(*p, ' ', (size_t)(end - *p));

    if (!space || (size_t)(space - *p) >= cap || space == *p ||
        memchr(*p, '\0', (size_t)(space - *p)))
        return false;
    memcpy(out, *p, (size_t)(space - *p));
    out[space - *p] = '\0';
    *p = space + 1;
    return true;
}

static void append_escaped(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (const char *p = text; *p; p++) {
        if (strchr(plain, *p))
            buf_char(out, *p);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*p);
    }
}

void answer_next(struct answer *a, const struct request *r,
                 const char *const *names, const char *cursor)
{
    struct buf url = {0};

    for (size_t i = 0; names[i]; i++) {
        const char *value = request_query(r, names[i]);
        if (!value || strcmp(names[i], "cursor") == 0)
            continue;
        buf_printf(&url, "%s=", names[i]);
        append_escaped(&url, value);
        buf_char(&url, '&');
    }
    buf_printf(&url, "cursor=%s", cursor);
    answer_header(a, "Link", "<?%s>; rel=\"next\"", url.data);
    buf_done(&url);
}
