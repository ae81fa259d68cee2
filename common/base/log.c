/*
 * Log lines.
 *
 * A line is put together in memory and leaves in one write(2). What cannot be
 * written at once is lost: a log that is stuck must not stop the work. Values
 * come from strangers, so whatever could forge a field or drive a terminal is
 * quoted and escaped, in both formats as in JSON.
 *
 * Thread: any; log_setup before there are several.
 */
#include "common/base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/text.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"logfmt", "json"};

enum { LEVELS = 4, FORMATS = 2 };

/* Between looking for room and writing no other thread may take it. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static int64_t lost; /* lines since the last one that was written */
static bool torn;    /* the last one lacks its end */

static _Atomic int least_level = LOG_LVL_INFO; /* enum log_level */
static enum log_format line_format = LOG_LOGFMT;

void log_setup(enum log_level least, enum log_format format)
{
    log_set_level(least);
    line_format = format;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

void log_set_level(enum log_level least)
{
    atomic_store(&least_level, (int)least);
}

static int find(const char *s, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(s, names[i]) == 0)
            return i;
    return -1;
}

int log_level_parse(const char *s, enum log_level *ret, struct errbuf *eb)
{
    int i = find(s, level_names, LEVELS);
    if (i < 0)
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.32s\" is none of debug, info, warn, error", s);
    *ret = (enum log_level)i;
    return 0;
}

int log_format_parse(const char *s, enum log_format *ret, struct errbuf *eb)
{
    int i = find(s, format_names, FORMATS);
    if (i < 0)
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.32s\" is neither logfmt nor json", s);
    *ret = (enum log_format)i;
    return 0;
}

bool log_enabled(enum log_level level)
{
    return (int)level >=
           atomic_load_explicit(&least_level, memory_order_relaxed);
}

/* A value that logfmt readers take as it is: no quotes around it. */
static bool is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f ||
            strchr("\"\\=", s[i]) != NULL)
            return false;
    return n > 0;
}

static void add_name(struct buf *line, const char *name)
{
    if (line_format == LOG_JSON) {
        buf_char(line, line->len > 0 ? ',' : '{');
        buf_json_string(line, name, strlen(name));
        buf_char(line, ':');
        return;
    }
    if (line->len > 0)
        buf_char(line, ' ');
    buf_str(line, name);
    buf_char(line, '=');
}

static void add_text(struct buf *line, const char *name, const char *s,
                     size_t n)
{
    add_name(line, name);
    if (line_format == LOG_LOGFMT && is_plain(s, n))
        buf_append(line, s, n);
    else
        buf_json_string(line, s, n);
}

static void add_field(struct buf *line, const struct log_field *f)
{
    if (f->kind == LOG_FIELD_INT) {
        add_name(line, f->name);
        buf_int(line, f->num);
        return;
    }
    const char *s = f->str != NULL ? f->str : "";
    size_t n = f->len == SIZE_MAX || f->str == NULL ? strlen(s) : f->len;
    add_text(line, f->name, s, n);
}

/* Whether a write of up to PIPE_BUF bytes would not wait. */
static bool has_room(void)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/*
 * A reader that stands still (a pipe nobody empties, a stopped terminal) must
 * not stop the loop thread: what has no room is lost, and counted. A line of
 * more than PIPE_BUF may be cut; the next one then begins on its own line.
 */
static void write_line(const char *p, size_t n)
{
    while (n > 0) {
        size_t some = n < PIPE_BUF ? n : PIPE_BUF;
        ssize_t done = has_room() ? write(STDERR_FILENO, p, some) : -1;
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            break;
        p += done;
        n -= (size_t)done;
        torn = n > 0;
    }
    if (n > 0)
        lost++;
    else
        lost = 0;
}

void log_emit(enum log_level level, const char *event,
              const struct log_field *fields)
{
    int saved_errno = errno; /* a log call changes nothing for its caller */
    struct buf line = {0}, whole = {0};
    char t[25];
    clock_format(clock_wall_ms(), t);
    add_text(&line, "t", t, strlen(t));
    add_text(&line, "lvl", level_names[level], strlen(level_names[level]));
    add_text(&line, "ev", event, strlen(event));
    for (const struct log_field *f = fields; f->kind != LOG_FIELD_END; f++)
        add_field(&line, f);
    (void)pthread_mutex_lock(&writing);
    if (lost > 0) {
        add_name(&line, "lines_lost");
        buf_int(&line, lost);
    }
    buf_str(&line, line_format == LOG_JSON ? "}\n" : "\n");
    if (torn)
        buf_str(&whole, "\n");
    buf_append(&whole, line.data, line.len);
    write_line(whole.data, whole.len);
    (void)pthread_mutex_unlock(&writing);
    buf_done(&line);
    buf_done(&whole);
    errno = saved_errno;
}
