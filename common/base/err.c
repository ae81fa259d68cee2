/*
 * Error codes and the texts people read.
 *
 * A text grows from the inside out: the place that failed sets it, each
 * caller that knows more puts its words in front. When it gets too long the
 * innermost part is cut, since the outer words tell where to look.
 *
 * Thread: any; an errbuf belongs to one thread.
 */
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_str(int err)
{
    static const char *const texts[ERR_COUNT] = {
#define ERR_TEXT(name, text) text,
        ERR_LIST(ERR_TEXT)
#undef ERR_TEXT
    };
    if (err == 0)
        return "ok";
    if (err > 0 || err < -ERR_COUNT)
        return "unknown error";
    return texts[-err - 1];
}

int errbuf_set(struct errbuf *eb, int err, const char *fmt, ...)
{
    if (eb == NULL)
        return err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(eb->text, sizeof(eb->text), fmt, ap);
    va_end(ap);
    return err;
}

static void append_cut(struct errbuf *eb, const char *s)
{
    size_t used = strlen(eb->text), n = strlen(s);
    size_t room = sizeof(eb->text) - 1 - used;
    if (n > room)
        n = room;
    memcpy(eb->text + used, s, n);
    eb->text[used + n] = '\0';
}

int errbuf_wrap(struct errbuf *eb, int err, const char *fmt, ...)
{
    if (eb == NULL)
        return err;
    struct errbuf inner = *eb;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(eb->text, sizeof(eb->text), fmt, ap);
    va_end(ap);
    append_cut(eb, ": ");
    append_cut(eb, inner.text);
    return err;
}
