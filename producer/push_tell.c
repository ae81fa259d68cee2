/*
 * Push tell: the outcome of a push, for whoever pushed it.
 *
 * Thread: main.
 */
#include "producer/push_tell.h"

#include <stdio.h>
#include <stdlib.h>

#include "producer/complain.h"
#include "producer/out.h"

int push_tell_other(const struct options *o, const struct push_one *one,
                    const struct push_one_result *result)
{
    const struct unique *unique = one->unique;
    const char *holder = result->holder;

    if (holder[0] == '\0')
        holder = "something that is no id";
    switch (result->state) {
    case PUSH_DONE:
        break;
    case PUSH_SAME:
        complain(o, "not pushed: %s has come before", one->id);
        break;
    case PUSH_REPLACED:
        complain(o, "%s has not begun and is this job now", holder);
        break;
    case PUSH_HELD:
        complain(o, "not pushed: %s is held by %s%s", unique->key, holder,
                 unique->on_conflict == UNIQUE_REPLACE
                     ? ", which is scheduled no more"
                     : "");
        if (unique->on_conflict != UNIQUE_SKIP)
            return EXIT_FAILURE;
        break;
    }
    return 0;
}

/* Of one job: no array. What is not plain has a member that says so. */
static void print_json(const char *queue, const char *id, enum push_state state)
{
    static const char *const ends[] = {[PUSH_DONE] = "",
                                       [PUSH_SAME] = ",\"pushed\":false",
                                       [PUSH_HELD] = ",\"pushed\":false",
                                       [PUSH_REPLACED] = ",\"replaced\":true"};

    printf("{\"queue\":\"%s\",\"id\":\"%s\"%s}\n", queue, id, ends[state]);
}

void push_print_id(const struct options *o, const struct push_one *one,
                   const struct push_one_result *result)
{
    static const struct column columns[] = {
        {"queue", FOR_ALL, false}, {"id", FOR_ALL, false}, {0}};
    const char *id = result->holder[0] != '\0' ? result->holder : one->id;

    if (o->format == OUT_TABLE) {
        printf("%s/%s\n", o->queue, id);
    } else if (o->format != OUT_TSV) {
        print_json(o->queue, id, result->state);
    } else {
        struct out *out = out_new(o, columns);
        out_str(out, o->queue);
        out_str(out, id);
        out_row(out);
        out_end(out);
    }
}
