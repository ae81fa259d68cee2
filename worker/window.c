/*
 * Window: how much work a worker may hold, from how long work takes.
 *
 * Thread: event loop only.
 */
#include "worker/window.h"

enum {
    SMOOTHING = 16, /* about the last 16 jobs count */
    PACE_US = 5000,
    PACE_SMOOTHING = 4,
    GAP_US = 1000, /* a pool idle for less waits for the loop, not for Redis */
    TRIP_US = 5000000 /* in which one call, at least, had not to wait */
};

void window_init(struct window *w, unsigned threads, unsigned max)
{
    *w = (struct window){.threads = threads,
                         .max = max > threads ? max : threads,
                         .service_us = -1};
}

/* One more, busy_us after the one before; many are told of at a time. */
static void note_pace(struct window *w, int64_t busy_us)
{
    if (busy_us > 0 && w->busy_us >= PACE_US) {
        double pace = (double)w->done / (double)w->busy_us;
        w->pace += (pace - w->pace) / (w->pace > 0 ? PACE_SMOOTHING : 1);
        w->busy_us = w->done = 0;
    }
    w->busy_us += busy_us;
    w->done++;
}

void window_done(struct window *w, int64_t run_us, int64_t now_us)
{
    double x = run_us > 0 ? (double)run_us : 0.5;
    if (w->service_us < 0)
        w->service_us = x;
    else
        w->service_us += (x - w->service_us) / SMOOTHING;
    note_pace(w, now_us - w->last_done_us);
    w->last_done_us = now_us;
}

void window_busy(struct window *w, int64_t now_us)
{
    if (now_us - w->last_done_us < GAP_US)
        w->busy_us += now_us - w->last_done_us;
    w->last_done_us = now_us;
}

void window_trip(struct window *w, int64_t us, int64_t now_us)
{
    if (w->trips_since_us == 0 || now_us - w->trips_since_us >= TRIP_US) {
        w->trip_before_us = w->trips_since_us == 0 ? us : w->trip_us;
        w->trip_us = us;
        w->trips_since_us = now_us;
    } else if (us < w->trip_us) {
        w->trip_us = us;
    }
}

/* What is on the way has waited, too, but not each of so many calls. */
static double trip_us(const struct window *w)
{
    return (double)(w->trip_us < w->trip_before_us ? w->trip_us
                                                   : w->trip_before_us);
}

unsigned window_size(const struct window *w, int64_t rtt_us, size_t job_bytes,
                     int64_t now_us)
{
    if (w->service_us < 0)
        return w->threads;
    double service = w->service_us;
    double waited = (double)(now_us - w->last_done_us);
    if (waited > service)
        service = waited; /* none of the threads finished in that time */
    double ahead = w->threads * (WINDOW_US + 2.0 * (double)rtt_us) / service;
    double most = 2 * trip_us(w) * w->pace, near = WINDOW_JOBS;
    if (near * (double)job_bytes > WINDOW_BYTES)
        near = (double)WINDOW_BYTES / (double)job_bytes;
    if (most < near)
        most = near;
    if (ahead > most)
        ahead = most;
    /* 0.9: a thread's next job is fetched early if it is short, not if not */
    double size = w->threads + (double)(int64_t)(ahead + 0.9);
    return size < w->max ? (unsigned)size : w->max;
}
