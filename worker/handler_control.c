/*
 * The control channel of a run: what a handler process asks of its worker.
 *
 * A run may write any amount in any shape, so everything has a bound: bytes
 * of a line, lines that are logged, warnings. Nothing is answered, and a
 * handler that never heard of it, closes it or fills it with noise runs as if
 * it were not there. Of two requests of one kind the later one counts: a
 * handler may change its mind.
 *
 * A push is different, since a job that is silently not there is a loss. What
 * begins like one and cannot be read is a push that is refused.
 *
 * Thread: the pool thread of the run.
 */
#include "worker/handler_control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/pool.h"
#include "worker/subtask_lines.h"

enum {
    LINES_LOGGED = 1000,    /* of one run, as of its stderr */
    MESSAGE_LOGGED = 4096,  /* bytes of each */
    DURATION_TEXT_MAX = 32, /* "366d", with room */
    NUMBER_TEXT_MAX = 64,
    PUSH_EXTRA = 1024, /* bytes of a line around its envelope */
    HEAD = 64          /* bytes at the front of a line that tell a push */
};

/* The members of a line that any op knows. Absent: p is NULL. */
struct message {
    struct json_span op, after, percent, message, level, job;
    struct subtask_words part;
};

static int on_progress(struct wishes *c, const struct message *m);
static int on_retry(struct wishes *c, const struct message *m);
static int on_snooze(struct wishes *c, const struct message *m);
static int on_log(struct wishes *c, const struct message *m);
static int on_heartbeat(struct wishes *c, const struct message *m);
static int on_push(struct wishes *c, const struct message *m);
static int on_subtask(struct wishes *c, const struct message *m);
static int on_subtasks(struct wishes *c, const struct message *m);
static int on_subtasks_end(struct wishes *c, const struct message *m);
static int on_subtasks_cancel(struct wishes *c, const struct message *m);

static const struct {
    const char *op, *wants; /* wants: said when it is not understood */
    int (*run)(struct wishes *c, const struct message *m);
} ops[] = {
    {"progress",
     "progress wants \"percent\", a number from 0 to 100, and perhaps a text",
     on_progress},
    {"retry", "retry wants \"after\", milliseconds or a text such as \"30s\"",
     on_retry},
    {"snooze", "snooze wants \"after\", milliseconds or a text such as \"30s\"",
     on_snooze},
    {"log", "log wants \"message\", a text, and perhaps \"level\"", on_log},
    {"heartbeat", "", on_heartbeat},
    {"push", "", on_push},
    {"subtask", "", on_subtask},
    {"subtasks",
     "subtasks wants \"order\" finished or emitted, \"on_error\" fail or "
     "collect, \"results\" true or false, and comes before the first subtask",
     on_subtasks},
    {"subtasks_end", "", on_subtasks_end},
    {"subtasks_cancel", "", on_subtasks_cancel},
};
enum { OPS = sizeof(ops) / sizeof(ops[0]) };

void wishes_init(struct wishes *c, struct delivery *d)
{
    *c = (struct wishes){
        .d = d, .heard_ms = clock_ms(), .retry_ms = -1, .snooze_ms = -1};
}

int wishes_duration(struct json_span value, int64_t *ret_ms)
{
    char text[DURATION_TEXT_MAX];
    int64_t ms;
    size_t n;

    if (value.p == NULL)
        return ERR_INVALID;
    if (json_int_value(value, &ms) != 0 &&
        (json_string_copy(value, text, sizeof(text), &n) != 0 ||
         text_parse_duration(text, &ms, NULL) != 0))
        return ERR_INVALID;
    if (ms < 0 || ms > JOB_DURATION_MAX_MS)
        return ERR_INVALID;
    *ret_ms = ms;
    return 0;
}

static int read_percent(struct json_span value, double *ret_percent)
{
    char text[NUMBER_TEXT_MAX];
    double n;

    if (value.p == NULL || json_kind(value) != JSON_IS_NUMBER ||
        value.len >= sizeof(text))
        return ERR_INVALID;
    memcpy(text, value.p, value.len);
    text[value.len] = '\0';
    n = strtod(text, NULL);
    if (!(n >= 0 && n <= 100))
        return ERR_INVALID;
    *ret_percent = n;
    return 0;
}

static int on_progress(struct wishes *c, const struct message *m)
{
    double percent;
    char *text = NULL;
    size_t n;

    if (read_percent(m->percent, &percent) != 0)
        return ERR_INVALID;
    if (m->message.p != NULL) {
        text = json_string_dup(m->message, &n);
        if (text == NULL)
            return ERR_INVALID;
    }
    pool_progress(c->d, percent, text);
    free(text);
    return 0;
}

static int on_retry(struct wishes *c, const struct message *m)
{
    return wishes_duration(m->after, &c->retry_ms);
}

static int on_snooze(struct wishes *c, const struct message *m)
{
    return wishes_duration(m->after, &c->snooze_ms);
}

static int on_log(struct wishes *c, const struct message *m)
{
    enum log_level level = LOG_LVL_INFO;
    char name[8], *text;
    size_t n;

    if (m->level.p != NULL &&
        (json_string_copy(m->level, name, sizeof(name), &n) != 0 ||
         log_level_parse(name, &level, NULL) != 0))
        return ERR_INVALID;
    text = m->message.p != NULL ? json_string_dup(m->message, &n) : NULL;
    if (text == NULL)
        return ERR_INVALID;
    if (++c->logged <= LINES_LOGGED)
        pool_log_own(c->d, level, "log", text,
                     n < MESSAGE_LOGGED ? n : MESSAGE_LOGGED);
    pool_keep(c->d, level, "log", text, n, false);
    free(text);
    return 0;
}

static int on_heartbeat(struct wishes *c, const struct message *m)
{
    (void)c;
    (void)m;
    return 0;
}

/* What it refuses is logged there. */
static int on_push(struct wishes *c, const struct message *m)
{
    if (m->job.p == NULL)
        (void)delivery_push_refuse(c->d, ERR_INVALID,
                                   "\"job\" is missing: an envelope", NULL);
    else
        (void)delivery_push(c->d, m->job.p, m->job.len, NULL);
    return 0;
}

/* ---- sub-tasks ---- */

/* The sub-tasks of this run; NULL, and the run fails, if it can have none. */
static struct subtasks *parts_of(struct wishes *c)
{
    struct errbuf eb;
    struct subtasks *s = !c->alone ? subtasks_of(c->d, &eb) : NULL;

    if (s == NULL && !c->alone && !c->refused) {
        c->refused = true;
        LOG_WARN("subtask_refused", F_STR("job", c->d->job->id),
                 F_STR("type", c->d->job->type), F_STR("queue", c->d->queue),
                 F_STR("error", eb.text));
    }
    return s;
}

/* What cannot be one is one that has failed, so that it is not lost unsaid. */
static int on_subtask(struct wishes *c, const struct message *m)
{
    struct subtasks *s = parts_of(c);

    if (s != NULL)
        c->held = subtask_line_emit(s, &m->part) == ERR_AGAIN;
    return 0;
}

void wishes_lost_subtask(struct wishes *c, const char *why)
{
    struct subtasks *s = parts_of(c);

    if (s != NULL)
        subtasks_refuse(s, NULL, why);
}

static int on_subtasks(struct wishes *c, const struct message *m)
{
    struct subtasks *s = parts_of(c);

    return s != NULL ? subtask_line_options(s, &m->part) : 0;
}

static int on_subtasks_end(struct wishes *c, const struct message *m)
{
    struct subtasks *s = parts_of(c);

    (void)m;
    if (s != NULL)
        subtasks_end(s);
    return 0;
}

static int on_subtasks_cancel(struct wishes *c, const struct message *m)
{
    struct subtasks *s = parts_of(c);

    (void)m;
    if (s != NULL)
        subtasks_cancel(s, CANCEL_JOB);
    return 0;
}

static void pass_over(struct wishes *c, const char *why)
{
    if (c->warned)
        return;
    c->warned = true;
    LOG_WARN("control", F_STR("job", c->d->job->id),
             F_STR("type", c->d->job->type), F_STR("queue", c->d->queue),
             F_INT("line", c->lines), F_STR("error", why),
             F_STR("so", "passed over, and so are others of this run, unsaid"));
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct message *m = arg;

    (void)eb;
    if (json_string_is(key, "op"))
        m->op = value;
    else if (json_string_is(key, "after"))
        m->after = value;
    else if (json_string_is(key, "percent"))
        m->percent = value;
    else if (json_string_is(key, "message"))
        m->message = value;
    else if (json_string_is(key, "level"))
        m->level = value;
    else if (json_string_is(key, "job"))
        m->job = value;
    else
        subtask_words_member(&m->part, key, value);
    return 0;
}

static bool is_blank(const char *p, size_t n)
{
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
        n--;
    return n == 0;
}

/* The longest line that is read: a push of the largest envelope. */
static size_t line_max(const struct wishes *c)
{
    size_t envelope = c->d->envelope_max < PUSHES_MAX_BYTES ? c->d->envelope_max
                                                            : PUSHES_MAX_BYTES;

    return envelope + PUSH_EXTRA > CONTROL_LINE_MAX ? envelope + PUSH_EXTRA
                                                    : CONTROL_LINE_MAX;
}

/* A line that is no message: a push is not lost without a word. */
static void misunderstood(struct wishes *c, const char *p, size_t n,
                          const char *why)
{
    const size_t head = n < HEAD ? n : HEAD;

    if (c->too_long)
        why = "the line is longer than an envelope may be";
    if (n > 0 && memmem(p, head, "\"push\"", 6) != NULL) {
        (void)delivery_push_refuse(c->d, ERR_INVALID, why, NULL);
    } else if (n > 0 && memmem(p, head, "\"subtask\"", 9) != NULL) {
        wishes_lost_subtask(c, why);
    } else {
        pass_over(c, c->too_long ? "more than 64 KiB in one line" : why);
    }
}

/* Returns false when the op is not known. */
static bool obey(struct wishes *c, const struct message *m, size_t len)
{
    for (size_t i = 0; i < OPS; i++) {
        if (!json_string_is(m->op, ops[i].op))
            continue;
        c->heard_ms = clock_ms();
        if (len > CONTROL_LINE_MAX && ops[i].run != on_push &&
            ops[i].run != on_subtask)
            pass_over(c, "more than 64 KiB in one line");
        else if (ops[i].run(c, m) != 0)
            pass_over(c, ops[i].wants);
        return true;
    }
    return false;
}

static void obey_line(struct wishes *c, const char *p, size_t n)
{
    struct message m = {0};
    struct errbuf eb = {""};

    if (is_blank(p, n))
        return;
    if (json_scan_object(p, n, on_member, &m, &eb) != 0) {
        misunderstood(c, p, n, eb.text);
        return;
    }
    if (m.op.p == NULL || json_kind(m.op) != JSON_IS_STRING) {
        pass_over(c, "\"op\" is missing, or is no text");
        return;
    }
    if (!obey(c, &m, n))
        LOG_DEBUG("control_unknown", F_STR("job", c->d->job->id),
                  F_MEM("op", m.op.p, m.op.len < 64 ? m.op.len : 64));
}

/* Keeps a line that has to wait for room. */
static void hold(struct wishes *c, const char *p, size_t n)
{
    buf_clear(&c->held_line);
    buf_append(&c->held_line, p, n);
}

static void take_line(struct wishes *c, const char *p, size_t n)
{
    c->lines++;
    obey_line(c, p, n);
    if (c->held)
        hold(c, p, n);
}

bool wishes_line(struct wishes *c, const char *p, size_t n)
{
    struct message m = {0};
    bool known;

    assert(!c->held);
    c->lines++;
    known = json_scan_object(p, n, on_member, &m, NULL) == 0 &&
            m.op.p != NULL && json_kind(m.op) == JSON_IS_STRING &&
            obey(c, &m, n);
    if (c->held)
        hold(c, p, n);
    return known;
}

int64_t wishes_silent_until(const struct wishes *c)
{
    int64_t ms = c->d->handler->keys.heartbeat_ms;

    return ms > 0 && !c->held ? handler_instant(c->heard_ms, ms) : INT64_MAX;
}

/* Keeps a part of a line whose end has not come; of a long one its head. */
static void keep(struct wishes *c, const char *p, size_t n)
{
    if (c->too_long)
        return;
    c->too_long = c->line.len + n > line_max(c);
    if (!c->too_long) {
        buf_append(&c->line, p, n);
        return;
    }
    struct buf head = {0};
    buf_append(&head, c->line.data, c->line.len < HEAD ? c->line.len : HEAD);
    buf_append(&head, p, n < HEAD - head.len ? n : HEAD - head.len);
    buf_done(&c->line);
    c->line = head;
}

static void end_line(struct wishes *c)
{
    if (c->too_long) {
        c->lines++;
        misunderstood(c, c->line.data, c->line.len, "");
    } else {
        take_line(c, c->line.data, c->line.len);
    }
    c->too_long = false;
    if (c->line.cap > CONTROL_LINE_MAX)
        buf_done(&c->line);
    else
        buf_clear(&c->line);
}

/* Returns how much was taken: all of it, unless a line is held. */
static size_t feed(struct wishes *c, const char *p, size_t n)
{
    const char *const start = p;

    while (n > 0 && !c->held) {
        const char *end = memchr(p, '\n', n);
        size_t part = end != NULL ? (size_t)(end - p) : n;
        bool begun = c->line.len > 0 || c->too_long;

        if (end != NULL && !begun && part <= line_max(c)) {
            take_line(c, p, part);
        } else {
            keep(c, p, part);
            if (end == NULL)
                return (size_t)(p - start) + part;
            end_line(c);
        }
        p += part + 1;
        n -= part + 1;
    }
    return (size_t)(p - start);
}

void wishes_feed(struct wishes *c, const char *p, size_t n)
{
    size_t taken;

    assert(!c->held || n == 0);
    taken = feed(c, p, n);
    if (taken < n)
        buf_append(&c->rest, p + taken, n - taken);
}

bool wishes_resume(struct wishes *c)
{
    struct buf line;

    if (!c->held)
        return true;
    c->held = false;
    line = c->held_line;
    c->held_line = (struct buf){0};
    obey_line(c, line.data, line.len);
    if (c->held)
        c->held_line = line;
    else
        buf_done(&line);
    if (!c->held)
        c->rest_at +=
            feed(c, c->rest.data + c->rest_at, c->rest.len - c->rest_at);
    if (c->rest_at == c->rest.len) {
        c->rest_at = 0;
        buf_done(&c->rest);
    }
    return !c->held;
}

void wishes_settle(struct wishes *c, int cancel_fd)
{
    while (!wishes_resume(c))
        subtasks_wait(c->d->subtasks, cancel_fd);
}

/* In the way of its cancel, if that is why. */
void wishes_failed(struct wishes *c)
{
    c->alone = true;
    subtasks_stop(c->d);
}

void wishes_last(struct wishes *c)
{
    if (c->line.len > 0 || c->too_long)
        end_line(c);
}

void wishes_end(struct wishes *c)
{
    wishes_last(c);
    buf_done(&c->line);
    buf_done(&c->held_line);
    buf_done(&c->rest);
    if (c->logged > LINES_LOGGED)
        LOG_WARN("log_not_logged", F_STR("job", c->d->job->id),
                 F_STR("type", c->d->job->type), F_STR("queue", c->d->queue),
                 F_INT("lines", c->logged - LINES_LOGGED));
}

void wishes_judge(const struct wishes *c)
{
    struct outcome *o = &c->d->outcome;

    if (c->refused &&
        (o->verdict == VERDICT_DONE || strcmp(o->error_class, "subtask") == 0))
        handler_fail(c->d, VERDICT_RETRY, "subtask", "%s",
                     c->d->part != NULL ? "a sub-task may not have sub-tasks"
                                        : "it can have no sub-tasks here");
    if (o->verdict == VERDICT_DONE && c->snooze_ms >= 0) {
        o->verdict = VERDICT_SNOOZE;
        o->delay_ms = c->snooze_ms;
    } else if (o->verdict == VERDICT_RETRY && c->retry_ms >= 0) {
        o->delay_ms = c->retry_ms;
    }
}
