/*
 * What a bulk push tells.
 *
 * Thread: main.
 */
#include "producer/bulk_tell.h"

#include <inttypes.h>
#include <stdio.h>

#include "producer/complain.h"

struct left {
    const struct options *o; /* borrowed */
    uint64_t acked_line;
};

static void on_left(void *arg, const struct batch *batch);

static void print_one(const struct options *o, const struct batch *b)
{
    static const char *const ends[] = {[PUSH_DONE] = "",
                                       [PUSH_SAME] = ",\"pushed\":false",
                                       [PUSH_HELD] = ",\"pushed\":false",
                                       [PUSH_REPLACED] = ",\"replaced\":true"};
    bool other =
        b->result.state == PUSH_HELD || b->result.state == PUSH_REPLACED;

    printf("{\"queue\":\"%s\",\"id\":\"%s\"%s}\n", o->queue,
           other ? b->result.holder : b->id, ends[b->result.state]);
}

void bulk_print_ids(const struct options *o, const struct batch *b)
{
    if (b->is_one && b->accepted > 0) {
        print_one(o, b);
        return;
    }
    for (unsigned i = 0; i < b->accepted; i++) {
        struct bytes id = batch_id(b, i);
        printf("{\"queue\":\"%s\",\"id\":\"%.*s\"}\n", o->queue, (int)id.len,
               id.p);
    }
}

void bulk_tell_conflict(const struct options *o, const struct batch *b)
{
    bool replace = b->unique.on_conflict == UNIQUE_REPLACE;

    complain(o, "line %" PRIu64 ": not pushed: %s is held by %s%s", b->lines[0],
             b->unique.key, b->result.holder,
             replace ? ", which is scheduled no more" : "");
}

static void on_left(void *arg, const struct batch *batch)
{
    const struct left *left = arg;
    bool unknown = batch->state == BATCH_UNKNOWN;
    unsigned n = unknown ? batch->count : batch->accepted;

    if (n > 0)
        complain(left->o,
                 "%s: lines %" PRIu64 " to %" PRIu64 ", which --skip %" PRIu64
                 " would push again",
                 unknown ? "outcome unknown" : "pushed", batch->lines[0],
                 batch->lines[n - 1], left->acked_line);
}

int bulk_tell_stop(const struct options *o, const struct client *client,
                   const struct sender *s)
{
    struct left left = {o, sender_acked_line(s)};
    const char *why;
    int status = sender_get_stop(s, &why);

    if (status == 0)
        return 0;
    complain(o, "%s: stopped: %s%s%s", client_url(client), why,
             client_is_down(client) ? ": " : "", client_down_why(client));
    sender_each_left(s, on_left, &left);
    complain(o,
             "all lines up to %" PRIu64
             " are acknowledged; to resume behind them: --skip %" PRIu64,
             left.acked_line, left.acked_line);
    return status;
}
