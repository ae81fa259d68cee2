#ifndef TESTS_FAULTS_FEED_H
#define TESTS_FAULTS_FEED_H

#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "tests/support/redis.h"

/*
 * The producers of a battle: jobs with serial numbers from 1 go into the
 * queue "q" by belt push, with ids, and by plain RPUSH, without. What each
 * push came to is written down: acknowledged, or unknown when the connection
 * was lost or it was refused half-way. Every tenth job or so is equal to all
 * others of its kind (serial 0); of those only the numbers count.
 *
 * Thread: the test's.
 */
enum outcome { PUSH_ACKED = 1, PUSH_UNKNOWN };

/* A kind of job and how many of a hundred are of it. */
struct kind {
    const char *what; /* as battle_handler knows it */
    unsigned percent;
};

struct feed {
    struct redis *r;          /* borrowed */
    const struct kind *kinds; /* borrowed; ends with NULL; 100 in all */
    uint64_t random;          /* state of seeded_below */
    redisContext *link;       /* owned; NULL: not connected */
    uint8_t *outcome;         /* owned: of serial i at [i] */
    size_t serials, room;     /* the last serial given out */
    size_t acked, unknown;    /* with the equal ones */
    size_t equal_acked, equal_unknown;
};

/*
 * The seed decides on the jobs and ways in their order; how many are pushed
 * until something happens is the machine's.
 */
void feed_init(struct feed *f, struct redis *r, const struct kind *kinds,
               uint64_t seed);
void feed_done(struct feed *f);

/* Pushes n jobs, by the one way or the other. */
void feed_push(struct feed *f, unsigned n);

/* One job of a kind of its own, by RPUSH. */
void feed_one(struct feed *f, const char *what);

/* Ready jobs, or -1 if Redis does not answer. Connects if need be. */
long long feed_backlog(struct feed *f);

/* The next number of a seeded sequence (splitmix64), below n. */
uint64_t seeded_below(uint64_t *state, uint64_t n);

#endif
