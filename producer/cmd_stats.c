/*
 * belt stats: what became of the jobs of a queue, minute by minute.
 *
 * Thread: main, which is also the loop.
 */
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/stats_rows.h"

#define AT(member) offsetof(struct options, member)

static int check(const struct options *o)
{
    const char *queue = o->args[0];

    if (!text_is_name(queue, strlen(queue)))
        return fail(o, EX_USAGE, "%s: not the name of a queue", queue);
    if (o->by_ms % STATS_MINUTE_MS != 0)
        return fail(o, EX_USAGE, "--by: whole minutes");
    if (o->total && (o->minutes != 60 || o->by_ms != STATS_MINUTE_MS))
        return fail(o, EX_USAGE, "--total takes no --minutes and no --by");
    return 0;
}

static int run_stats(const struct options *o)
{
    struct stats s = {0};
    struct client *client;
    struct keys keys;
    int status = check(o);

    if (status == 0)
        status = client_open(o, &client);
    if (status != 0)
        return status;
    keys_init(&keys, o->ns, o->args[0]);
    status = o->total ? stats_total(&s, client, &keys)
                      : stats_minutes(&s, client, &keys, o->minutes, o->by_ms);
    if (status == 0) {
        struct out *out = out_new(o, stats_columns);
        stats_out(out, &s, o->format == OUT_TABLE);
        out_end(out);
    }
    stats_done(&s);
    client_close(client);
    return status;
}

static const struct flag flags[] = {
    {"minutes", 0, FLAG_INT, "N", AT(minutes), 1, STATS_MINUTES_MAX,
     "the last N, up to a day (60)"},
    {"by", 0, FLAG_DURATION, "D", AT(by_ms), STATS_MINUTE_MS,
     STATS_MINUTES_MAX *STATS_MINUTE_MS, "a row for so long: 5m, 1h (1m)"},
    {"total", 0, FLAG_BOOL, NULL, AT(total), 0, 0,
     "one row: all that was ever counted"},
    {0},
};

const struct command cmd_stats = {
    .name = "stats",
    .usage = "QUEUE [--minutes N] [--by D] | QUEUE --total",
    .summary = "Show what became of a queue's jobs, minute by minute",
    .details =
        "Jobs are counted when they are settled; started counts runs that have "
        "ended.\nwait is the time from the push, or from when a job was due, "
        "to "
        "its start, run the\ntime of a run; half of them, 95 and 99 of a "
        "hundred took no longer, to the nearest\npower of two, interpolated. "
        "The table leaves out minutes in which nothing was;\nformats for "
        "programs have them all, times in milliseconds, and "
        "say how many jobs their\nhandler discarded (exit 99), were put off, "
        "snoozed, invalid, or refused.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_stats,
};
