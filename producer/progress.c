/*
 * Progress: count, share, rate, and when it will be over.
 *
 * Thread: main.
 */
#include "producer/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"

enum { EVERY_MS = 100 };

void progress_init(struct progress *p, uint64_t total)
{
    *p = (struct progress){
        .on = isatty(STDERR_FILENO) == 1,
        .started_ms = clock_ms(),
        .total = total,
    };
}

const char *progress_count(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), o = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[o++] = ' ';
        out[o++] = digits[i];
    }
    out[o] = '\0';
    return out;
}

/* How long the rest takes if it goes on as fast as so far. */
static void put_eta(const struct progress *p, uint64_t done, int64_t ms,
                    char *out, size_t size)
{
    char text[32];

    out[0] = '\0';
    if (p->total == 0 || done == 0)
        return;
    uint64_t left = p->total > done ? p->total - done : 0;
    double rest_ms = (double)ms * (double)left / (double)done;
    int64_t rest_s = (int64_t)(rest_ms / 1000 + 0.5);
    snprintf(out, size, "  %3d%%  ETA %s",
             (int)(100 * (double)(p->total - left) / (double)p->total),
             text_format_duration(rest_s * 1000, text));
}

void progress_show(struct progress *p, uint64_t jobs, uint64_t done)
{
    int64_t now_ms = clock_ms(), ms = now_ms - p->started_ms;
    char count[32], rate[32], eta[64], line[256];

    if (!p->on || now_ms - p->last_ms < EVERY_MS)
        return;
    p->last_ms = now_ms;
    p->shown = true;
    uint64_t per_s = jobs * 1000 / (uint64_t)(ms > 0 ? ms : 1);
    put_eta(p, done, ms, eta, sizeof(eta));
    int n =
        snprintf(line, sizeof(line), "\r%s jobs  %s/s%s\033[K",
                 progress_count(jobs, count), progress_count(per_s, rate), eta);
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written;
}

void progress_clear(struct progress *p)
{
    static const char clear[] = "\r\033[K";

    if (!p->shown)
        return;
    p->shown = false;
    p->last_ms = 0; /* what follows may be shown at once again */
    ssize_t written = write(STDERR_FILENO, clear, sizeof(clear) - 1);
    (void)written;
}
