#ifndef TESTS_INTEGRATION_FAULTS_H
#define TESTS_INTEGRATION_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/redis.h"
#include "tests/support/worker.h"

/*
 * What the programs about faults share: handlers that write down their runs,
 * waiting, and the books of a queue. All of it ends the test on failure. The
 * queue is "q".
 */
enum {
    PATIENCE_MS = 60000, /* for what must happen, however slow the build */
    NOTE_PATH_MAX = 4096 /* bytes of a path */
};

/* What a bound of the issue is multiplied with under a sanitizer: nothing
 * is promised for those builds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOWNESS = 4 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SLOWNESS = 4 };
#else
enum { SLOWNESS = 1 };
#endif
#else
enum { SLOWNESS = 1 };
#endif

/*
 * Makes a handler for the type "note", and returns the value of --handler for
 * it, lent until the next call. It appends its payload to the file "jobs" in
 * the directory of the test's Redis; to "counted" if this is not the first
 * attempt; to "recovered" if the job was ever taken from a dead worker. Then
 * it does what body says, in sh, with the payload in $p, the directory in $d.
 */
const char *note_handler(struct redis *r, const char *body);

/* Lines and different lines of such a file. */
unsigned noted(struct redis *r, const char *file);
unsigned noted_distinct(struct redis *r, const char *file);

/* Each fails the test if it is not so within PATIENCE_MS. */
void wait_noted(struct redis *r, const char *file, unsigned n);
void wait_said(struct worker *w, const char *text, unsigned times);
void wait_active(struct redis *r, long long at_least);
void wait_stat(struct redis *r, const char *name, long long at_least);

/*
 * All of n jobs were settled done, each once; nothing is left in any list, no
 * job died, none was counted as retried.
 */
void expect_settled(struct redis *r, long long n);

/* The same as noted by their handlers: each of n ran once, or more often. */
void expect_each_ran_once(struct redis *r, unsigned n);
void expect_each_ran(struct redis *r, unsigned n);

/* Nobody was declared dead. */
void expect_nobody_reaped(struct redis *r);

/* cmocka: a Redis of its own for each test, in *state. */
int redis_setup(void **state);
int redis_teardown(void **state);

/* Starts a worker of queue q on that host with these flags and waits for it. */
struct worker *worker_up(struct redis *r, const char *host,
                         const char *const *flags);

/* Ends a job after some ms that its process number says: out of order. */
#define A_MOMENT "exec sleep 0.0$(($$ % 10))"

/* Workers of one host that run "note", and what was pushed for them. */
enum { FLEET = 8, FLEET_THREADS = 2 };
struct fleet {
    struct redis *r;
    struct worker *w[FLEET];
    unsigned pushed;
    const char *twin; /* the one envelope of all jobs, or NULL */
};

/* body is the handler's. fleet_feed pushes n jobs more; fleet_end drains. */
void fleet_start(struct fleet *f, struct redis *r, const char *lease,
                 const char *body);
void fleet_feed(struct fleet *f, unsigned n);
void fleet_end(struct fleet *f);

/* Lines of all its logs that have this text. */
unsigned fleet_said(struct fleet *f, const char *text);

/* Kills it as kill -9 does and waits for its end. */
void worker_kill9(struct worker *w);

#endif
