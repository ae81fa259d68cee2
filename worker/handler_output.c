/*
 * The outputs of a run: what becomes of them.
 *
 * Thread: the pool thread of the run.
 */
#include "worker/handler_output.h"

#include "common/base/log.h"

enum { MESSAGE_LINE_MAX = 200 }; /* of stderr's last line, in a message */

void run_output_init(struct run_output *o, struct delivery *d, bool is_command)
{
    const struct handler_limits *l = &d->handler->limits;

    o->d = d;
    o->is_command = is_command;
    o->out_bytes = 0;
    if (is_command)
        stderr_log_init(&o->out, d, "stdout", l->result_max);
    stderr_log_init(&o->err, d, "stderr", l->stderr_max);
}

void run_output_out(struct run_output *o, const char *p, size_t n)
{
    struct buf *result = &o->d->outcome.result;
    size_t room = o->d->handler->limits.result_max - result->len;

    o->out_bytes += n;
    if (o->is_command)
        stderr_log_feed(&o->out, p, n);
    else if (n > 0 && room > 0)
        buf_append(result, p, n < room ? n : room);
}

void run_output_err(struct run_output *o, const char *p, size_t n)
{
    stderr_log_feed(&o->err, p, n);
}

static void keep_result(struct run_output *o)
{
    struct outcome *out = &o->d->outcome;

    out->result_truncated = o->out_bytes > out->result.len;
    if (out->result_truncated)
        LOG_WARN("result_truncated", F_STR("job", o->d->job->id),
                 F_INT("bytes", (int64_t)o->out_bytes),
                 F_INT("kept", (int64_t)out->result.len));
}

static void keep_failure(struct run_output *o)
{
    struct outcome *out = &o->d->outcome;
    const char *line;
    size_t n = stderr_log_last_line(&o->err, &line);

    out->stderr_tail = o->err.tail;
    o->err.tail = (struct buf){0};
    if (n > 0) {
        buf_str(&out->message, ": ");
        buf_append(&out->message, line,
                   n < MESSAGE_LINE_MAX ? n : MESSAGE_LINE_MAX);
    }
}

void run_output_keep(struct run_output *o)
{
    struct outcome *out = &o->d->outcome;

    stderr_log_end(&o->err);
    if (o->is_command) {
        stderr_log_end(&o->out);
        out->result = o->out.tail;
    }
    if (out->verdict == VERDICT_DONE)
        keep_result(o);
    else
        buf_done(&out->result);
    /* A snooze is neither a result nor a failure. */
    if (out->verdict != VERDICT_DONE && out->verdict != VERDICT_SNOOZE)
        keep_failure(o);
    buf_done(&o->err.tail);
}
