/*
 * Match: which route a path is for.
 *
 * Both are compared part by part, undecoded, so that %2F is no end of a part.
 * The table is short, and its first rows are what is asked most.
 *
 * Thread: any.
 */
#include "producer/serve/match.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static bool matches(const char *pattern, const char *path, struct match *m)
{
    m->count = 0;
    while (*pattern == '/' && *path == '/') {
        const char *pattern_end = strchrnul(++pattern, '/');
        const char *path_end = strchrnul(++path, '/');
        size_t n = (size_t)(path_end - path);
        if (*pattern == '{') {
            if (n == 0)
                return false;
            m->params[m->count].name = pattern + 1;
            m->params[m->count].name_len = (size_t)(pattern_end - pattern - 2);
            m->params[m->count].text = path;
            m->params[m->count++].len = n;
        } else if (n != (size_t)(pattern_end - pattern) ||
                   memcmp(pattern, path, n) != 0) {
            return false;
        }
        pattern = pattern_end;
        path = path_end;
    }
    return *pattern == '\0' && *path == '\0';
}

void match_path(const char *method, const char *path, struct match *ret)
{
    struct match m = {0};
    *ret = m;
    for (const struct route *r = routes; r->method; r++) {
        if (!matches(r->path, path, &m))
            continue;
        ret->known = true;
        if (strcmp(r->method, method) != 0)
            continue;
        m.known = true;
        m.route = r;
        *ret = m;
        return;
    }
}

void match_methods(const char *path, struct buf *out)
{
    struct match m;
    for (const struct route *r = routes; r->method; r++) {
        if (!matches(r->path, path, &m))
            continue;
        if (out->len > 0)
            buf_str(out, ", ");
        buf_str(out, r->method);
        if (strcmp(r->method, "GET") == 0)
            buf_str(out, ", HEAD");
    }
}

int percent_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *percent_decode(const char *s, size_t n, bool plus)
{
    char *out = mem_new(n + 1);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            if (plus && s[i] == '+')
                out[len++] = ' ';
            else
                out[len++] = s[i];
            continue;
        }
        int high = n - i > 2 ? percent_digit(s[i + 1]) : -1;
        int low = n - i > 2 ? percent_digit(s[i + 2]) : -1;
        if (high < 0 || low < 0) {
            free(out);
            return NULL;
        }
        out[len++] = (char)(high * 16 + low);
        i += 2;
    }
    if (text_utf8_error(out, len) == len && text_control(out, len) == len)
        return out;
    free(out);
    return NULL;
}
