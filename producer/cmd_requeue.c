/*
 * belt requeue: jobs that wait or are dead, to be run at once.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/requeue.h"

#include <sysexits.h>

#include "producer/complain.h"

static int act(struct select *s, const struct selected *jobs, unsigned n)
{
    return requeue_jobs(s, jobs, n, NULL);
}

static int run_requeue(const struct options *o)
{
    static const struct select_plan plan = {
        .verb = "requeue", .past = "requeued", .act = act};

    return select_run(o, &plan, NULL);
}

static const struct flag flags[] = {
    SELECT_WHICH_FLAGS,
    SELECT_HOW_FLAGS,
    {"raw", 0, FLAG_BOOL, NULL, offsetof(struct options, raw), 0, 0,
     "of what was no envelope, put the bytes back"},
    {0},
};

const struct command cmd_requeue = {
    .name = "requeue",
    .usage = "QUEUE/ID ... | - | QUEUE ... (--all | FILTER)",
    .summary = "Run jobs that are dead or wait, at once",
    .details =
        "To the end of ready, in the order in which they died or are due, "
        "however full the\nqueue is. Dead jobs begin anew: attempts, crashes, "
        "recoveries, the error and an\nexpires_at that has passed go, "
        "failures stay as their history. Those that wait for\na retry or "
        "their time go as they are.\n\nA dead job takes its unique key again; "
        "if another job holds it, it stays, and\nthat is told (status 1). What "
        "comes while the command runs is left alone. With\nids, and without "
        "--state, all three sets are looked at. --since and --until are\nheld "
        "against the death of a job, its last failure (retry) or its push "
        "(scheduled).\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_requeue,
};

static int run_dead_requeue(const struct options *o)
{
    struct options dead = *o;

    dead.state = "dead";
    return run_requeue(&dead);
}

static const struct flag dead_flags[] = {
    FILTER_FLAGS,
    SELECT_HOW_FLAGS,
    {"raw", 0, FLAG_BOOL, NULL, offsetof(struct options, raw), 0, 0,
     "of what was no envelope, put the bytes back"},
    {0},
};

const struct command cmd_dead_requeue = {
    .name = "dead requeue",
    .usage = "QUEUE/ID ... | - | QUEUE ... (--all | FILTER)",
    .summary = "Run dead jobs once more",
    .details = "As belt requeue --state dead.\n",
    .flags = dead_flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_dead_requeue,
};
