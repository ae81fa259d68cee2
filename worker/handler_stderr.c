/*
 * What a handler process says on stderr: log lines, and the tail for a failure.
 *
 * A run may write any amount in any shape, so the tail has a bound, as the
 * lines have (handler_lines.h).
 *
 * Thread: the pool thread of the run.
 */
#include "worker/handler_stderr.h"

#include <string.h>

void stderr_log_init(struct stderr_log *s, struct delivery *d,
                     const char *source, size_t tail_max)
{
    run_lines_init(&s->lines, d, source);
    s->tail = (struct buf){0};
    s->tail_max = tail_max;
}

static void keep_tail(struct stderr_log *s, const char *p, size_t n)
{
    size_t max = s->tail_max, drop;

    if (n > max) {
        p += n - max;
        n = max;
    }
    /* Twice the size is kept, so that bytes move once in max bytes. */
    if (s->tail.len + n > 2 * max) {
        drop = s->tail.len + n - max;
        memmove(s->tail.data, s->tail.data + drop, s->tail.len - drop);
        s->tail.len -= drop;
    }
    buf_append(&s->tail, p, n);
}

void stderr_log_feed(struct stderr_log *s, const char *p, size_t n)
{
    keep_tail(s, p, n);
    run_lines_feed(&s->lines, p, n);
}

void stderr_log_end(struct stderr_log *s)
{
    size_t extra;

    run_lines_end(&s->lines);
    if (s->tail.len <= s->tail_max)
        return;
    extra = s->tail.len - s->tail_max;
    memmove(s->tail.data, s->tail.data + extra, s->tail_max);
    s->tail.len = s->tail_max;
    s->tail.data[s->tail.len] = '\0';
}

size_t stderr_log_last_line(const struct stderr_log *s, const char **ret_line)
{
    const char *data = s->tail.data;
    size_t end = s->tail.len, start;

    if (end == 0)
        return 0;
    while (end > 0 && strchr(" \t\r\n", data[end - 1]) != NULL)
        end--;
    for (start = end; start > 0 && data[start - 1] != '\n'; start--)
        continue;
    *ret_line = data + start;
    return end - start;
}
