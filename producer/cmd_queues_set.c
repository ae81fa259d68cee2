/*
 * belt queues set: the bounds of a queue.
 *
 * Thread: main, which is also the loop.
 */
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "producer/bounds.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/out.h"

#define AT(member) offsetof(struct options, member)

static void print_one(struct out *out, const struct queue_bound *b, int64_t n,
                      bool set)
{
    char shown[32];

    out_str(out, b->field);
    if (n == QUEUE_BOUND_NONE)
        out_str(out, "none");
    else if (b->kind == BOUND_AGE)
        out_str(out, text_format_duration(n, shown));
    else
        out_int(out, n);
    if (n == QUEUE_BOUND_NONE)
        out_none(out);
    else
        out_int(out, n);
    out_bool(out, set);
    out_row(out);
}

static void print_all(const struct options *o, const struct bounds *b)
{
    static const struct column columns[] = {{"bound", FOR_ALL, false},
                                            {"value", FOR_PEOPLE, true},
                                            {"value", FOR_PROGRAMS, true},
                                            {"set", FOR_ALL, false},
                                            {0}};
    struct out *out = out_new(o, columns);

    for (int i = 0; i < QUEUE_BOUNDS; i++)
        print_one(out, &queue_bounds[i], b->values[i], b->set[i]);
    out_end(out);
}

static int run_set(const struct options *o)
{
    int64_t wanted[QUEUE_BOUNDS];
    struct client *client;
    struct bounds bounds;
    struct keys keys;
    struct errbuf eb;

    if (!text_is_name(o->args[0], strlen(o->args[0])))
        return fail(o, EX_USAGE, "%s: not the name of a queue", o->args[0]);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        wanted[i] = QUEUE_BOUND_UNSAID;
        if (o->bounds[i] && queue_bound_read(&queue_bounds[i], o->bounds[i],
                                             &wanted[i], &eb) != 0)
            return fail(o, EX_USAGE, "--%s: %s", queue_bounds[i].name, eb.text);
    }
    int status = client_open(o, &client);
    if (status != 0)
        return status;
    keys_init(&keys, o->ns, o->args[0]);
    status = bounds_set(client, &keys, wanted, &bounds);
    if (status == 0)
        print_all(o, &bounds);
    client_close(client);
    return status;
}

static const struct flag flags[] = {
    {"max-length", 0, FLAG_TEXT, "N", AT(bounds[0]), 0, 0,
     "a push is refused while so many jobs are ready"},
    {"max-bytes", 0, FLAG_TEXT, "SIZE", AT(bounds[1]), 0, 0,
     "or while they take so much memory, roughly"},
    {"dead-max", 0, FLAG_TEXT, "N", AT(bounds[2]), 0, 0,
     "so many dead jobs are kept, the newest ones (100000)"},
    {"dead-max-age", 0, FLAG_TEXT, "D", AT(bounds[3]), 0, 0,
     "for so long (90d)"},
    {"dead-max-bytes", 0, FLAG_TEXT, "SIZE", AT(bounds[4]), 0, 0,
     "and so many bytes of them (256m)"},
    {0},
};

const struct command cmd_queues_set = {
    .name = "queues set",
    .usage = "QUEUE [--max-length N] [--max-bytes SIZE] ...",
    .summary = "Bound a queue; without flags show its bounds",
    .details = "A push that finds no room ends with 75. What waits stays, and "
               "so does what comes\nby itself: retries, jobs that are due, "
               "what follows a job. none takes a bound away;\nfor dead jobs "
               "the usual one holds then.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_set,
};
