/*
 * Waiting in tests: for a condition, never for a time.
 *
 * Thread: any; loop_until the loop's.
 */
#include "tests/support/wait.h"

#include <time.h>

#include <event2/event.h>

#include "common/base/clock.h"

enum { POLL_MS = 5 };

bool wait_until(wait_cond cond, void *arg, int64_t timeout_ms)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000 * 1000};
    int64_t deadline_ms = clock_ms() + timeout_ms;

    while (!cond(arg)) {
        if (clock_ms() >= deadline_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

bool loop_until(struct event_base *base, wait_cond cond, void *arg,
                int64_t timeout_ms)
{
    const struct timeval pause = {.tv_usec = POLL_MS * 1000};
    int64_t deadline_ms = clock_ms() + timeout_ms;
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    bool there = cond(arg);

    event_add(tick, &pause);
    while (!there && clock_ms() < deadline_ms) {
        event_base_loop(base, EVLOOP_ONCE);
        there = cond(arg);
    }
    event_free(tick);
    return there;
}
