/*
 * Lines of a child, and what they say.
 *
 * A child may write anything: what is no JSON object with an op is output, for
 * the log. One exception: a line that begins as an answer does, but is broken,
 * or too long, is an answer that cannot be understood. Were it taken for output
 * the job would hang until its time is up, and nobody would know why. The same
 * for a push, which is not to be lost without a word.
 *
 * Thread: the owner of the child.
 */
#include "worker/handler_process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum {
    KEPT_MEMORY = 64 * 1024, /* of longer lines the memory is given back */
    KEPT_OF_CUT = PROCESS_LOG_LINE_MAX,
    MESSAGE_MAX = 8 * 1024 /* of an error; less of it is kept with a job */
};

/* Keeps a part of a line whose end has not come. */
static void keep(struct process_lines *l, const char *p, size_t n, size_t max)
{
    if (l->cut)
        return;
    if (l->part.len + n > max) {
        size_t room = l->part.len < KEPT_OF_CUT ? KEPT_OF_CUT - l->part.len : 0;

        buf_append(&l->part, p, n < room ? n : room);
        if (l->part.len > KEPT_OF_CUT)
            l->part.len = KEPT_OF_CUT;
        l->cut = true;
        return;
    }
    buf_append(&l->part, p, n);
}

static void end_line(struct process_lines *l, process_line_cb cb, void *arg)
{
    cb(arg, l->part.len > 0 ? l->part.data : "", l->part.len, l->cut);
    l->cut = false;
    if (l->part.cap > KEPT_MEMORY)
        buf_done(&l->part);
    else
        buf_clear(&l->part);
}

size_t process_lines_feed_until(struct process_lines *l, const char *p,
                                size_t n, size_t max, process_line_cb cb,
                                void *arg, const bool *stop)
{
    const size_t all = n;

    while (n > 0 && !*stop) {
        const char *end = memchr(p, '\n', n);
        size_t part = end != NULL ? (size_t)(end - p) : n;
        bool begun = l->part.len > 0 || l->cut;

        if (end != NULL && !begun && part <= max) {
            cb(arg, p, part, false);
        } else {
            keep(l, p, part, max);
            if (end == NULL)
                return all;
            end_line(l, cb, arg);
        }
        p += part + 1;
        n -= part + 1;
    }
    return all - n;
}

void process_lines_feed(struct process_lines *l, const char *p, size_t n,
                        size_t max, process_line_cb cb, void *arg)
{
    const bool never = false;

    (void)process_lines_feed_until(l, p, n, max, cb, arg, &never);
}

void process_lines_end(struct process_lines *l, process_line_cb cb, void *arg)
{
    if (l->part.len > 0 || l->cut)
        end_line(l, cb, arg);
    buf_done(&l->part);
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct process_message *m = arg;

    (void)eb;
    if (json_string_is(key, "op"))
        m->op = value;
    else if (json_string_is(key, "id"))
        m->id = value;
    else if (json_string_is(key, "result"))
        m->result = value;
    else if (json_string_is(key, "error"))
        m->error = value;
    else if (json_string_is(key, "retry"))
        m->retry = value;
    else if (json_string_is(key, "retry_after"))
        m->retry_after = value;
    return 0;
}

static const struct {
    const char *op;
    enum process_word word;
} words[] = {{"done", WORD_DONE},
             {"fail", WORD_FAIL},
             {"discard", WORD_DISCARD},
             {"ready", WORD_READY}};
enum { WORDS = sizeof(words) / sizeof(words[0]) };

static void skip_blanks(const char **p, const char *end)
{
    while (*p < end && strchr(" \t\r", **p) != NULL && **p != '\0')
        (*p)++;
}

static bool skip(const char **p, const char *end, const char *text)
{
    size_t n = strlen(text);

    skip_blanks(p, end);
    if ((size_t)(end - *p) < n || memcmp(*p, text, n) != 0)
        return false;
    *p += n;
    return true;
}

/* By how it begins: {"op":"done", with any blanks. */
static enum process_word word_of_broken(const char *p, size_t n)
{
    const char *end = p + n;

    if (!skip(&p, end, "{") || !skip(&p, end, "\"op\"") || !skip(&p, end, ":"))
        return WORD_OUTPUT;
    if (skip(&p, end, "\"push\""))
        return WORD_LOST_PUSH;
    if (skip(&p, end, "\"subtask\""))
        return WORD_LOST_SUBTASK;
    return skip(&p, end, "\"done\"") || skip(&p, end, "\"fail\"") ||
                   skip(&p, end, "\"discard\"")
               ? WORD_BROKEN
               : WORD_OUTPUT;
}

static void read_message(const char *p, size_t n, bool cut,
                         struct process_message *ret)
{
    const char *at = p;

    memset(ret, 0, offsetof(struct process_message, eb));
    ret->eb.text[0] = '\0';
    skip_blanks(&at, p + n);
    if (at == p + n || *at != '{')
        return;
    if (cut) {
        (void)errbuf_set(&ret->eb, ERR_TOO_BIG, "more than %d bytes",
                         PROCESS_LINE_MAX);
        ret->word = word_of_broken(p, n);
        return;
    }
    if (json_scan_object(p, n, on_member, ret, &ret->eb) != 0) {
        ret->word = word_of_broken(p, n);
        return;
    }
    if (ret->op.p == NULL || json_kind(ret->op) != JSON_IS_STRING)
        return;
    ret->word = WORD_CONTROL;
    for (size_t i = 0; i < WORDS; i++)
        if (json_string_is(ret->op, words[i].op))
            ret->word = words[i].word;
    if (ret->id.p == NULL && ret->word != WORD_READY &&
        ret->word != WORD_CONTROL) {
        (void)errbuf_set(&ret->eb, ERR_INVALID, "it has no \"id\"");
        ret->word = WORD_BROKEN;
    }
}

void process_message_read(const char *p, size_t n, bool cut,
                          struct process_message *ret)
{
    static const char begin[] = "{\"op\"";
    const char *at;

    read_message(p, n, cut, ret);
    if (ret->word != WORD_OUTPUT || cut || n == 0)
        return;
    at = memmem(p + 1, n - 1, begin, sizeof(begin) - 1);
    if (at == NULL)
        return;
    read_message(at, n - (size_t)(at - p), false, ret);
    if (ret->eb.text[0] == '\0')
        ret->before = (size_t)(at - p);
    else /* it only looks like one */
        memset(ret, 0, offsetof(struct process_message, eb));
}

struct error {
    struct json_span type, message, trace;
};

static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb)
{
    struct error *e = arg;

    (void)eb;
    if (json_string_is(key, "type"))
        e->type = value;
    else if (json_string_is(key, "message"))
        e->message = value;
    else if (json_string_is(key, "trace"))
        e->trace = value;
    return 0;
}

/* The text of a value, for people; at most max bytes, the last ones if tail. */
static void put_text(struct buf *out, struct json_span v, size_t max, bool tail)
{
    size_t n, from = 0, to;
    char *text;

    if (v.p == NULL || json_kind(v) == JSON_IS_NULL)
        return;
    text = json_string_dup(v, &n);
    if (text == NULL)
        n = v.len; /* a number, or a text with \u0000: as it is written */
    const char *p = text != NULL ? text : v.p;

    to = n;
    if (n > max && tail)
        for (from = n - max; from < n && (p[from] & 0xc0) == 0x80; from++)
            continue;
    else if (n > max)
        for (to = max; to > 0 && (p[to] & 0xc0) == 0x80; to--)
            continue;
    buf_append(out, p + from, to - from);
    free(text);
}

static void judge_fail(const struct process_message *m, struct delivery *d,
                       struct wishes *w, struct buf *ret_trace)
{
    struct outcome *o = &d->outcome;
    struct error e = {.message = m->error};
    struct errbuf eb;
    struct buf type = {0};
    bool dead = m->retry.p != NULL && json_kind(m->retry) == JSON_IS_FALSE;

    if (m->error.p != NULL && json_kind(m->error) == JSON_IS_OBJECT) {
        e.message.p = NULL;
        (void)json_scan_object(m->error.p, m->error.len, on_error_member, &e,
                               &eb);
    }
    put_text(&type, e.type, sizeof(o->error_class) - 1, false);
    handler_fail(d, dead ? VERDICT_DEAD : VERDICT_RETRY,
                 type.len > 0 ? type.data : "fail", "%s", "");
    buf_done(&type);
    put_text(&o->message, e.message, MESSAGE_MAX, false);
    if (o->message.len == 0)
        buf_str(&o->message, "failed");
    put_text(ret_trace, e.trace, d->handler->limits.stderr_max, true);
    if (m->retry_after.p != NULL &&
        wishes_duration(m->retry_after, &w->retry_ms) != 0)
        LOG_WARN("process", F_STR("job", d->job->id),
                 F_STR("type", d->job->type), F_STR("queue", d->queue),
                 F_STR("error", "\"retry_after\" is no delay"),
                 F_STR("so", "its retry policy says when"));
}

void process_message_judge(const struct process_message *m, struct delivery *d,
                           struct wishes *w, struct buf *ret_trace)
{
    struct outcome *o = &d->outcome;
    size_t max = d->handler->limits.result_max;

    switch (m->word) {
    case WORD_DONE:
        o->verdict = VERDICT_DONE;
        o->exit_status = 0;
        o->result_truncated = m->result.len > max;
        if (m->result.p != NULL)
            buf_append(&o->result, m->result.p,
                       m->result.len < max ? m->result.len : max);
        break;
    case WORD_FAIL:
        o->exit_status = 1;
        judge_fail(m, d, w, ret_trace);
        break;
    case WORD_DISCARD:
        handler_fail(d, VERDICT_DISCARD, "discard", "discarded by its handler");
        o->exit_status = 99;
        break;
    default:
        handler_fail(d, VERDICT_RETRY, "protocol",
                     "its answer is not understood: %s", m->eb.text);
        o->exit_status = 1;
    }
}

/* JSON with its line ends, which only are between its parts, made blanks. */
static void put_value(struct buf *b, struct json_span v)
{
    size_t at = b->len;

    buf_append(b, v.p, v.len);
    for (char *p = b->data + at; (p = strpbrk(p, "\r\n")) != NULL;)
        *p = ' ';
}

void process_say_job(struct process *p, const struct delivery *d)
{
    const struct job *job = d->job;
    int64_t at = handler_instant(clock_wall_ms(), handler_timeout_ms(d));
    struct buf b = {0};

    buf_str(&b, "{\"op\":\"job\",\"id\":");
    buf_json_string(&b, job->id, strlen(job->id));
    buf_str(&b, ",\"type\":");
    buf_json_string(&b, job->type, strlen(job->type));
    buf_str(&b, ",\"queue\":");
    buf_json_string(&b, d->queue, strlen(d->queue));
    buf_printf(&b,
               ",\"attempt\":%" PRId64 ",\"max_attempts\":%" PRId64
               ",\"recovered\":%u,\"deadline\":%" PRId64 ".%03d",
               handler_instant(job->attempt, 1), handler_max_attempts(d),
               job->recovered_count, at / 1000, (int)(at % 1000));
    if (d->fence != 0)
        buf_printf(&b, ",\"fence\":%" PRId64, d->fence);
    if (job->meta.p != NULL) {
        buf_str(&b, ",\"meta\":");
        put_value(&b, job->meta);
    }
    buf_str(&b, ",\"payload\":");
    put_value(&b, job->payload);
    buf_str(&b, "}\n");
    process_say(p, b.data, b.len);
    buf_done(&b);
}
