#ifndef PRODUCER_SELECT_PRIV_H
#define PRODUCER_SELECT_PRIV_H

#include "producer/job_name.h"
#include "producer/select.h"

/* What select.c, select_check.c and select_run.c share. */

enum {
    SELECT_SETS = 3,
    SELECT_TOLD_MAX = 20 /* jobs that are complained of one by one */
};

struct wanted {
    struct job_name name;
    bool found;
};

/* Jobs that are looked for by their ids. */
struct wanted_list {
    struct select *s;   /* borrowed */
    struct wanted *all; /* owned */
    size_t count;
    size_t unfound; /* of the queue that is under way */
};

/* Whether an argument names jobs, not a queue. */
bool select_is_id(const char *arg);

/* Reads the options. Returns 0, or the exit status of what was told. */
int select_check(struct select *s);

/* One set of the queue. Of list, or by the filter. */
int select_walk_set(struct select *s, struct wanted_list *list,
                    enum queue_set set);

/* All of the list, which is empty then. */
int select_wanted(struct wanted_list *list);

#endif
