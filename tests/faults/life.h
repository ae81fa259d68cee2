#ifndef TESTS_FAULTS_LIFE_H
#define TESTS_FAULTS_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/faults/battle.h"

/*
 * The battle of jobs with options. Job n has the id Ln if it is pushed, Fn if
 * it follows another one; those of "q" that follow may be of "q2", which the
 * same workers serve. What was asked for, and what producers were told, is
 * written down here; life_audit.c holds it against Redis' books.
 *
 * Thread: the test's.
 */
enum life_outcome {
    LIFE_UNKNOWN, /* it may be there */
    LIFE_ACKED,
    LIFE_MAYBE, /* acknowledged, if nobody held its key */
    LIFE_NOT,   /* told that another holds its key, or that it took its place */
    LIFE_FOLLOWS /* comes if its parent is done */
};

struct life_job {
    enum life_outcome outcome;
    size_t parent; /* 0: none */
    bool second;   /* of queue q2 */
    bool late;     /* expired before it was pushed: is not to run */
    bool kept;
    bool sure;      /* can only end well, unless it is cancelled */
    bool cancelled; /* somebody asked for that */
};

/* What the payload of job n says is its number behind this: others, that
 * strikes push, have smaller ones. */
enum { LIFE_NUMBERS = 1000000 };

enum { LIFE_WAITERS = 6, LIFE_PAUSES = 16 };

struct life {
    struct life_job *jobs; /* owned; the first is at 1 */
    size_t count, cap;
    struct {
        struct worker *w; /* owned; NULL: none */
        size_t job;
    } waiters[LIFE_WAITERS];
    unsigned waiting;
    struct {
        int64_t from_ms, to_ms; /* boot time: no job is to start */
    } pauses[LIFE_PAUSES];
    unsigned paused;
};

/* The hooks of its scenario (battle.h). */
void life_open(struct battle *b);
void life_feed(struct battle *b, unsigned n);
void life_heal(struct battle *b);
void life_judge(struct battle *b);
void life_audit(struct battle *b, struct verdict *ret);

#endif
