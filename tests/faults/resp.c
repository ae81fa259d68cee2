/*
 * RESP: where values end.
 *
 * Arrays need no stack: a value is complete when no more values are owed, and
 * the header of an array owes as many as it says.
 *
 * Thread: any, one for each scanner.
 */
#include "tests/faults/resp.h"

#include <string.h>

/* More is no length of Redis, and must not overflow. */
#define NUMBER_MAX (UINT64_C(1) << 40)

static void value_done(struct resp *s)
{
    s->state = RESP_TYPE;
    if (s->more_values == 0)
        s->done = true;
    else
        s->more_values--;
}

static void line_done(struct resp *s)
{
    s->state = RESP_TYPE;
    if (s->type == '$' && !s->nil) {
        s->state = RESP_STRING;
        s->left = s->number + 2;
    } else if (s->type == '*' && !s->nil) {
        s->more_values += (int64_t)s->number;
        value_done(s);
    } else {
        value_done(s);
    }
}

static void take_byte(struct resp *s, char c)
{
    bool counted = s->type == '$' || s->type == '*';
    if (s->state == RESP_TYPE) {
        s->bad = strchr("+-:$*", c) == NULL || c == '\0';
        s->type = c;
        s->nil = false;
        s->number = 0;
        s->state = RESP_LINE;
    } else if (c == '\n') {
        line_done(s);
    } else if (counted && c == '-') {
        s->nil = true;
    } else if (counted && c >= '0' && c <= '9' && s->number < NUMBER_MAX) {
        s->number = s->number * 10 + (uint64_t)(c - '0');
    } else if (counted && c != '\r') {
        s->bad = true;
    }
}

static void note_word(struct resp *s, const char *p, size_t n)
{
    if (s->strings >= 2)
        return;
    struct resp_word *w = &s->words[s->strings];
    if (n > RESP_WORD_MAX - w->len)
        n = RESP_WORD_MAX - w->len;
    memcpy(w->text + w->len, p, n);
    w->len += n;
    w->text[w->len] = '\0';
}

static size_t take_string(struct resp *s, const char *p, size_t n)
{
    if (n > s->left)
        n = (size_t)s->left;
    uint64_t text = s->left > 2 ? s->left - 2 : 0;
    note_word(s, p, n < text ? n : (size_t)text);
    s->left -= n;
    if (s->left == 0) {
        s->strings++;
        value_done(s);
    }
    return n;
}

size_t resp_scan(struct resp *s, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && !s->done && !s->bad) {
        if (s->state == RESP_STRING)
            i += take_string(s, p + i, n - i);
        else
            take_byte(s, p[i++]);
    }
    return i;
}

bool resp_words_known(const struct resp *s)
{
    return s->done || s->strings >= 2 ||
           (s->strings == 1 && s->words[1].len == RESP_WORD_MAX);
}
