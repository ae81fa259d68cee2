#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "tests/support/redis.h"

/*
 * Measurements of Belt, each beside a reference of the same moment.
 *
 * A section is a file section_NAME.c. It has a redis-server of its own, and is
 * called once for each round; what it measures it records as figures, a value
 * and its reference at a time. Only the ratio of the two means something on
 * another machine, or on one that others use.
 *
 * Whatever is not as it should be ends the program with exit code 1: a figure
 * of work that was not done is worth nothing.
 *
 * Thread: main, unless a section says otherwise.
 */

/* One line for each section. */
#define BENCH_SECTIONS(X)                                                      \
    X(chan)                                                                    \
    X(textbook)                                                                \
    X(push)                                                                    \
    X(settle)                                                                  \
    X(window)                                                                  \
    X(mixed)                                                                   \
    X(latency)                                                                 \
    X(promote)                                                                 \
    X(exec)                                                                    \
    X(process)                                                                 \
    X(subtask)                                                                 \
    X(serve)                                                                   \
    X(memory)                                                                  \
    X(ten_million)

struct bench {
    struct redis *redis; /* of the section; setup and round find it empty */
    unsigned round;      /* from 0 */
    bool quick;          /* fewer cells */
    bool smoke;          /* only to see that it runs: what takes time is cut */
    int64_t jobs_wanted; /* 0: what the section finds right */
};

struct section {
    const char *name;
    const char *about;              /* "no-op jobs, one worker" */
    bool when_named;                /* not part of a run of all */
    bool once;                      /* one round is all it takes */
    void (*setup)(struct bench *b); /* before the first round, or NULL */
    void (*round)(struct bench *b);
};

/* How many jobs where n are right: n, or what --jobs or --smoke made of it. */
int64_t bench_jobs(const struct bench *b, int64_t n);

/* The same for what is counted but is no job: n, or at most a few. */
int bench_times(const struct bench *b, int n);

/* Calls both; who is first changes from round to round. */
void bench_pair(const struct bench *b, void (*reference)(void *arg),
                void (*belt)(void *arg), void *arg);

__attribute__((format(printf, 1, 2), noreturn)) void bench_fail(const char *fmt,
                                                                ...);

/* ---- figures ---- */

enum goal {
    GOAL_NONE,
    GOAL_RATIO_MIN, /* median of the ratios at least limit */
    GOAL_RATIO_MAX,
    GOAL_VALUE_MAX /* median of the values at most limit */
};

struct figure {
    const char *name;    /* unique within the section; copied */
    const char *unit;    /* "jobs/s"; constant, as the next one */
    const char *against; /* what the reference is; NULL: there is none */
    enum goal goal;
    double limit;
};

/*
 * Notes what a round measured. A figure is the first call with its name and
 * all later ones; each round must give it one value. reference is of the same
 * round and in the same unit; without meaning if against is NULL.
 */
void bench_record(struct bench *b, const struct figure *f, double value,
                  double reference);

/* Sorts, and returns the value that share (0 to 1) of the n lie below. */
double bench_quantile(double *values, size_t n, double share);

/* ---- jobs ---- */

/*
 * Envelopes of exactly so many bytes, at least ENVELOPE_MIN, with all members
 * that `belt push` would add; each is another job.
 */
enum { ENVELOPE_MIN = 128 };
struct envelope {
    char *text; /* owned; lent until the next envelope_set; ends in \n */
    size_t len; /* without the \n */
    size_t digits_at[2];
};
void envelope_init(struct envelope *e, size_t bytes);
void envelope_set(struct envelope *e, int64_t n);
void envelope_done(struct envelope *e);

/* A run of them: [first, first + count), for a queue. */
struct batch {
    const char *queue;
    int64_t first, count;
    size_t bytes;
};

/* ---- what something costs ---- */

struct cost {
    double wall_s;
    double cpu_s; /* of this program; of bench_run's child and its children */
    double redis_cpu_s;
    long long commands; /* that Redis executed, those of scripts included */
    long long scripts;  /* EVALSHA alone */
    long peak_kib;      /* of the program; never less than our own */
};

/* Reads Redis' counters; cost_end writes what has gone by since then. */
struct cost_mark {
    double wall_s, cpu_s, redis_cpu_s;
    long long commands, scripts;
};
void cost_begin(struct bench *b, struct cost_mark *m);
void cost_end(struct bench *b, const struct cost_mark *m, struct cost *ret);

/* An integer of INFO, as "used_memory"; fails when there is no such line. */
double bench_info(struct bench *b, const char *section, const char *field);

/*
 * Runs a program to its end. argv is NULL-terminated; its output goes to a
 * file, which is shown when it ends with anything but 0. in: its stdin, -1:
 * /dev/null. BELT_REDIS_URL is set.
 */
void bench_run(struct bench *b, const char *const *argv, int in,
               struct cost *ret);

/* belt-worker with these flags, NULL-terminated. It must end: --burst. */
void bench_worker(struct bench *b, const char *const *flags, struct cost *ret);

/* Starts a worker that goes on, and waits until it is up. Returns owned. */
struct worker *bench_worker_begin(struct bench *b, const char *const *flags);

/* Ends it with TERM, expects exit code 0, and frees it. */
void bench_worker_end(struct worker *w);

/*
 * belt push --ndjson of a batch, through a pipe; and from a file, which
 * bench_write made.
 */
void bench_push(struct bench *b, const struct batch *jobs, struct cost *ret);
void bench_push_file(struct bench *b, const char *queue, const char *path,
                     struct cost *ret);
void bench_write(const struct batch *jobs, const char *path);

/* Fails unless so many jobs wait, and none is anywhere else. */
void bench_expect_ready(struct bench *b, const char *queue, int64_t jobs);

/*
 * Fails unless this many jobs of the queue were done, pushed by the script
 * (-1: not counted), and nothing is left of them anywhere.
 */
void bench_expect_done(struct bench *b, const char *queue, int64_t jobs,
                       int64_t pushed);

/* FLUSHALL. */
void bench_empty(struct bench *b);

/*
 * A copy of this process that runs body and ends, with 0 unless it fails; it
 * is killed when this one ends. bench_join waits for it, after sending sig
 * unless that is 0, and fails unless it ended with 0 (or by sig).
 */
pid_t bench_fork(void (*body)(void *arg), void *arg);
void bench_join(pid_t pid, int sig);

/* Memory that such copies share with this process, zeroed; never freed. */
void *bench_shared(size_t size);

/* Bytes of a line of /proc/PID/status, as "VmRSS". */
double bench_memory(pid_t pid, const char *field);

/* ---- the textbook: one hiredis client, a hundred commands in flight ---- */

enum { PIPELINE = 100 };

redisContext *bench_connect(struct bench *b); /* owned: redisFree */

/* Takes one reply, which must be an integer; returns it. */
long long bench_reply_int(redisContext *c);

/* RPUSH of a batch, one envelope a command. */
void textbook_push(struct bench *b, const struct batch *jobs, struct cost *ret);

/*
 * Takes all jobs of a queue: a hundred LMOVE, then LREM of each of the values
 * that came back, as a consumer must. count is what has to be there.
 */
void textbook_settle(struct bench *b, const char *queue, int64_t count,
                     struct cost *ret);

#endif
