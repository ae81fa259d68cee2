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
 * Needs: Redis 7, appendonly yes, auto-aof-rewrite-percentage 0 (all history
 * is kept), database 0, jobs whose payload begins {"n":<serial>, each serial
 * pushed once. Serial 0: many equal jobs, which count by number until they
 * have an id, then by id. What is no envelope counts by its bytes.
 *
 * Read it when the server has ended in order, or set appendfsync always: with
 * everysec Redis answers before it writes while an fsync is under way, so that
 * the file is up to two seconds behind, and a kill -9 loses what was answered.
 *
 * What a job's "then" names comes when that job is done, in that transaction;
 * of the outbox it is only known that each leaves it once. (Not told of jobs at
 * most once, of which no transaction shows the end.)
 *
 * A job that a lane of at-most-once took by LPOP has left without a trace: it
 * is popped, not lost and not left; it may be settled or given back later.
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
    uint64_t popped;       /* taken by LPOP: at-most-once */
    uint64_t rebound;      /* taken along by rebind, still the same delivery */
    uint64_t snoozed;      /* active -> scheduled */
    uint64_t cancelled;    /* left for good */
    uint64_t expired;      /* active -> dead */
    uint64_t sent, leaves; /* into outbox, and out of it */
    uint64_t requeued;     /* dead, retry, scheduled -> ready */
    uint64_t revived;      /* of requeued and sent: that were dead */
    uint64_t removed;      /* dead, retry, scheduled -> gone */
    uint64_t purged;       /* ready -> gone */
    uint64_t replaced;     /* another payload in scheduled */
    uint64_t ticked;       /* of pushed: by cron */
    uint64_t imported;     /* into dead, from nowhere */
};

struct job_history {
    uint64_t serial; /* 0: one of the equal ones */
    char id[65];     /* "" before it was stamped */
    struct moves moves;
    /*
     * Fences of its deliveries, 0: none, and how many had one that is known:
     * a job that came by BLMOVE has none, or, stamped without need of an id,
     * one that the journal does not tell from others.
     */
    uint64_t first_fence, last_fence, fences;
    bool settled; /* done, discarded, cancelled, in dead, sent away, removed */
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

/* Breaches of the promises, by kind. */
struct breaches {
    /* A job in no place, and not counted as settled; or done without what was
     * to follow it. */
    uint64_t lost;
    uint64_t twice;         /* in two places, or in one from nowhere */
    uint64_t settled_twice; /* seen again after its end */
    /*
     * The active list of a lane without lease changed by other than reap, the
     * straggler's look or a late BLMOVE; one of a lane with lease reaped; an
     * id leased again after its end.
     */
    uint64_t unleased;
    uint64_t miscounted; /* counters moved otherwise than the jobs */
    /*
     * Jobs that no fault touched (only pushed, fetched, settled) left ready in
     * another order than they came; or jobs that were given back do not stand
     * at its head in their old order.
     */
    uint64_t order;
    uint64_t altered; /* a payload changed on the way */
    uint64_t fences;  /* a fencing number that did not grow, or was not given */
    uint64_t outlived; /* a lock without an end, of a job that has ended, or the
                        * mark of one that was cancelled */
    uint64_t unknown;  /* a command, or a move of a job, that no script makes */
};
struct breaches journal_breaches(const struct journal *j);
uint64_t journal_breach_count(const struct journal *j); /* of all kinds */

/* Jobs still in ready, active, retry, scheduled or outbox at the end of the
 * journal. */
uint64_t journal_left(const struct journal *j);

/* Sums over all jobs; one by one, i below journal_jobs(). Lent until free. */
struct moves journal_moves(const struct journal *j);
size_t journal_jobs(const struct journal *j);
const struct job_history *journal_job(const struct journal *j, size_t i);

/* The job of this id, or NULL. Lent until free. */
const struct job_history *journal_find(const struct journal *j, const char *id);

/* The value of the queue's stats field as the journal has it, 0: none. */
int64_t journal_stat(const struct journal *j, const char *field);

#endif
