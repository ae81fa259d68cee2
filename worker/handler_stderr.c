/*
 * What a handler process says on stderr: log lines, and the tail for a failure.
 *
 * A run may write any amount in any shape, so everything has a bound: bytes
 * of a line, lines of a run that are logged, bytes of the tail. What exceeds
 * them is counted and named once at the end.
 *
 * Thread: the pool thread of the run.
 */
#include "worker/handler_stderr.h"

#include <string.h>

#include "common/base/log.h"
#include "worker/pool.h"

enum { LINES_LOGGED = 1000 }; /* of one run; 4 MiB of log at the very worst */

void stderr_log_init(struct stderr_log *s, struct delivery *d)
{
    s->d = d;
    s->tail = (struct buf){0};
    s->tail_max = d->handler->limits.stderr_max;
    s->lines = 0;
    s->len = 0;
    s->in_line = false;
}

static void end_line(struct stderr_log *s)
{
    if (s->lines < LINES_LOGGED && s->len > 0)
        pool_log(s->d, LOG_LVL_INFO, "stderr", s->line, s->len);
    s->lines++;
    s->len = 0;
    s->in_line = false;
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
    while (n > 0) {
        const char *end = memchr(p, '\n', n);
        size_t part = end != NULL ? (size_t)(end - p) : n;
        size_t room = sizeof(s->line) - s->len;

        if (s->lines < LINES_LOGGED) {
            size_t take = part < room ? part : room;

            memcpy(s->line + s->len, p, take);
            s->len += take;
        }
        s->in_line = true;
        if (end == NULL)
            return;
        end_line(s);
        p += part + 1;
        n -= part + 1;
    }
}

void stderr_log_end(struct stderr_log *s)
{
    size_t extra;

    if (s->in_line)
        end_line(s);
    if (s->lines > LINES_LOGGED)
        LOG_WARN("stderr_not_logged", F_STR("job", s->d->job->id),
                 F_STR("type", s->d->job->type), F_STR("queue", s->d->queue),
                 F_INT("lines", s->lines - LINES_LOGGED));
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
