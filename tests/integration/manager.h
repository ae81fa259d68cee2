#ifndef TESTS_INTEGRATION_MANAGER_H
#define TESTS_INTEGRATION_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/redis.h"
#include "tests/support/worker.h"

/*
 * A service manager: a socket that hears what a program tells of itself, and
 * from which process.
 */
struct manager;

/* Returns owned; its socket is in the directory of r. */
struct manager *manager_new(struct redis *r);
void manager_free(struct manager *m); /* NULL is a no-op */

/* Starts a program that it watches; limit_us: its WATCHDOG_USEC, 0: none. */
struct worker *manager_exec(struct manager *m, const char *const *argv,
                            int64_t limit_us);

/* How many lines were heard so far that begin so. */
unsigned manager_count(struct manager *m, const char *beginning);

/* Waits until that many were; else the test fails with what was heard. */
void manager_await(struct manager *m, const char *beginning, unsigned n);

/* Whether nothing that begins so is heard for so long. */
bool manager_is_silent(struct manager *m, const char *beginning,
                       int64_t for_ms);

/* All that was heard, a line each; lent until the next call. */
const char *manager_heard(struct manager *m);

/* That all of it came from this process. */
void manager_expect_only(struct manager *m, pid_t pid);

#endif
