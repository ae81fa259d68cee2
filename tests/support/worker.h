#ifndef TESTS_SUPPORT_WORKER_H
#define TESTS_SUPPORT_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/redis.h"

/*
 * Real belt-workers (and any other program) run by a test. Each writes its
 * log to a file in the directory of the test's Redis. Whatever still runs
 * when the test ends, however it ends, is killed.
 *
 * BELT_WORKER_BIN, a definition of the build, is the program.
 */
struct worker;

/*
 * Starts a worker on r with these flags (NULL-terminated; -u is added). host,
 * if not NULL, is its BELT_HOST. Returns owned.
 */
struct worker *worker_start(struct redis *r, const char *host,
                            const char *const *flags);

/* Starts any program; env holds "NAME=value" additions, NULL or terminated. */
struct worker *worker_exec(struct redis *r, const char *const *argv,
                           const char *const *env);

pid_t worker_pid(const struct worker *w);
void worker_signal(struct worker *w, int sig);

/* Whether it has ended; worker_wait then tells how. */
bool worker_has_ended(struct worker *w);

/*
 * Waits until it has ended: the exit code, or -signal; the test fails when it
 * takes longer than timeout_ms.
 */
int worker_wait(struct worker *w, int64_t timeout_ms);

/* Kills it if it runs, waits, and frees. NULL is a no-op. */
void worker_free(struct worker *w);

/* Whether its log has this text; how many lines have it; the file's path. */
bool worker_said(struct worker *w, const char *text);
unsigned worker_count(struct worker *w, const char *text);
const char *worker_log(const struct worker *w);

/* Waits until the worker has registered or rebound n lanes in all. */
bool worker_is_up(struct worker *w, unsigned n);

/*
 * Waits until the queue is at rest: nothing ready, active, scheduled or to be
 * retried. Prints what is there, and returns false, after timeout_ms.
 */
bool queue_at_rest(struct redis *r, const char *queue, int64_t timeout_ms);

/* Jobs in all active lists of the leased lanes of a queue. */
long long queue_active(struct redis *r, const char *queue);

/* A counter of the queue's stats, 0 if there is none. */
long long queue_stat(struct redis *r, const char *queue, const char *name);

/* Puts n envelopes {"type":type,"payload":i} on the queue, i from first. */
void queue_fill(struct redis *r, const char *queue, const char *type,
                unsigned first, unsigned n);

/*
 * Writes an executable file into the directory of the test's Redis and
 * returns its path, lent until the test ends.
 */
const char *script_file(struct redis *r, const char *name, const char *text);

/* Lines of a file; its lines that are the same as one before. */
unsigned file_lines(const char *path);
unsigned file_distinct_lines(const char *path);

#endif
