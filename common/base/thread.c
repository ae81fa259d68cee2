/*
 * Mutexes, condition variables and the loop role.
 *
 * The pthread calls fail only when they are misused, so a failure ends the
 * process instead of being returned. This file is where the thread-safety
 * analysis stops: pthread types carry no annotations, hence LEAF.
 *
 * Thread: any.
 */
#include "common/base/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

/* The body of a primitive cannot be checked against its own contract. */
#define LEAF TS_ATTR(no_thread_safety_analysis)

struct role loop_role;

static _Atomic pthread_t loop_thread;
static atomic_bool loop_bound;

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(rc));
    abort();
}

void loop_role_bind(void)
{
    atomic_store(&loop_thread, pthread_self());
    atomic_store(&loop_bound, true);
}

void loop_role_assert(void)
{
    if (!atomic_load(&loop_bound) ||
        pthread_equal(atomic_load(&loop_thread), pthread_self()))
        return;
    fputs("event loop code called from another thread\n", stderr);
    abort();
}

void mutex_init(struct mutex *mu)
{
    check(pthread_mutex_init(&mu->m, NULL), "mutex_init");
}

void mutex_done(struct mutex *mu)
{
    check(pthread_mutex_destroy(&mu->m), "mutex_done");
}

LEAF void mutex_lock(struct mutex *mu)
{
    check(pthread_mutex_lock(&mu->m), "mutex_lock");
}

LEAF void mutex_unlock(struct mutex *mu)
{
    check(pthread_mutex_unlock(&mu->m), "mutex_unlock");
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    check(pthread_condattr_init(&attr), "cond_init");
    check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "cond_init");
    check(pthread_cond_init(&c->c, &attr), "cond_init");
    check(pthread_condattr_destroy(&attr), "cond_init");
}

void cond_done(struct cond *c)
{
    check(pthread_cond_destroy(&c->c), "cond_done");
}

void cond_signal(struct cond *c)
{
    check(pthread_cond_signal(&c->c), "cond_signal");
}

void cond_broadcast(struct cond *c)
{
    check(pthread_cond_broadcast(&c->c), "cond_broadcast");
}

int cond_wait(struct cond *c, struct mutex *mu, int64_t deadline_ms)
{
    if (deadline_ms == INT64_MAX) {
        check(pthread_cond_wait(&c->c, &mu->m), "cond_wait");
        return 0;
    }
    if (deadline_ms < 0)
        deadline_ms = 0;
    struct timespec ts = {.tv_sec = deadline_ms / 1000,
                          .tv_nsec = (deadline_ms % 1000) * 1000000};
    int rc = pthread_cond_timedwait(&c->c, &mu->m, &ts);
    if (rc == ETIMEDOUT)
        return ERR_TIMEOUT;
    check(rc, "cond_wait");
    return 0;
}
