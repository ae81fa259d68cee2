/*
 * Lines: a window that slides over a file.
 *
 *     mem ...start=======scanned=======end......cap
 *
 * [start, end) was read and not yet returned; up to scanned there is no line
 * end, so that no byte is looked at twice. The window moves to the front when
 * it reaches the end, and grows only for a line that needs it, up to max.
 *
 * Thread: one at a time.
 */
#include "producer/lines.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

enum { BLOCK = 256 * 1024 }; /* a read(2) costs little against so much */

void lines_init(struct lines *l, int fd, size_t max)
{
    *l = (struct lines){.fd = fd, .max = max, .cap = BLOCK};
    l->mem = mem_new(l->cap);
}

void lines_done(struct lines *l)
{
    free(l->mem);
    *l = (struct lines){.fd = -1};
}

/* Takes the n bytes at start and what ends them. */
static enum lines_result take(struct lines *l, size_t n, size_t end_len,
                              const char **ret_p, size_t *ret_len)
{
    const char *p = l->mem + l->start;

    l->start += n + end_len;
    l->scanned = l->start;
    if (l->skipping) {
        l->skipping = false; /* its start was told already */
        return LINES_MORE;
    }
    l->number++;
    if (n > 0 && p[n - 1] == '\r')
        n--;
    if (n > l->max)
        return LINES_TOO_LONG;
    *ret_p = p;
    *ret_len = n;
    return LINES_LINE;
}

/* All that was read is the start of a line: forget it if it is too long. */
static enum lines_result take_part(struct lines *l)
{
    size_t n = l->end - l->start;

    if (!l->skipping && n <= l->max + 1) /* there may be a CR to come off */
        return LINES_MORE;
    bool known = l->skipping;
    l->skipping = true;
    l->start = l->scanned = l->end = 0;
    if (known)
        return LINES_MORE;
    l->number++;
    return LINES_TOO_LONG;
}

enum lines_result lines_next(struct lines *l, const char **ret_p,
                             size_t *ret_len)
{
    for (;;) {
        const char *from = l->mem + l->scanned;
        const char *lf = memchr(from, '\n', l->end - l->scanned);
        enum lines_result r;
        if (lf) {
            bool skipped = l->skipping;
            r = take(l, (size_t)(lf - l->mem) - l->start, 1, ret_p, ret_len);
            if (skipped)
                continue;
            return r;
        }
        l->scanned = l->end;
        if (!l->eof)
            return take_part(l);
        if (l->start == l->end || l->skipping)
            return LINES_END;
        return take(l, l->end - l->start, 0, ret_p, ret_len);
    }
}

static void make_room(struct lines *l)
{
    if (l->start > 0) {
        memmove(l->mem, l->mem + l->start, l->end - l->start);
        l->end -= l->start;
        l->scanned -= l->start;
        l->start = 0;
    }
    if (l->end < l->cap)
        return;
    assert(l->cap < l->max + BLOCK); /* take_part forgets longer lines */
    l->cap *= 2;
    if (l->cap > l->max + BLOCK)
        l->cap = l->max + BLOCK;
    l->mem = mem_resize(l->mem, l->cap);
}

int lines_fill(struct lines *l)
{
    if (l->end == l->cap || l->start == l->end)
        make_room(l);
    for (;;) {
        ssize_t n = read(l->fd, l->mem + l->end, l->cap - l->end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_SYSTEM;
        l->eof = n == 0;
        l->end += (size_t)n;
        l->read_bytes += (uint64_t)n;
        return 0;
    }
}
