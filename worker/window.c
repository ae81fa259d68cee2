/*
 * Window: how much work a worker may hold, from how long work takes.
 *
 * Thread: event loop only.
 */
#include "worker/window.h"

enum { SMOOTHING = 16 }; /* about the last 16 jobs count */

void window_init(struct window *w, unsigned threads, unsigned max)
{
    *w = (struct window){.threads = threads,
                         .max = max > threads ? max : threads,
                         .service_us = -1};
}

void window_done(struct window *w, int64_t run_us, int64_t now_us)
{
    double x = run_us > 0 ? (double)run_us : 0.5;
    if (w->service_us < 0)
        w->service_us = x;
    else
        w->service_us += (x - w->service_us) / SMOOTHING;
    w->last_done_us = now_us;
}

void window_busy(struct window *w, int64_t now_us)
{
    w->last_done_us = now_us;
}

unsigned window_size(const struct window *w, int64_t rtt_us, int64_t now_us)
{
    if (w->service_us < 0)
        return w->threads;
    double service = w->service_us;
    double waited = (double)(now_us - w->last_done_us);
    if (waited > service)
        service = waited; /* none of the threads finished in that time */
    double ahead = w->threads * (WINDOW_US + 2.0 * (double)rtt_us) / service;
    /* 0.9: a thread's next job is fetched early if it is short, not if not */
    double size = w->threads + (double)(int64_t)(ahead + 0.9);
    return size < w->max ? (unsigned)size : w->max;
}
