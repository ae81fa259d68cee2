/*
 * Run log: a buffer of records, a length and as many bytes each. The oldest
 * fall out in front, and bytes move once in as many as it holds.
 *
 * Thread: as the header says.
 */
#include "worker/run_log.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/base/thread.h"

enum { HEAD = sizeof(uint32_t) };

struct run_log {
    uint64_t run;
    int64_t attempt, ahead_ms;
    struct buf scratch; /* of the run's thread */

    struct mutex mu;        /* guards what follows */
    struct log_lines lines; /* from lines.at on */
    bool noted;             /* a note of them is on its way, or not heard yet */
};

static _Atomic uint64_t runs;
static _Atomic size_t held; /* bytes of all records */

struct run_log *run_log_new(int64_t attempt, int64_t ahead_ms)
{
    struct run_log *g = mem_new(sizeof(*g));

    g->run = atomic_fetch_add(&runs, 1) + 1;
    g->attempt = attempt;
    g->ahead_ms = ahead_ms;
    g->lines.run = g->run;
    g->lines.first = 1;
    mutex_init(&g->mu);
    return g;
}

void run_log_free(struct run_log *g)
{
    if (g == NULL)
        return;
    log_lines_done(&g->lines);
    buf_done(&g->scratch);
    mutex_done(&g->mu);
    free(g);
}

size_t log_lines_bytes(const struct log_lines *l)
{
    return l->bytes.len - l->at;
}

void log_lines_done(struct log_lines *l)
{
    atomic_fetch_sub(&held, log_lines_bytes(l));
    buf_done(&l->bytes);
    *l = (struct log_lines){0};
}

const char *log_lines_next(const struct log_lines *l, size_t *at,
                           size_t *ret_len)
{
    uint32_t len;

    assert(*at + HEAD <= l->bytes.len);
    memcpy(&len, l->bytes.data + *at, HEAD);
    *at += HEAD + len;
    *ret_len = len;
    return l->bytes.data + *at - len;
}

static void drop_oldest(struct log_lines *l)
{
    size_t was = l->at, len;

    (void)log_lines_next(l, &l->at, &len);
    atomic_fetch_sub(&held, l->at - was);
    l->first++;
    l->count--;
}

/* The line as it is told. */
static void describe(const struct run_log *g, struct buf *b,
                     enum log_level level, const char *source, const char *text,
                     size_t n, bool more)
{
    buf_str(b, "\"at\":");
    buf_int(b, clock_wall_ms() + g->ahead_ms);
    buf_str(b, ",\"attempt\":");
    buf_int(b, g->attempt);
    buf_str(b, ",\"source\":\"");
    buf_str(b, source);
    buf_str(b, "\",\"level\":\"");
    buf_str(b, log_level_name(level));
    if (text_utf8_error(text, n) == n && memchr(text, 0, n) == NULL) {
        buf_str(b, "\",\"message\":");
        buf_json_string(b, text, n);
    } else {
        buf_str(b, "\",\"raw\":\"");
        buf_base64(b, text, n);
        buf_char(b, '"');
    }
    buf_str(b, more ? ",\"more\":true}" : "}");
}

/* Whether a record of that size has its place, if need be by others' end. */
static bool make_room(struct log_lines *l, size_t size)
{
    while (l->count > 0 && (l->count == RUN_LOG_LINES ||
                            log_lines_bytes(l) + size > RUN_LOG_BYTES ||
                            atomic_load(&held) + size > RUN_LOG_ALL_BYTES))
        drop_oldest(l);
    if (l->at > RUN_LOG_BYTES || (l->count == 0 && l->at > 0)) {
        l->bytes.len -= l->at;
        memmove(l->bytes.data, l->bytes.data + l->at, l->bytes.len);
        l->at = 0;
    }
    return atomic_load(&held) + size <= RUN_LOG_ALL_BYTES;
}

static void append(struct log_lines *l, const struct buf *line)
{
    uint32_t len = (uint32_t)line->len;

    if (!make_room(l, HEAD + line->len)) {
        assert(l->count == 0);
        l->first++; /* it is the one that is missing */
        return;
    }
    buf_append(&l->bytes, &len, HEAD);
    buf_append(&l->bytes, line->data, line->len);
    atomic_fetch_add(&held, HEAD + line->len);
    l->count++;
}

bool run_log_add(struct run_log *g, enum log_level level, const char *source,
                 const char *text, size_t n, bool more)
{
    if (n > RUN_LOG_MESSAGE_MAX) { /* between two characters */
        n = RUN_LOG_MESSAGE_MAX;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    buf_clear(&g->scratch);
    describe(g, &g->scratch, level, source, text, n, more);
    mutex_lock(&g->mu);
    append(&g->lines, &g->scratch);
    bool noted = g->noted;
    g->noted = true;
    mutex_unlock(&g->mu);
    return !noted;
}

void run_log_take(struct run_log *g, struct log_lines *ret)
{
    mutex_lock(&g->mu);
    *ret = g->lines;
    g->lines = (struct log_lines){.run = g->run,
                                  .first = ret->first + (int64_t)ret->count};
    g->noted = false;
    mutex_unlock(&g->mu);
}
