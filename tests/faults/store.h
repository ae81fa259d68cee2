#ifndef TESTS_FAULTS_STORE_H
#define TESTS_FAULTS_STORE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Example of a handler's own store, which takes the effect of every job
 * exactly once although jobs are delivered at least once: an account in
 * SQLite. What it knows of Belt is the id of a job and its fencing token,
 * BELT_FENCE, which grows with every delivery. Of each job it keeps the
 * highest token seen and whether its effect is there; the second is set in the
 * transaction that makes the effect. examples/fence does the same in sh.
 *
 * A process that is killed, at any instruction, leaves the store as it was
 * before a transaction, or after it.
 *
 * Thread: one at a time for each struct store; any number of processes.
 */
struct store;

enum store_answer {
    STORE_OK,      /* go on; the effect was made */
    STORE_ALREADY, /* the effect of this job is there: nothing was done */
    STORE_STALE,   /* a later delivery of this job is known: refused */
    STORE_ERROR    /* nothing was done; said on stderr */
};

/*
 * Opens the store of that file, made if it is not there. Returns owned, or
 * NULL, said on stderr. NULL closes as a no-op.
 */
struct store *store_open(const char *path);
void store_close(struct store *s);

/*
 * The first thing a delivery does: makes its token known, so that earlier
 * ones of this job are refused from now on. A token is at most INT64_MAX;
 * without tokens it is 0.
 */
enum store_answer store_begin(struct store *s, const char *job, uint64_t fence);

/*
 * Makes the effect: adds the amount to the balance and a row to the log of
 * effects, at most once for each job.
 */
enum store_answer store_commit(struct store *s, const char *job,
                               uint64_t serial, uint64_t fence, int64_t amount);

/* What is in a store; the log has a row for each time that it was added to. */
struct store_sums {
    uint64_t effects;    /* rows of the log */
    uint64_t jobs;       /* different ids in them */
    uint64_t unrecorded; /* jobs with an effect that are not marked, and the
                            other way round */
    int64_t balance, log_balance; /* of the account, and by the log */
};

/*
 * Audits the store of that file; one that is not there is empty. by_serial[n],
 * for serials below size, is set to the number of effects of this serial (0:
 * of all equal jobs). All is well if effects == jobs, unrecorded is 0, both
 * balances are equal, and by_serial is 1 for whatever was done. Ends the
 * program with a message if it cannot be read.
 */
struct store_sums store_audit(const char *path, unsigned *by_serial,
                              size_t size);

#endif
