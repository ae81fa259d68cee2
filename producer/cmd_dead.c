/*
 * belt dead list, export: dead jobs to be looked at, or kept elsewhere.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <sysexits.h>

#include "producer/complain.h"
#include "producer/export.h"
#include "producer/select.h"

enum { LISTED_MAX = 1000000 };

static int run_list(const struct options *o)
{
    static const struct select_plan plan = {.verb = "list",
                                            .past = "listed",
                                            .down = true,
                                            .looks = true,
                                            .quiet = true};
    struct options list = *o;

    list.state = "dead";
    list.limit = o->count;
    return select_run(&list, &plan, NULL);
}

static const struct flag list_flags[] = {
    FILTER_FLAGS,
    {"count", 'n', FLAG_INT, "N", offsetof(struct options, count), 1,
     LISTED_MAX, "at most so many (20)"},
    {0},
};

const struct command cmd_dead_list = {
    .name = "dead list",
    .usage = "QUEUE ... [FILTER] [-n N]",
    .summary = "Show dead jobs, those that died last first",
    .details = "WHEN is when a job died. The formats for programs have the "
               "whole envelope as \"job\".\n",
    .flags = list_flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_list,
};

static int export(struct select *s, const struct selected *jobs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!export_job(stdout, jobs[i].element, jobs[i].job, jobs[i].why))
            return EX_IOERR; /* told in the end */
        ++*(int64_t *)s->arg;
    }
    return 0;
}

static int run_export(const struct options *o)
{
    static const struct select_plan plan = {.verb = "export",
                                            .past = "exported",
                                            .looks = true,
                                            .quiet = true,
                                            .act = export};
    struct options dead = *o;
    int64_t count = 0;

    dead.state = "dead";
    int status = select_run(&dead, &plan, &count);
    if (status == 0)
        complain(o, "%lld jobs", (long long)count);
    return status;
}

static const struct flag export_flags[] = {
    FILTER_FLAGS,
    {"limit", 0, FLAG_INT, "N", offsetof(struct options, limit), 1, INT64_MAX,
     "the first N of them"},
    {0},
};

const struct command cmd_dead_export = {
    .name = "dead export",
    .usage = "QUEUE ... [FILTER]",
    .summary = "Write dead jobs to stdout, one envelope a line",
    .details = "Those that died first first; they stay where they are. belt "
               "dead import puts such\nlines back among the dead, belt push "
               "--ndjson into ready. What was no envelope is\nwritten as one "
               "of type belt.invalid.\n",
    .flags = export_flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_export,
};
