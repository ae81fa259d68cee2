#ifndef COMMON_BASE_THREAD_H
#define COMMON_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/*
 * Threads, and what clang's thread-safety analysis is told about them.
 *
 * Roles: the loop thread talks to Redis and must not block; pool threads run
 * handlers. gcc sees empty macros. See STYLE: members guarded by a mutex are
 * grouped under a comment, since GUARDED_BY on members needs C++.
 */
#if defined(__clang__)
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif

struct TS_ATTR(capability("mutex")) mutex {
    pthread_mutex_t m;
};
struct TS_ATTR(capability("role")) role {
    char unused;
};
extern struct role loop_role;

#define ON_LOOP TS_ATTR(requires_capability(loop_role))
#define MAY_BLOCK TS_ATTR(locks_excluded(loop_role))
#define REQUIRES(mu) TS_ATTR(requires_capability(mu))

/*
 * loop_role_bind makes the calling thread the loop thread. The assert is the
 * first line of every libevent callback: it tells the analysis where we are,
 * and aborts in debug builds when another thread than the bound one calls.
 */
void loop_role_bind(void) TS_ATTR(assert_capability(loop_role));
void loop_role_assert(void) TS_ATTR(assert_capability(loop_role));

void mutex_init(struct mutex *mu);
void mutex_done(struct mutex *mu);
void mutex_lock(struct mutex *mu) TS_ATTR(acquire_capability(*mu));
void mutex_unlock(struct mutex *mu) TS_ATTR(release_capability(*mu));

/* Condition variables wait on clock_ms() deadlines; INT64_MAX is for ever. */
struct cond {
    pthread_cond_t c;
};
void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/* Returns 0 or ERR_TIMEOUT; may wake for nothing, so callers loop. */
int cond_wait(struct cond *c, struct mutex *mu, int64_t deadline_ms)
    REQUIRES(*mu);

#endif
