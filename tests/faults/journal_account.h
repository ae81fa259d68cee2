#ifndef TESTS_FAULTS_JOURNAL_ACCOUNT_H
#define TESTS_FAULTS_JOURNAL_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/faults/journal.h"
#include "tests/faults/journal_world.h"

/*
 * The accountant: knows each job, whatever bytes it has at the moment, and
 * judges what a transaction did to it. Thread: the test's.
 */
struct job {
    struct job_history h;
    unsigned alive;  /* elements of it in other places than dead */
    unsigned popped; /* times it was taken by LPOP and not seen since */
    unsigned outbox; /* of alive: in the outbox */
    uint64_t seq;    /* when it came into ready */
    bool touched;    /* its order in ready means nothing any more */
    bool ended;      /* in this transaction */

    /* Of the transaction: the places that it left. */
    struct change *gone, *gone_last;
    unsigned gone_count;
};

struct account {
    struct report report;
    struct world world;
    unsigned allowed;
    struct index by_serial, by_id; /* of struct job */
    struct job **jobs;             /* owned, and what they point to */
    size_t job_count, job_cap;
    struct moves total;
    uint64_t popped; /* jobs that are out by LPOP */
    uint64_t came;   /* jobs that came into ready */
    uint64_t left;   /* seq of the last untouched one that left it */
    int64_t fence;   /* the last that was given */

    /* Of the transaction. */
    struct moves now;
    bool push; /* it only puts jobs into the queue */
    uint64_t evicted;
    bool doubled;                 /* a job is in two places now */
    const struct change *matched; /* where the search for a match goes on */
    const struct change *back;    /* the last that was given back */
    struct job **numbered;        /* owned: deliveries that get a fence */
    size_t numbered_count, numbered_cap;
};

void account_init(struct account *a, const char *queue, unsigned allowed,
                  FILE *out);
void account_done(struct account *a);

/* Judges what the world noted, and lets it forget. */
void account_transaction(struct account *a);

/* ---- between journal_account.c and those that judge ---- */

/* Counts it for the transaction, for all and for the job. */
#define COUNT(a, j, field)                                                     \
    do {                                                                       \
        (a)->now.field++;                                                      \
        (a)->total.field++;                                                    \
        (j)->h.moves.field++;                                                  \
    } while (0)

#define BREACH(a, kind, ...)                                                   \
    report_breach(&(a)->report, &(a)->report.breaches.kind,                    \
                  #kind ": " __VA_ARGS__)

/* "job 17" or "job 01J…" or "a job without id". Returns out. */
const char *job_shown(const struct job *j, char out[SHOWN_MAX]);

/* Whether a transaction only puts jobs into the queue. */
bool judge_is_push(const struct account *a);
/* An element went from one place to another. */
void judge_move(struct account *a, const struct change *from,
                const struct change *to);
/* ---- journal_follow.c ---- */
/* Whether it came because a job that ends now names it in its "then". */
bool follow_parent(struct account *a, const struct change *to);
/* How many the "then" of a job that left names. */
unsigned follow_expected(const struct change *c);

/* ---- journal_judge.c ---- */
/* One came and did not leave another place; job is new if fresh. */
void judge_arrival(struct account *a, const struct change *to, bool fresh);
/* What was counted, and numbered, against what was moved. */
void judge_counters(struct account *a);
void judge_fences(struct account *a);
/* For those who take part in it by a lane. */
void judge_need_lease(struct account *a, const struct change *c,
                      const char *what);
/* Those that only were pushed leave in the order in which they came. */
void judge_leave_ready(struct account *a, struct job *j);
/* A lane took over a whole active list. */
void judge_rename(struct account *a, const struct change *c);

/* ---- journal_end.c ---- */
/* Whether there is room for one more in what was counted. */
bool judge_is_left(const struct account *a, const char *field, uint64_t now);
/* Retry, scheduled or dead. */
bool judge_is_waiting(enum role role);
/* Counters mean nothing where they cannot be written. */
bool judge_counts(const struct account *a);
/* Some left without coming anywhere. */
void judge_departures(struct account *a);
/* Locks and marks of what ended. */
void judge_outlived(struct account *a);

#endif
