/*
 * belt queues: how much waits where.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/queue_sizes.h"

static int print_some(const struct options *o, struct client *client,
                      struct out *out, char *const *names, size_t n)
{
    struct queue_sizes *rows = mem_new(n * sizeof(*rows));
    int64_t now_ms;
    int status = queue_sizes_look(client, o->ns, names, n, rows, &now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        queue_sizes_out(out, &rows[i], now_ms);
    queue_sizes_done(rows, n);
    free(rows);
    return status;
}

static int print_all(const struct options *o, struct client *client,
                     const struct queue_names *list)
{
    struct out *out = out_new(o, queue_sizes_columns);
    int status = 0;

    for (size_t i = 0; i < list->count && status == 0;
         i += QUEUE_SIZES_AT_ONCE) {
        size_t n = list->count - i;
        if (n > QUEUE_SIZES_AT_ONCE)
            n = QUEUE_SIZES_AT_ONCE;
        status = print_some(o, client, out, list->names + i, n);
    }
    out_end(out);
    return status;
}

static int run_queues(const struct options *o)
{
    struct queue_names list = {0};
    struct client *client;
    int status = 0;

    for (int i = 0; i < o->arg_count && status == 0; i++) {
        if (!text_is_name(o->args[i], strlen(o->args[i])))
            status =
                fail(o, EX_USAGE, "%s: not the name of a queue", o->args[i]);
        queue_names_add(&list, o->args[i]);
    }
    if (status == 0)
        status = client_open(o, &client);
    if (status == 0) {
        if (list.count == 0)
            status = queue_names_find(&list, client, o->ns);
        if (status == 0)
            status = print_all(o, client, &list);
        client_close(client);
    }
    queue_names_done(&list);
    return status;
}

const struct command cmd_queues = {
    .name = "queues",
    .usage = "[QUEUE ...]",
    .summary = "Show the queues: what waits, runs, failed",
    .details = "workers counts the lanes that hold a lease.\n",
    .max_args = -1,
    .run = run_queues,
};
