#ifndef WORKER_HISTOGRAM_H
#define WORKER_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/queue.h"

/*
 * How long jobs waited and ran: counts by powers of two of milliseconds, as
 * they are kept in the counters wait:<k> and run:<k> of a queue
 * (docs/PROTOCOL.md). Counted here and told now and then. Any one thread.
 */
enum { HISTOGRAM_BUCKETS = 32 };

struct histogram {
    uint64_t n[HISTOGRAM_BUCKETS];
    int64_t sum_us;
};

/* The bucket of us, 0 if that is negative. */
unsigned histogram_bucket(int64_t us);
void histogram_add(struct histogram *h, int64_t us);

/* Of one queue. {0} is empty. */
struct times {
    struct histogram wait, run;
    uint64_t runs; /* that have ended */
};
enum { TIMES_COUNTS = 2 * HISTOGRAM_BUCKETS + 3 };

/*
 * Writes what there is as counters, and takes it out of t into ret_told; less
 * than a millisecond stays. Names are constants. Returns how many.
 */
unsigned times_tell(struct times *t, struct settle_count counts[TIMES_COUNTS],
                    struct times *ret_told);

/* Puts back what was taken and not told. */
void times_give_back(struct times *t, const struct times *told);

#endif
