/*
 * belt move: jobs that wait or are dead, to another queue.
 *
 * They go into the outbox of their own queue, in one step, and from there on;
 * a worker of that queue does the same, so that nothing is lost whoever dies
 * on the way.
 *
 * Thread: main, which is also the loop.
 */
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/requeue.h"

static int act(struct select *s, const struct selected *jobs, unsigned n)
{
    if (strcmp(s->keys.queue, s->o->to) == 0)
        return fail(s->o, EX_USAGE, "--to: %s: is where they are", s->o->to);
    return requeue_jobs(s, jobs, n, s->o->to);
}

static int run_move(const struct options *o)
{
    static const struct select_plan plan = {
        .verb = "move", .past = "moved", .act = act};

    if (!o->to)
        return fail(o, EX_USAGE, "--to: which queue?");
    if (!text_is_name(o->to, strlen(o->to)))
        return fail(o, EX_USAGE, "--to: %s: not the name of a queue", o->to);
    return select_run(o, &plan, NULL);
}

static const struct flag flags[] = {
    {"to", 0, FLAG_TEXT, "QUEUE", offsetof(struct options, to), 0, 0,
     "where they are to go"},
    SELECT_WHICH_FLAGS,
    SELECT_HOW_FLAGS,
    {0},
};

const struct command cmd_move = {
    .name = "move",
    .usage = "--to QUEUE (QUEUE/ID ... | - | QUEUE ... (--all | FILTER))",
    .summary = "Move jobs that are dead or wait to another queue",
    .details =
        "They go into the outbox of their queue and from there on; should this "
        "be broken\noff, a worker of that queue goes on with it. Dead jobs "
        "begin anew, as with belt\nrequeue; those that are scheduled keep "
        "their time. A status that was kept goes; so\ndoes a lock of a unique "
        "key, and the job takes it in the other queue. One that\n"
        "is held there stays, and that is told (status 1).\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_move,
};
