/*
 * Histograms: how long the jobs of a queue waited and ran.
 *
 * A job costs two increments here. What has come together goes to Redis with a
 * settle once in a while, some twenty counters in one call.
 *
 * Thread: event loop only.
 */
#include "worker/histogram.h"

/* NAMES("wait") are the names of its buckets. */
#define FOUR(w, a, b, c, d) w ":" #a, w ":" #b, w ":" #c, w ":" #d
#define NAMES(w)                                                               \
    {                                                                          \
        FOUR(w, 0, 1, 2, 3), FOUR(w, 4, 5, 6, 7), FOUR(w, 8, 9, 10, 11),       \
            FOUR(w, 12, 13, 14, 15), FOUR(w, 16, 17, 18, 19),                  \
            FOUR(w, 20, 21, 22, 23), FOUR(w, 24, 25, 26, 27),                  \
            FOUR(w, 28, 29, 30, 31)                                            \
    }
static const char *const wait_names[HISTOGRAM_BUCKETS] = NAMES("wait");
static const char *const run_names[HISTOGRAM_BUCKETS] = NAMES("run");

unsigned histogram_bucket(int64_t us)
{
    if (us < 1000)
        return 0;
    unsigned k = 64 - (unsigned)__builtin_clzll((uint64_t)us / 1000);
    return k < HISTOGRAM_BUCKETS ? k : HISTOGRAM_BUCKETS - 1;
}

void histogram_add(struct histogram *h, int64_t us)
{
    h->n[histogram_bucket(us)]++;
    if (us > 0 && us < INT64_MAX - h->sum_us)
        h->sum_us += us;
}

static unsigned tell(struct histogram *h, const char *const *names,
                     const char *sum_name, struct settle_count *counts,
                     struct histogram *told)
{
    unsigned n = 0;

    *told = *h;
    for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++) {
        if (h->n[k] > 0)
            counts[n++] = (struct settle_count){names[k], (int64_t)h->n[k]};
    }
    if (h->sum_us >= 1000)
        counts[n++] = (struct settle_count){sum_name, h->sum_us / 1000};
    *h = (struct histogram){.sum_us = h->sum_us % 1000};
    told->sum_us -= h->sum_us;
    return n;
}

unsigned times_tell(struct times *t, struct settle_count counts[TIMES_COUNTS],
                    struct times *ret_told)
{
    unsigned n = tell(&t->wait, wait_names, "wait_ms", counts, &ret_told->wait);

    n += tell(&t->run, run_names, "run_ms", counts + n, &ret_told->run);
    if (t->runs > 0)
        counts[n++] = (struct settle_count){"started", (int64_t)t->runs};
    ret_told->runs = t->runs;
    t->runs = 0;
    return n;
}

static void give_back(struct histogram *h, const struct histogram *told)
{
    for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
        h->n[k] += told->n[k];
    h->sum_us += told->sum_us;
}

void times_give_back(struct times *t, const struct times *told)
{
    give_back(&t->wait, &told->wait);
    give_back(&t->run, &told->run);
    t->runs += told->runs;
}
