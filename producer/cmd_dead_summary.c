/*
 * belt dead summary: of what kinds dead jobs are.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/summary.h"

static int run_summary(const struct options *o)
{
    static const struct select_plan plan = {.verb = "sum up",
                                            .past = "summed up",
                                            .looks = true,
                                            .quiet = true,
                                            .act = summary_add};
    struct summary *sum = summary_new();
    struct options dead = *o;

    dead.state = "dead";
    int status = select_run(&dead, &plan, sum);
    struct out *out = out_new(o, summary_columns);
    if (status == 0)
        summary_out(sum, out, o->format == OUT_TABLE);
    out_end(out);
    summary_free(sum);
    return status;
}

static const struct flag flags[] = {FILTER_FLAGS, {0}};

const struct command cmd_dead_summary = {
    .name = "dead summary",
    .usage = "QUEUE ... [FILTER]",
    .summary = "Count dead jobs by type and kind of error",
    .details = "Errors are of one kind when they differ in numbers (#) and "
               "what is in quotes (*)\nonly. FIRST and LAST are when such a "
               "job died, EXAMPLE is the last one, for belt\ndead show. After "
               "a thousand kinds the rest is (others).\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_summary,
};
