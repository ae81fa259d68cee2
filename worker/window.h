#ifndef WORKER_WINDOW_H
#define WORKER_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/*
 * The receive window of a worker: how many unfinished jobs it may hold, those
 * it has asked for included.
 *
 * One for each thread, and ahead of them enough to keep the pool busy for
 * WINDOW_US plus two round trips at the measured service time; at most max.
 * Long jobs are therefore not hoarded, and short ones travel hundreds at a
 * time. Of jobs that take next to nothing the pool could do more in that time
 * than the loop and Redis can move: of those WINDOW_JOBS or WINDOW_BYTES are
 * held ahead of it, or, where Redis is far away, as many as really end in two
 * round trips.
 * Times in microseconds, from clock_us(). Loop thread only.
 */
#define WINDOW_US 20000
#define WINDOW_JOBS 1000
#define WINDOW_BYTES (4 * 1024 * 1024)

struct window {
    unsigned threads, max;
    double service_us;    /* smoothed; < 0: nothing measured yet */
    int64_t last_done_us; /* when a job last finished */

    /* Of small calls alone on their way, the fastest: of late, and before. */
    int64_t trip_us, trip_before_us;
    int64_t trips_since_us; /* 0: none yet */

    double pace;     /* jobs that end in 1 us of a busy pool, smoothed */
    int64_t busy_us; /* of the pool, since pace was last measured */
    unsigned done;   /* in that time */
};

void window_init(struct window *w, unsigned threads, unsigned max);

/* Tells that a job took run_us. */
void window_done(struct window *w, int64_t run_us, int64_t now_us);

/* Tells that the pool, idle until now, gets work. */
void window_busy(struct window *w, int64_t now_us);

/*
 * Tells how long a small call took. The fastest of some seconds is the way to
 * Redis and back; the others waited for what was before them.
 */
void window_trip(struct window *w, int64_t us, int64_t now_us);

/*
 * Jobs that may be held now, of job_bytes each (0: not known); rtt_us as it is,
 * with what waits on the way. While nothing finishes, the service time is at
 * least what has gone by, so that a pool stuck in long jobs shrinks it.
 */
unsigned window_size(const struct window *w, int64_t rtt_us, size_t job_bytes,
                     int64_t now_us);

#endif
