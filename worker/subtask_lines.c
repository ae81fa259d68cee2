/*
 * Sub-tasks by lines of JSON.
 *
 * Results become lines only as the parent reads them: a pipe and a buffer of
 * its size are on their way, the rest waits as it came, within its bound.
 *
 * Thread: that of the parent's run.
 */
#include "worker/subtask_lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/handler_control.h"
#include "worker/subtask_priv.h"

enum { OUT_MAX = 32 * 1024 }; /* gathered for one write */

void subtask_words_member(struct subtask_words *w, struct json_span key,
                          struct json_span value)
{
    const struct {
        const char *name;
        struct json_span *at;
    } members[] = {
        {"type", &w->type},       {"payload", &w->payload},
        {"key", &w->key},         {"timeout", &w->timeout},
        {"order", &w->order},     {"on_error", &w->on_error},
        {"results", &w->results},
    };

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (json_string_is(key, members[i].name))
            *members[i].at = value;
}

/* ---- what the parent says ---- */

/* What is wrong with a line of op subtask, or NULL; then spec is filled in. */
static const char *read_spec(const struct subtask_words *w,
                             char type[JOB_TYPE_MAX_LEN + 1],
                             char key[SUBTASK_KEY_MAX + 1],
                             struct subtask_spec *spec)
{
    size_t n;

    *spec = (struct subtask_spec){.type = type, .payload = w->payload};
    if (w->key.p != NULL) {
        if (json_string_copy(w->key, key, SUBTASK_KEY_MAX + 1, &n) != 0)
            return "\"key\" is no text, or has more than 256 bytes";
        spec->key = key;
    }
    if (w->type.p == NULL ||
        json_string_copy(w->type, type, JOB_TYPE_MAX_LEN + 1, &n) != 0)
        return "\"type\" is missing, or is no type";
    if (w->timeout.p != NULL &&
        (wishes_duration(w->timeout, &spec->timeout_ms) != 0 ||
         spec->timeout_ms == 0))
        return "\"timeout\" wants milliseconds or a text such as \"30s\"";
    return NULL;
}

int subtask_line_emit(struct subtasks *s, const struct subtask_words *w)
{
    char type[JOB_TYPE_MAX_LEN + 1], key[SUBTASK_KEY_MAX + 1];
    struct subtask_spec spec;
    struct errbuf eb = {""};
    const char *why = read_spec(w, type, key, &spec);
    int rc = 0;

    subtasks_gather(s);
    if (why == NULL) {
        rc = subtasks_try_emit(s, &spec, &eb);
        if (rc != 0 && rc != ERR_AGAIN && rc != ERR_CLOSED)
            why = eb.text;
    }
    if (why != NULL)
        subtasks_refuse(s, spec.key, why);
    return rc == ERR_AGAIN ? rc : 0;
}

/* Whether value, if it is there, is one of two texts; sets *ret then. */
static int read_choice(struct json_span value, const char *no, const char *yes,
                       bool *ret)
{
    if (value.p == NULL)
        return 0;
    *ret = json_string_is(value, yes);
    return *ret || json_string_is(value, no) ? 0 : ERR_INVALID;
}

int subtask_line_options(struct subtasks *s, const struct subtask_words *w)
{
    struct subtasks_options o = {0};
    bool emitted = false, collect = false;

    if (read_choice(w->order, "finished", "emitted", &emitted) != 0 ||
        read_choice(w->on_error, "fail", "collect", &collect) != 0)
        return ERR_INVALID;
    if (w->results.p != NULL) {
        enum json_kind kind = json_kind(w->results);

        if (kind != JSON_IS_TRUE && kind != JSON_IS_FALSE)
            return ERR_INVALID;
        o.no_results = kind == JSON_IS_FALSE;
    }
    o.order = emitted ? SUBTASK_EMITTED : SUBTASK_FINISHED;
    o.on_error = collect ? SUBTASK_COLLECT : SUBTASK_FAIL;
    return subtasks_set_options(s, &o, NULL);
}

/* ---- what it is told ---- */

/* JSON as it is, anything else as a text. Ends of lines in JSON are blanks. */
static void put_result(struct buf *out, const struct buf *result)
{
    size_t len = result->len, at = out->len;

    while (len > 0 && strchr(" \t\r\n", result->data[len - 1]) != NULL)
        len--;
    if (len == 0) {
        buf_str(out, "null");
        return;
    }
    if (json_check_member(result->data, len, NULL) != 0) {
        buf_json_string(out, result->data, result->len);
        return;
    }
    buf_append(out, result->data, len);
    for (; at < out->len; at++)
        if (out->data[at] == '\n')
            out->data[at] = ' ';
}

static void put_op(struct buf *out, const char *op, const char *id)
{
    buf_printf(out, "{\"op\":\"%s\"", op);
    if (id != NULL)
        buf_printf(out, ",\"id\":\"%s\"", id);
}

static void put_line(struct buf *out, const char *id, const struct subtask *t)
{
    put_op(out, "result", id);
    buf_printf(out, ",\"number\":%" PRId64, t->number);
    if (t->key != NULL) {
        buf_str(out, ",\"key\":");
        buf_json_string(out, t->key, strlen(t->key));
    }
    buf_printf(out, ",\"state\":\"%s\"", subtask_state_name(t->state));
    if (t->state == SUBTASK_DONE) {
        buf_str(out, ",\"result\":");
        put_result(out, &t->result);
        if (t->result_truncated)
            buf_str(out, ",\"truncated\":true");
    } else {
        buf_printf(out,
                   ",\"error\":{\"class\":\"%s\",\"message\":", t->error_class);
        buf_json_string(out, t->message.data, t->message.len);
        buf_char(out, '}');
    }
    buf_str(out, "}\n");
}

static void put_end(struct buf *out, const char *id, struct subtasks *s)
{
    put_op(out, "end", id);
    for (int i = 0; i < SUBTASK_STATES; i++)
        buf_printf(out, ",\"%s\":%" PRId64, subtask_state_name(i),
                   subtasks_count(s, i));
    buf_str(out, "}\n");
}

int subtask_line_next(struct subtasks *s, const char *id, struct buf *out)
{
    struct subtask *t;
    int rc = subtasks_try_next(s, &t);

    if (rc == ERR_CLOSED && !s->end_told && !subtasks_failed(s)) {
        s->end_told = true;
        put_end(out, id, s);
        return 0;
    }
    if (rc != 0)
        return rc;
    put_line(out, id, t);
    subtask_free(t);
    return 0;
}

/* Returns false when there is nothing to write now. */
static bool gather(struct subtask_lines *l, struct subtasks *s)
{
    int rc = 0;

    if (l->sent > 0 && l->sent == l->out.len) {
        l->sent = 0;
        buf_clear(&l->out);
    }
    while (!l->closed && rc == 0 && l->out.len - l->sent < OUT_MAX) {
        rc = subtask_line_next(s, NULL, &l->out);
        l->closed = rc == ERR_CLOSED;
    }
    return l->sent < l->out.len;
}

static void close_fd(int *fd)
{
    close(*fd);
    *fd = -1;
}

bool subtask_lines_write(struct subtask_lines *l, struct subtasks *s, int *fd)
{
    while (*fd >= 0 && gather(l, s)) {
        ssize_t n;

        do
            n = write(*fd, l->out.data + l->sent, l->out.len - l->sent);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) { /* nobody reads them */
            close_fd(fd);
            subtasks_drop_results(s);
            return false;
        }
        l->sent += (size_t)n;
    }
    if (*fd >= 0 && l->closed)
        close_fd(fd);
    return false;
}

void subtask_lines_done(struct subtask_lines *l)
{
    buf_done(&l->out);
}
