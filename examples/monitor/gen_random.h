#ifndef EXAMPLES_MONITOR_GEN_RANDOM_H
#define EXAMPLES_MONITOR_GEN_RANDOM_H

#include <stdint.h>

/* Random numbers that are the same everywhere for the same seed: splitmix64. */
struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From low to high, both included. */
static inline int rng_int(struct rng *r, int low, int high)
{
    return low + (int)(rng_next(r) % (uint64_t)(high - low + 1));
}

static inline double rng_real(struct rng *r, double low, double high)
{
    return low + (high - low) * ((double)(rng_next(r) >> 11) / 0x1p53);
}

#endif
