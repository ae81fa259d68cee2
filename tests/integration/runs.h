#ifndef TESTS_INTEGRATION_RUNS_H
#define TESTS_INTEGRATION_RUNS_H

#include <stdint.h>

#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

/*
 * What stories about jobs that run have in common: one Redis for the program,
 * emptied for each test, the queue q, and a worker with some handlers.
 */
enum { RUN_MS = 60 * 1000 }; /* patience: a sanitized worker is slow */

extern struct redis *runs_redis;

/* For cmocka: around the program, and around each test. */
int runs_start(void **state);
int runs_stop(void **state);
int runs_clear(void **state);
int runs_over(void **state); /* kills the workers of a test that failed */

/* A worker of queue q with these flags, up. The list ends with NULL. */
struct worker *runs_worker(const char *first, ...) __attribute__((sentinel));

/* Ends it with TERM: it must end with 0. Frees it. */
void runs_end(struct worker *w);

/*
 * "TYPE=exec:…" of a shell script with this text, lent until the program
 * ends; in it $out is the file of runs_out.
 */
const char *runs_handler(const char *type, const char *text);
const char *runs_out(void);

/* Whether some line of that file is this one; else the test fails. */
void runs_expect_line(const char *line);

/* RPUSH of one envelope. */
void runs_push(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Waits until a number in Redis is at least n: "ZCARD belt:{q}:retry". */
void runs_await(const char *command, long long n);
/* The same for a counter of q, and for the end of all jobs of q. */
void runs_await_stat(const char *name, long long n);
void runs_await_rest(void);
/* Waits until n clients block: the lanes wait for jobs. */
void runs_await_idle(long long n);

/* A number of INFO, 0 if it is not there: "cmdstat_evalsha:calls=". */
long long runs_info(const char *section, const char *before);

/* The first member of a zset of q, parsed; owned, for job_free. */
struct job;
struct job *runs_first(const char *set);

#endif
