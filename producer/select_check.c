/*
 * Select, the command line: what it says, and whether that makes sense.
 *
 * Thread: main.
 */
#include "producer/select_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/complain.h"

enum { RATE_MAX = 1000000 };

int select_find_set(const char *name)
{
    for (int i = 0; i < SELECT_SETS; i++) {
        if (strcmp(name, select_set_name((enum queue_set)i)) == 0)
            return i;
    }
    return -1;
}

bool select_is_id(const char *arg)
{
    return strcmp(arg, "-") == 0 || strchr(arg, '/');
}

static int check_args(const struct select *s)
{
    const struct options *o = s->o;
    bool ids = select_is_id(o->args[0]);

    for (int i = 0; i < o->arg_count; i++) {
        const char *arg = o->args[i];
        if (select_is_id(arg) != ids)
            return fail(o, EX_USAGE, "%s: either queues or QUEUE/ID", arg);
        if (!ids && !text_is_name(arg, strlen(arg)))
            return fail(o, EX_USAGE, "%s: not the name of a queue", arg);
    }
    if (ids && (filter_is_set(&s->filter) || o->all))
        return fail(o, EX_USAGE, "%s: filters and --all are for queues",
                    o->args[0]);
    if (!ids && !s->plan->looks && !filter_is_set(&s->filter) && !o->all)
        return fail(o, EX_USAGE,
                    "%s: which jobs? QUEUE/ID, or a filter, or --all",
                    o->args[0]);
    return 0;
}

static int check_rate(struct select *s)
{
    const char *text = s->o->rate;
    size_t n = text ? strlen(text) : 0;
    struct errbuf eb;

    if (!text)
        return 0;
    if (n > 2 && strcmp(text + n - 2, "/s") == 0)
        n -= 2;
    char *number = mem_dup(text, n);
    int rc = text_parse_int(number, 1, RATE_MAX, "N/s", &s->per_second, &eb);
    free(number);
    return rc == 0 ? 0 : fail(s->o, EX_USAGE, "--rate: %s", eb.text);
}

int select_check(struct select *s)
{
    const struct options *o = s->o;
    int status = filter_init(&s->filter, o);

    int set = o->state ? select_find_set(o->state) : QUEUE_RETRY;

    if (status == 0 && (set < 0 || (set == QUEUE_DEAD && s->plan->waits)))
        status = fail(o, EX_USAGE, "--state: %s: not %sretry or scheduled",
                      o->state, s->plan->waits ? "" : "dead, ");
    if (status == 0)
        status = check_args(s);
    if (status == 0)
        status = check_rate(s);
    return status;
}
