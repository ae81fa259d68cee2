#ifndef WORKER_WINDOW_H
#define WORKER_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/*
 * The receive window of a worker: how many unfinished jobs it may hold.
 *
 * Enough to keep the pool busy for WINDOW_US plus two round trips at the
 * measured service time, at least one for each thread, at most max. Long jobs
 * are therefore not hoarded, and short ones travel hundreds at a time.
 * Times in microseconds, from clock_us(). Loop thread only.
 */
#define WINDOW_US 20000

struct window {
    unsigned threads, max;
    double service_us;    /* smoothed; < 0: nothing measured yet */
    int64_t last_done_us; /* when a job last finished */
};

void window_init(struct window *w, unsigned threads, unsigned max);

/* Tells that a job took run_us. */
void window_done(struct window *w, int64_t run_us, int64_t now_us);

/* Tells that the pool, idle until now, gets work. */
void window_busy(struct window *w, int64_t now_us);

/*
 * Jobs that may be held now. While nothing finishes, the service time is at
 * least what has gone by, so that a pool stuck in long jobs shrinks it.
 */
unsigned window_size(const struct window *w, int64_t rtt_us, int64_t now_us);

#endif
