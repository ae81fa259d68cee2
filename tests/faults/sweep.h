#ifndef TESTS_FAULTS_SWEEP_H
#define TESTS_FAULTS_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/faults/proxy.h"
#include "tests/support/redis.h"
#include "tests/support/worker.h"

/*
 * Sweep of cuts: for each command and each point of proxy.h a worker of its
 * own, with a queue and a link of its own, whose connection is cut just there.
 * Many of them go through the same steps side by side.
 *
 * All of it ends the test on failure, naming the cut.
 */
enum { SWEEP_MS = 60 * 1000, NAME_BYTES = 40, PAIRS_MAX = 48 };

/* Points, and the kinds of jobs: with ids of their own, or all equal. */
#define SWEEP_POINTS 4
extern const char *const sweep_points[SWEEP_POINTS];

struct pair;

/* How a command is brought about. */
struct scene {
    const char *command; /* as in proxy.h */
    const char *name;    /* of the scene, if the command has several */
    bool again;          /* to be provoked until the nth one has come */

    /*
     * prepare: before the rule is made; the worker is idle, or, if early, not
     * there yet. provoke: after that. before_late: when the worker is back
     * from a late cut. Each may be NULL.
     */
    bool early;
    void (*prepare)(struct pair *p);
    void (*provoke)(struct pair *p);
    void (*before_late)(struct pair *p);

    const char *flag; /* one more of the worker; NULL: none */
    bool at_most_once;
    bool named;       /* its jobs need ids of their own: no equal ones */
    bool killed;      /* once it was cut, and another one comes */
    bool leaves_jobs; /* the worker is to end before they are done */
    bool fenced;      /* what ran late must have been answered FENCED */
    bool strands;     /* what ran late took a job that nobody knows of */
    unsigned repeats; /* runs that may come twice */
};

/* One cut. */
struct pair {
    struct sweep *sweep; /* borrowed */
    const struct scene *scene;
    const char *point;
    bool equal; /* kind of its jobs */
    unsigned nth, link;
    int64_t bytes; /* of middle; -1: half */
    char queue[NAME_BYTES];
    struct worker *worker; /* owned */
    bool told_to_end;      /* by the scene */
    unsigned bound;        /* times it had registered or rebound before */
    unsigned serial;       /* of the last job */

    /* What the jobs that were pushed come to. */
    long long done, retried, dead, cancelled, runs;

    /* For the table, once audited. */
    unsigned ran, distinct;
    long long was_done;
};

struct sweep {
    struct redis *redis;
    struct proxy *proxy;
    char *handler; /* owned: value of --handler */
    struct pair pairs[PAIRS_MAX];
    unsigned count;
};

/*
 * A Redis with a journal, a proxy with as many links as there are pairs: each
 * scene with each point and both kinds of jobs, cut at the nth such command.
 */
void sweep_begin(struct sweep *s, const struct scene *const *scenes,
                 unsigned count, unsigned nth);

/* The same with one scene, cut in the middle after first bytes and more. */
void sweep_begin_bytes(struct sweep *s, const struct scene *scene, unsigned nth,
                       unsigned first);

/* All steps up to the end of the workers, and of whatever they left. */
void sweep_run(struct sweep *s);

/* The same for workers that end by themselves, be they cut or not. */
void sweep_run_sessions(struct sweep *s);
bool sweep_has_fired(const struct pair *p);

/* Counts everything; prints the table; returns how many pairs are wrong. */
unsigned sweep_audit(struct sweep *s);
void sweep_end(struct sweep *s);

/* ---- for scenes ---- */

/*
 * Pushes n jobs of a type by plain RPUSH, in one command: quick; fails, at its
 * first attempt; dies, never to be tried again; waits, until the cut is over
 * and what was late has run; noop, which takes no time and notes no run; chain,
 * which two others follow, one after the other; locked, which holds the lock of
 * its id, if it has one, until it is done; hangs, which has an id and never
 * ends by itself, so that it must be cancelled (scenes say how many of them
 * begin).
 */
void sweep_push(struct pair *p, const char *type, unsigned n);
/* Marks the last n jobs that were pushed, or the next n, as belt cancel does.
 */
void sweep_cancel(struct pair *p, unsigned n, bool next);
void sweep_stop(struct pair *p); /* SIGTERM, once */

/*
 * Waits until so many runs were begun; nothing is left to be run; a command
 * was seen so often.
 */
void sweep_wait_runs(struct pair *p, unsigned n);
void sweep_wait_rest(struct pair *p);
void sweep_wait_seen(struct pair *p, const char *command, int64_t n);

/* Starts a worker of the pair's queue: over its link, or past the proxy. */
struct worker *sweep_worker(struct pair *p, const char *host, bool direct);

#endif
