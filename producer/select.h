#ifndef PRODUCER_SELECT_H
#define PRODUCER_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/queue_admin.h"
#include "producer/client.h"
#include "producer/filter.h"
#include "producer/job_rows.h"
#include "producer/walk.h"

/*
 * Jobs of sorted sets that a command line means, by id (QUEUE/ID, or "-" for
 * such lines on stdin) or by queue and filter, handed in batches to what is to
 * be done with them. It says how far it came and what could not be done; it
 * goes at --rate, stops at --limit, and with --dry-run shows the jobs only.
 * Memory is bounded, whatever the size of the sets. Main thread.
 */
struct selected {
    struct bytes element; /* of the set, lent until act returns */
    struct job *job;      /* the same; NULL: it is no envelope */
    int64_t at_ms;        /* its score; -1: no time */
    unsigned place;       /* in the page of the walk */
    char why[128];        /* it is no envelope: the reason */
};

struct select_plan;
struct select_part;

struct select {
    const struct options *o; /* borrowed */
    const struct select_plan *plan;
    struct client *client; /* owned */
    struct filter filter;
    struct keys keys;      /* of the queue that is under way */
    enum queue_set set;    /* and the set */
    struct walk *walk;     /* owned; NULL: the jobs were found otherwise */
    struct job_rows *rows; /* owned: of --dry-run and list; else NULL */
    void *arg;             /* of the command's own */

    int64_t started_ms; /* by Redis' clock: later ones are left */
    int64_t per_second; /* 0: as fast as it goes */
    int64_t next_at_ms; /* of that rate */
    int64_t matched;    /* of --limit */
    int64_t done, left, missing;

    struct select_part *part; /* borrowed; NULL: whole sets */
    bool enough;              /* as act said, at last in the page */
    unsigned last;
};

/* Does it to n jobs of s->keys and s->set. Returns an exit status. */
typedef int (*select_act)(struct select *s, const struct selected *jobs,
                          unsigned n);
/* Of a job that stays where it is, because of why. */
typedef void (*select_left)(struct select *s, const struct selected *job,
                            const char *why);
/* To an id that is in none of the sets that were looked at. */
typedef int (*select_missing)(struct select *s, const char *id);

struct select_plan {
    const char *verb, *past;   /* "requeue", "requeued" */
    bool down;                 /* the highest score first */
    bool looks;                /* changes nothing: no --all is needed */
    bool quiet;                /* no sum in the end */
    bool waits;                /* of retry and scheduled only, without --state
                                  of both */
    select_act act;            /* NULL: shows them */
    select_left on_left;       /* NULL: the first ones are told */
    select_missing on_missing; /* without --state; NULL: they are told */
};

/*
 * Reads o, walks, acts, and tells the sum. Returns the exit status: 0, or 1 if
 * something was missing or left, or that of an error that was told.
 */
int select_run(const struct options *o, const struct select_plan *plan,
               void *arg);

/* For act: the job was dealt with; gone: it has left the set. */
void select_done(struct select *s, const struct selected *job, bool gone);
/* It has left the set, by us or by others. */
void select_gone(struct select *s, const struct selected *job);
/* The job stays where it is, because of why, which is told. */
void select_leave(struct select *s, const struct selected *job,
                  const char *why);

/* Shows it as a row of s->rows. Returns false when these can take no more. */
bool select_show(struct select *s, const struct selected *job);

/*
 * Part of a set, for those who go on later: so many jobs are looked at at most,
 * and s->o->limit of them taken. A walk that is gone on with goes the same way.
 */
struct select_part {
    bool go_on;              /* from place; else from the beginning */
    struct walk_place place; /* behind the last job that was looked at */
    int64_t look_max, looked;
    size_t bytes_max, bytes; /* of those that were looked at, about */
    bool more;               /* it did not come to the end */
};

/*
 * For a select that somebody else has made: o, plan, client, keys and set are
 * there, filter or ids say which jobs; nothing is told of the sum. Of ids only
 * those that are valid may come; missing counts those that are not there, once
 * there is no more. Returns 0, or the status of an error that was told.
 */
int select_part(struct select *s, struct select_part *part);
int select_part_ids(struct select *s, const char *const *ids, size_t n,
                    struct select_part *part);
/* For act: this was the last one of the part; what follows is left alone. */
void select_enough(struct select *s, const struct selected *job);

/*
 * Since when a job (NULL: no envelope) with this score is in the set, for
 * filters: its death, its last failure, or its push; -1: it does not say.
 */
int64_t select_came_at(enum queue_set set, const struct job *job,
                       int64_t at_ms);

/* "dead" and so on; and back, or -1. */
const char *select_set_name(enum queue_set set);
int select_find_set(const char *name);

#define SELECT_WHICH_FLAGS                                                     \
    {"state",                                                                  \
     0,                                                                        \
     FLAG_TEXT,                                                                \
     "STATE",                                                                  \
     offsetof(struct options, state),                                          \
     0,                                                                        \
     0,                                                                        \
     "of which set: dead, retry or scheduled (dead)"},                         \
        FILTER_FLAGS
#define SELECT_HOW_FLAGS                                                       \
    {"all",                                                                    \
     0,                                                                        \
     FLAG_BOOL,                                                                \
     NULL,                                                                     \
     offsetof(struct options, all),                                            \
     0,                                                                        \
     0,                                                                        \
     "all jobs of the set"},                                                   \
        {"dry-run",                                                            \
         0,                                                                    \
         FLAG_BOOL,                                                            \
         NULL,                                                                 \
         offsetof(struct options, dry_run),                                    \
         0,                                                                    \
         0,                                                                    \
         "show them, and change nothing"},                                     \
        {"rate",                                                               \
         0,                                                                    \
         FLAG_TEXT,                                                            \
         "N/s",                                                                \
         offsetof(struct options, rate),                                       \
         0,                                                                    \
         0,                                                                    \
         "so many a second at most"},                                          \
    {                                                                          \
        "limit", 0, FLAG_INT, "N", offsetof(struct options, limit), 1,         \
            INT64_MAX, "the first N of them"                                   \
    }

#endif
