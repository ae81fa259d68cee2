/*
 * belt delete: jobs that wait or are dead, for good.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/complain.h"
#include "producer/remove.h"

/* It may be ready or run, where it is not searched for: then it is cancelled.
 */
static int mark(struct select *s, const char *id)
{
    int status = remove_mark(s, &id, 1);

    if (status == 0)
        complain(s->o,
                 "%s/%s: neither dead nor waiting for a retry or its time: "
                 "marked, to be cancelled by the worker that has or gets it",
                 s->keys.queue, id);
    return status;
}

static int run_delete(const struct options *o)
{
    static const struct select_plan plan = {.verb = "delete",
                                            .past = "deleted",
                                            .act = remove_jobs,
                                            .on_missing = mark};

    return select_run(o, &plan, NULL);
}

static const struct flag flags[] = {
    SELECT_WHICH_FLAGS,
    SELECT_HOW_FLAGS,
    {0},
};

const struct command cmd_delete = {
    .name = "delete",
    .usage = "QUEUE/ID ... | - | QUEUE ... (--all | FILTER)",
    .summary = "Delete jobs that are dead or wait",
    .details =
        "With their locks of unique keys, and their status. What comes while "
        "the command\nruns is left alone. With ids, and without --state, all "
        "three sets are looked at. A\njob that is in none of them may be "
        "ready or run, where it is not searched for: it\nis marked, as with "
        "belt cancel.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_delete,
};

static int run_dead_delete(const struct options *o)
{
    struct options dead = *o;

    dead.state = "dead";
    return run_delete(&dead);
}

static const struct flag dead_flags[] = {FILTER_FLAGS, SELECT_HOW_FLAGS, {0}};

const struct command cmd_dead_delete = {
    .name = "dead delete",
    .usage = "QUEUE/ID ... | - | QUEUE ... (--all | FILTER)",
    .summary = "Delete dead jobs",
    .details = "As belt delete --state dead.\n",
    .flags = dead_flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_dead_delete,
};
