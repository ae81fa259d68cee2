/*
 * belt queues purge: the jobs of a queue away, for good.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/confirm.h"
#include "producer/out.h"
#include "producer/purge.h"

static int check(const struct options *o, const char *state)
{
    const char *name = o->args[0];
    char what[NAME_MAX_LEN + 64];

    if (!text_is_name(name, strlen(name)))
        return fail(o, EX_USAGE, "%s: not the name of a queue", name);
    if (!purge_knows(state))
        return fail(o, EX_USAGE,
                    "--state: %s: not ready, scheduled, retry, dead or all",
                    state);
    (void)snprintf(what, sizeof(what), "This deletes all jobs of %s (%s)%s",
                   name, state, o->export_to ? "" : ", without a copy");
    return confirm(o, name, what);
}

static void tell(const struct options *o, int64_t purged)
{
    static const struct column columns[] = {{"purged", FOR_ALL, true}, {0}};

    if (o->format == OUT_TABLE) {
        printf("%lld purged\n", (long long)purged);
        return;
    }
    struct out *out = out_new(o, columns);
    out_int(out, purged);
    out_row(out);
    out_end(out);
}

static int run_purge(const struct options *o)
{
    const char *state = o->state ? o->state : "ready";
    int64_t purged = 0;
    int status = check(o, state);

    if (status != 0)
        return status;
    status = purge_queue(o, state, &purged);
    if (status == 0 || purged > 0)
        tell(o, purged);
    return status;
}

static const struct flag flags[] = {
    {"state", 0, FLAG_TEXT, "STATE", offsetof(struct options, state), 0, 0,
     "ready, scheduled, retry, dead or all (ready)"},
    {"export", 0, FLAG_TEXT, "FILE", offsetof(struct options, export_to), 0, 0,
     "write them there first, one envelope a line"},
    {"yes", 0, FLAG_BOOL, NULL, offsetof(struct options, yes), 0, 0,
     "do not ask"},
    {0},
};

const struct command cmd_queues_purge = {
    .name = "queues purge",
    .usage = "QUEUE [--state STATE] [--export FILE] [--yes]",
    .summary = "Delete the jobs that wait in a queue",
    .details =
        "On a terminal the name of the queue is to be typed, elsewhere --yes "
        "is needed.\nWorkers may go on: what they have taken is not purged. "
        "At most as many jobs go as\nwaited when it began. With --export each "
        "is on the disk before it goes; belt push\n--ndjson puts such a file "
        "back. FILE must not exist. Locks of unique keys go "
        "too,\nand what is kept of the jobs.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_purge,
};
