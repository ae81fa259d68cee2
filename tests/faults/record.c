/*
 * Record: what handlers write down about their own runs.
 *
 * A line is one write(2) to a file open with O_APPEND, so lines of processes
 * that write at once stand one behind the other. But the kernel copies by
 * pages and looks between two of them whether the process was killed: a line
 * across pages could be torn, once in some ten thousand kills. Filled up to
 * RECORD_LINE, which divides the page, usual lines lie in one; only those with
 * an id of more than 50 characters or so can still be hit.
 *
 * Of one process id only the last start can be running, since its predecessor
 * has to be gone. So an end belongs to the last start of its process, and must
 * agree with it in everything. It is looked for from the newest back, and is
 * near: a table of all process ids would cost a reading of a short record, of
 * which battles make many while handlers run, more than all the rest.
 *
 * Thread: any; one reader or writer at a time in a process.
 */
#include "tests/faults/record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    LINE_MAX_BYTES = 2 * RECORD_LINE, /* with every number at its longest */
    PID_LIMIT = 4 * 1024 * 1024,      /* the kernel's, on 64 bits */
    EXIT_LIMIT = 255,
    CHUNK = 64 * RECORD_LINE /* that record_follow reads at a time */
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt,
                                                                ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("record: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* ---- writing ---- */

static void append(const char *path, char line[LINE_MAX_BYTES], int len)
{
    ssize_t n;
    int fd;

    assert(len > 0 && len < LINE_MAX_BYTES);
    size_t size = (size_t)(len / RECORD_LINE + 1) * RECORD_LINE;
    memset(line + len, ' ', size - (size_t)len);
    line[size - 1] = '\n';
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        die("%s: %s", path, strerror(errno));
    do
        n = write(fd, line, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        die("%s: %s", path, strerror(errno));
    if ((size_t)n != size)
        die("%s: %zd of %zu bytes written", path, n, size);
    if (fdatasync(fd) != 0)
        die("%s: fdatasync: %s", path, strerror(errno));
    close(fd);
}

static int format(char line[LINE_MAX_BYTES], char kind, const struct run *r,
                  int64_t at_ms)
{
    return snprintf(line, LINE_MAX_BYTES,
                    "%c %" PRIu64 " %s %u %u %" PRIu64 " %d %" PRId64, kind,
                    r->serial, r->id, r->attempt, r->recovered, r->fence,
                    r->pid, at_ms);
}

void record_start(const char *path, const struct run *r)
{
    char line[LINE_MAX_BYTES];

    append(path, line, format(line, 'S', r, r->started_at_ms));
}

void record_end(const char *path, const struct run *r)
{
    char line[LINE_MAX_BYTES];
    int n = format(line, 'E', r, r->ended_at_ms);

    n += snprintf(line + n, LINE_MAX_BYTES - (size_t)n, " %d", r->exit);
    append(path, line, n);
}

/* ---- reading ---- */

/*
 * The numbers and the id behind one another; the first thing that is not as
 * written ends it, and what is asked for afterwards is not there either.
 */
struct words {
    const char *at; /* NULL: something was wrong */
};

/* Takes a space and a number as printf writes it. */
static uint64_t word_number(struct words *w, uint64_t max)
{
    const char *p = w->at;
    uint64_t n = 0;

    w->at = NULL;
    if (p == NULL || p[0] != ' ' || (p[1] == '0' && p[2] >= '0' && p[2] <= '9'))
        return 0;
    const char *first = ++p;
    for (; *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');

        if (n > (max - digit) / 10)
            return 0;
        n = 10 * n + digit;
    }
    if (p > first)
        w->at = p;
    return n;
}

/* Takes a space and an id. */
static void word_id(struct words *w, char out[RECORD_ID_MAX])
{
    const char *p = w->at;
    size_t n = p != NULL && p[0] == ' ' ? strcspn(p + 1, " ") : 0;

    w->at = NULL;
    if (n == 0 || n >= RECORD_ID_MAX || !text_is_id(p + 1, n))
        return;
    memcpy(out, p + 1, n);
    out[n] = '\0';
    w->at = p + 1 + n;
}

/* Takes a line without its end; at_ms and exit as those of an end. */
static bool parse(const char *line, size_t len, struct run *r)
{
    struct words w = {line + 1};

    if (line[0] != 'S' && line[0] != 'E')
        return false;
    r->serial = word_number(&w, UINT64_MAX);
    word_id(&w, r->id);
    r->attempt = (unsigned)word_number(&w, UINT_MAX);
    r->recovered = (unsigned)word_number(&w, UINT_MAX);
    r->fence = word_number(&w, UINT64_MAX);
    r->pid = (int)word_number(&w, PID_LIMIT - 1);
    r->ended_at_ms = (int64_t)word_number(&w, INT64_MAX);
    r->exit = line[0] == 'E' ? (int)word_number(&w, EXIT_LIMIT) : -1;
    if (w.at == NULL || r->pid == 0)
        return false;
    size_t bare = (size_t)(w.at - line);
    return strspn(w.at, " ") == len - bare &&
           len + 1 == (bare / RECORD_LINE + 1) * RECORD_LINE;
}

static bool same_run(const struct run *a, const struct run *b)
{
    return a->serial == b->serial && strcmp(a->id, b->id) == 0 &&
           a->attempt == b->attempt && a->recovered == b->recovered &&
           a->fence == b->fence && a->pid == b->pid;
}

struct reader {
    struct run *runs; /* owned until returned */
    size_t n, room;
};

/* The last run that this process began; NULL: none. */
static struct run *last_run(struct reader *rd, int pid)
{
    for (size_t i = rd->n; i > 0; i--) {
        if (rd->runs[i - 1].pid == pid)
            return &rd->runs[i - 1];
    }
    return NULL;
}

static void add_start(struct reader *rd, struct run r)
{
    if (rd->n == rd->room) {
        rd->room = rd->room > 0 ? 2 * rd->room : 1024;
        rd->runs = mem_resize(rd->runs, rd->room * sizeof(*rd->runs));
    }
    r.started_at_ms = r.ended_at_ms;
    r.ended_at_ms = -1;
    rd->runs[rd->n++] = r;
}

/* Returns what is wrong, or NULL. */
static const char *add_end(struct reader *rd, const struct run *r)
{
    struct run *start = last_run(rd, r->pid);

    if (start == NULL)
        return "an end without a start";
    if (start->exit >= 0)
        return "a second end";
    if (!same_run(start, r))
        return "the end of another run than this process began";
    if (r->ended_at_ms < start->started_at_ms)
        return "an end before the start";
    start->ended_at_ms = r->ended_at_ms;
    start->exit = r->exit;
    return NULL;
}

static const char *add_line(struct reader *rd, const char *line, size_t len)
{
    struct run r = {0};

    if (!parse(line, len, &r))
        return "no line of a record";
    if (line[0] == 'E')
        return add_end(rd, &r);
    add_start(rd, r);
    return NULL;
}

struct run *record_read(const char *path, size_t *ret_n)
{
    struct reader rd = {.runs = mem_new(sizeof(struct run))};
    size_t cap = 0, number = 0;
    char *line = NULL;
    ssize_t len;

    FILE *f = fopen(path, "re");
    if (f == NULL && errno != ENOENT)
        die("%s: %s", path, strerror(errno));
    while (f != NULL && (len = getline(&line, &cap, f)) > 0) {
        const char *wrong = "a line without an end";

        number++;
        if (line[len - 1] == '\n') {
            line[len - 1] = '\0';
            wrong = add_line(&rd, line, (size_t)len - 1);
        }
        if (wrong != NULL)
            die("%s:%zu: %s: %s", path, number, wrong, line);
    }
    if (f != NULL && (ferror(f) || fclose(f) != 0))
        die("%s: %s", path, strerror(errno));
    free(line);
    *ret_n = rd.n;
    return rd.runs;
}

/* ---- following ---- */

/* Counts the whole lines of a part; returns their bytes. */
static size_t count_lines(struct record_tail *t, const char *part, size_t len)
{
    size_t done = 0;
    const char *end;

    while ((end = memchr(part + done, '\n', len - done)) != NULL) {
        t->starts += part[done] == 'S';
        t->ends += part[done] == 'E';
        done = (size_t)(end - part) + 1;
    }
    return done;
}

void record_follow(struct record_tail *t)
{
    char part[CHUNK];
    size_t done;

    int fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return;
    if (fd < 0)
        die("%s: %s", t->path, strerror(errno));
    do {
        ssize_t n = pread(fd, part, sizeof(part), t->offset);

        if (n < 0)
            die("%s: %s", t->path, strerror(errno));
        done = count_lines(t, part, (size_t)n);
        t->offset += (long)done;
    } while (done > 0);
    close(fd);
}
