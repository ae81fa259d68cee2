/*
 * belt workers: the fleet.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/connect.h"
#include "producer/worker_list.h"

static int run_workers(const struct options *o)
{
    struct client *client;
    struct keys keys;
    bool more = true;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    keys_init(&keys, o->ns, o->queue);
    struct out *out = out_new(o, worker_columns);
    for (int64_t from = 0; status == 0 && more; from += WORKERS_AT_ONCE) {
        struct worker_page *page = NULL;
        status = worker_page_read(client, &keys, from, &page);
        for (size_t i = 0; status == 0 && i < page->count; i++)
            worker_out(out, &page->workers[i], page->now_ms);
        more = status == 0 && page->more;
        worker_page_free(page);
    }
    out_end(out);
    client_close(client);
    return status;
}

const struct command cmd_workers = {
    .name = "workers",
    .usage = "",
    .summary = "Show the workers: where they run and what they hold",
    .run = run_workers,
};
