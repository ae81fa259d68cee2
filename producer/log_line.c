/*
 * Log line: from JSON. What strangers wrote there and is something else, is not
 * there.
 *
 * Thread: any.
 */
#include "producer/log_line.h"

#include <stdlib.h>

#include "common/job/json.h"

struct members {
    struct json_span n, at, attempt, source, level, message, raw, more;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct members *m = arg;
    const struct {
        const char *name;
        struct json_span *place;
    } all[] = {
        {"n", &m->n},           {"at", &m->at},       {"attempt", &m->attempt},
        {"source", &m->source}, {"level", &m->level}, {"message", &m->message},
        {"raw", &m->raw},       {"more", &m->more}};

    (void)eb;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (json_string_is(key, all[i].name))
            *all[i].place = value;
    }
    return 0;
}

static int64_t number(struct json_span value)
{
    int64_t n;

    return value.p && json_int_value(value, &n) == 0 ? n : 0;
}

static void word(struct json_span value, char out[16])
{
    size_t n;

    if (!value.p || json_string_copy(value, out, 16, &n) != 0)
        out[0] = '\0';
}

static void read_text(const struct members *m, struct log_line *ret)
{
    size_t n = 0;
    char *text = m->message.p ? json_string_dup(m->message, &n)
                              : (m->raw.p ? json_string_dup(m->raw, &n) : NULL);

    buf_clear(&ret->text);
    ret->raw = !m->message.p && text != NULL;
    if (ret->raw)
        ret->raw = buf_unbase64(&ret->text, text, n);
    else if (text)
        buf_append(&ret->text, text, n);
    free(text);
}

bool log_line_read(const char *p, size_t n, struct log_line *ret)
{
    struct members m = {0};

    if (json_scan_object(p, n, on_member, &m, NULL) != 0)
        return false;
    ret->n = number(m.n);
    if (ret->n <= 0)
        return false;
    ret->at_ms = number(m.at);
    ret->attempt = number(m.attempt);
    word(m.source, ret->source);
    word(m.level, ret->level);
    ret->more = m.more.p && json_kind(m.more) == JSON_IS_TRUE;
    read_text(&m, ret);
    return true;
}

void log_line_done(struct log_line *l)
{
    buf_done(&l->text);
}
