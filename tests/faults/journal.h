#ifndef TESTS_FAULTS_JOURNAL_H
#define TESTS_FAULTS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Accountant over Redis' own journal: replays the append-only file, every
 * command and every transaction of it, and knows after each where every job
 * was. Unlike a look at the end it finds what happened on the way: a job that
 * was nowhere for one transaction, in two places, settled and back again,
 * settled by a lane without a lease, or counted otherwise than it was moved.
 *
 * Needs: appendonly yes, auto-aof-rewrite-percentage 0 (all history is kept),
 * jobs whose payload begins {"n":<serial> (serial 0: many equal jobs, which
 * count by number until they have an id, then by id).
 *
 * Thread: the test's.
 */
struct journal;

/* Moves of one job, or of all. */
struct moves {
    uint64_t pushed, fetched;  /* fetched: into an active list, by any way */
    uint64_t done, discarded;  /* left for good */
    uint64_t retried, put_off; /* active -> retry */
    uint64_t dead, invalid;    /* active -> dead */
    uint64_t released, reaped, straggled, promoted;
    uint64_t rebound; /* taken along by rebind, still the same delivery */
};

struct job_history {
    uint64_t serial; /* 0: one of the equal ones */
    char id[65];     /* "" before it was stamped */
    struct moves moves;
    uint64_t first_fence, last_fence; /* of its deliveries; 0: none */
    bool settled;                     /* done, discarded, or in dead */
};

/* What a battle may do on purpose, and is then no breach. */
enum {
    JOURNAL_TWICE = 1, /* a job in two places, after a script was stopped */
};

/*
 * Replays dir/appendonlydir (its manifest says in which order) for one queue
 * of namespace belt. Each breach is one line to out, at most a hundred, with
 * the number of the transaction. Returns owned. Ends the program with a
 * message if the files cannot be read.
 */
struct journal *journal_replay(const char *dir, const char *queue,
                               unsigned allowed, FILE *out);
void journal_free(struct journal *j);

/*
 * Breaches of the promises, by kind: a job in no place without having been
 * settled; a job in two places; a job settled more than once or seen again
 * after its end; an active list changed by other than reap or the straggler's
 * look while its lane held no lease; counters that moved otherwise than the
 * jobs; jobs that no fault touched (only pushed, fetched and settled) leaving
 * ready in another order than they came.
 */
struct breaches {
    uint64_t lost, twice, settled_twice, unleased, miscounted, order;
};
struct breaches journal_breaches(const struct journal *j);

/* Jobs still in ready, active, retry or scheduled at the end of the journal. */
uint64_t journal_left(const struct journal *j);

/* Sums over all jobs; one by one, i below journal_jobs(). Lent until free. */
struct moves journal_moves(const struct journal *j);
size_t journal_jobs(const struct journal *j);
const struct job_history *journal_job(const struct journal *j, size_t i);

/* The value of the queue's stats field as the journal has it, 0: none. */
int64_t journal_stat(const struct journal *j, const char *field);

#endif
