#ifndef TESTS_UNIT_ACTOR_H
#define TESTS_UNIT_ACTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/base/chan.h"

/*
 * A thread that performs one select (of one case: a plain send or receive)
 * and keeps its result for the test's own thread, which alone may assert.
 */
#define ACTOR_CASES_MAX 4

struct actor {
    struct chan_case cases[ACTOR_CASES_MAX];
    unsigned n;
    int64_t deadline_ms;

    int rc; /* of the call, valid after actor_join */
    pthread_t thread;
    atomic_int tid;
};

/* Starts a plain send or receive that waits for ever. */
void actor_send(struct actor *a, struct chan *c, void *item);
void actor_recv(struct actor *a, struct chan *c);

/* Starts a chan_select of the cases, n and deadline_ms that are set. */
void actor_select(struct actor *a);

/* Returns when the actor sleeps inside its call; fails after ten seconds. */
void actor_wait_blocked(struct actor *a);

void actor_join(struct actor *a);

#endif
