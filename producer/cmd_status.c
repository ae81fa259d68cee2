/*
 * belt status: how jobs stand.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/standing.h"
#include "producer/status_rows.h"

enum { JOBS_AT_ONCE = 100 };

struct query {
    const struct options *o;  /* borrowed */
    struct client *client;    /* borrowed */
    struct status_rows *rows; /* borrowed */
    struct standing entries[JOBS_AT_ONCE];
    size_t count;
    int64_t now_ms; /* by Redis' clock */
    bool negative;  /* a job is not there */
};

static int on_name(void *arg, const struct job_name *name);

static bool print(struct query *q, const struct standing *e)
{
    char text[JOB_NAME_TEXT_MAX];

    if (!standing_is_kept(e) && !e->found.job) {
        q->negative = true;
        complain(q->o, "%s: not found: not kept, or gone",
                 job_name_format(&e->name, text));
    }
    return status_rows_print(q->rows, e, q->now_ms);
}

static int flush(struct query *q)
{
    int status =
        standing_ask(q->client, q->o->ns, q->entries, q->count, &q->now_ms);

    for (size_t i = 0; i < q->count; i++) {
        struct standing *e = &q->entries[i];
        if (status == 0 && !print(q, e))
            status = EX_IOERR; /* told at the end */
        standing_done(e);
    }
    q->count = 0;
    return status;
}

static int on_name(void *arg, const struct job_name *name)
{
    struct query *q = arg;
    struct standing *e = &q->entries[q->count];

    e->name = *name;
    if (name->queue[0] == '\0') {
        int status = find_queue(q->client, q->o->ns, &e->name);
        if (status != 0)
            return status;
    }
    return ++q->count == JOBS_AT_ONCE ? flush(q) : 0;
}

static int ask_all(struct query *q)
{
    int status = job_names_read(q->o, on_name, q);

    if (status != 0 && status != EX_DATAERR)
        return status;
    int flushed = flush(q);
    if (flushed != 0)
        return flushed;
    return status ? status : q->negative ? 1 : EX_OK;
}

static int run_status(const struct options *o)
{
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    struct query *q = mem_new(sizeof(*q));
    q->o = o;
    q->client = client;
    q->rows = status_rows_new(o);
    status = ask_all(q);
    status_rows_end(q->rows);
    free(q);
    client_close(client);
    return status;
}

const struct command cmd_status = {
    .name = "status",
    .usage = "QUEUE/ID ... | ID ... | -",
    .summary = "Show how jobs stand: state, progress, times",
    .details =
        "Jobs pushed with --keep have a status, also after their end. Others "
        "are looked\nfor among those that are scheduled, to be retried, dead "
        "or held by a worker.\n\nrecovering: the worker that ran it is gone, "
        "and it will run again. An ID without\nits queue is looked for in all "
        "queues. With - the names come from stdin. Exits 1\nif a job is not "
        "found.\n",
    .min_args = 1,
    .max_args = -1,
    .run = run_status,
};
