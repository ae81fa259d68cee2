#ifndef TESTS_SUPPORT_WAIT_H
#define TESTS_SUPPORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;

/* Whether what a test waits for is there. */
typedef bool (*wait_cond)(void *arg);

/*
 * Both return true as soon as cond(arg) holds, false when it still does not
 * after timeout_ms. wait_until polls: the only place where tests sleep.
 * loop_until runs the event loop meanwhile, which the condition is about.
 */
bool wait_until(wait_cond cond, void *arg, int64_t timeout_ms);
bool loop_until(struct event_base *base, wait_cond cond, void *arg,
                int64_t timeout_ms);

#endif
