/*
 * Lines of a run: two logs with bounds of their own.
 *
 * The worker's log is for whoever runs the worker, so a run gets so many lines
 * of it, its first ones. What is kept of a job is a ring of its last ones
 * (run_log.h), so that gets all of them, and byte for byte: a piece that is no
 * whole line says so.
 *
 * Thread: the pool thread of the run.
 */
#include "worker/handler_lines.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "worker/pool.h"

enum { LINES_LOGGED = 1000 }; /* of one run; 4 MiB of log at the very worst */

void run_lines_init(struct run_lines *l, struct delivery *d, const char *source)
{
    l->d = d;
    l->source = source;
    l->lines = 0;
    l->in_line = l->in_piece = false;
    l->len = 0;
}

/* How much of a full buffer goes: no character is cut in two. */
static size_t whole_characters(const char *p, size_t n)
{
    size_t i = n - 1;

    while (i > n - 4 && ((unsigned char)p[i] & 0xc0) == 0x80)
        i--;
    unsigned char c = (unsigned char)p[i];
    size_t wants = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return i + wants > n ? i : n;
}

/* Tells n bytes of the buffer; the others move to the front. */
static void tell(struct run_lines *l, size_t n, bool more)
{
    if (l->lines < LINES_LOGGED && l->len > 0 && !l->in_piece)
        pool_log_own(l->d, LOG_LVL_INFO, l->source, l->line, l->len);
    pool_keep(l->d, LOG_LVL_INFO, l->source, l->line, n, more);
    l->len -= n;
    memmove(l->line, l->line + n, l->len);
    l->in_piece = more;
}

static void end_line(struct run_lines *l, bool more)
{
    tell(l, l->len, more);
    l->lines++;
    l->in_line = l->in_piece = false;
}

/* Without the end of a line. */
static void add(struct run_lines *l, const char *p, size_t n)
{
    while (n > 0) {
        size_t room = sizeof(l->line) - l->len, take = n < room ? n : room;

        if (room == 0 && !pool_keeps(l->d))
            return; /* the worker's log has no more of a line */
        if (room == 0) {
            tell(l, whole_characters(l->line, l->len), true);
            continue;
        }
        memcpy(l->line + l->len, p, take);
        l->len += take;
        p += take;
        n -= take;
    }
}

/* A run that is kept nowhere and has had its lines: they are counted. */
static void count(struct run_lines *l, const char *p, size_t n)
{
    const char *end;

    while (n > 0 && (end = memchr(p, '\n', n)) != NULL) {
        l->lines++;
        l->in_line = false;
        n -= (size_t)(end - p) + 1;
        p = end + 1;
    }
    l->in_line = l->in_line || n > 0;
}

void run_lines_feed(struct run_lines *l, const char *p, size_t n)
{
    while (n > 0) {
        if (l->lines >= LINES_LOGGED && !pool_keeps(l->d)) {
            count(l, p, n);
            return;
        }
        const char *end = memchr(p, '\n', n);
        size_t part = end != NULL ? (size_t)(end - p) : n;

        add(l, p, part);
        l->in_line = true;
        if (end == NULL)
            return;
        end_line(l, false);
        p += part + 1;
        n -= part + 1;
    }
}

void run_lines_end(struct run_lines *l)
{
    if (l->in_line)
        end_line(l, true);
    if (l->lines <= LINES_LOGGED)
        return;
    char event[32];
    (void)snprintf(event, sizeof(event), "%s_not_logged", l->source);
    LOG_WARN(event, F_STR("job", l->d->job->id), F_STR("type", l->d->job->type),
             F_STR("queue", l->d->queue),
             F_INT("lines", l->lines - LINES_LOGGED));
}
