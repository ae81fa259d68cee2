/*
 * belt result: how jobs ended that were pushed with --keep.
 *
 * Ids come from the command line or, any number of them, from stdin; they are
 * looked up by the hundred in one pipelined round.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/kept.h"
#include "producer/results.h"

#define AT(member) offsetof(struct options, member)

enum { JOBS_AT_ONCE = 100 };

struct query {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct results *results; /* borrowed */
    struct job_name names[JOBS_AT_ONCE];
    struct kept jobs[JOBS_AT_ONCE];
    size_t count;
    bool negative; /* a job is not there, or not done */
};

static int on_name(void *arg, const struct job_name *name);

static int flush(struct query *q)
{
    int status = 0;

    for (size_t i = 0; i < q->count; i++) {
        struct keys keys;
        if (q->names[i].queue[0] == '\0')
            continue;
        keys_init(&keys, q->o->ns, q->names[i].queue);
        kept_ask(q->client, &keys, q->names[i].id, &q->jobs[i]);
    }
    status = client_wait(q->client);
    for (size_t i = 0; i < q->count; i++) {
        q->negative |= !kept_is(&q->jobs[i], "done");
        if (status == 0 &&
            !results_print(q->results, &q->names[i], &q->jobs[i]))
            status = EX_IOERR; /* told at the end */
        kept_done(&q->jobs[i]);
    }
    q->count = 0;
    return status;
}

static int on_name(void *arg, const struct job_name *name)
{
    struct query *q = arg;
    struct job_name *own = &q->names[q->count];

    *own = *name;
    if (own->queue[0] == '\0') {
        int status = find_queue(q->client, q->o->ns, own);
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

static int run_result(const struct options *o)
{
    struct client *client;

    if (o->raw && (o->arg_count > 1 || strcmp(o->args[0], "-") == 0))
        return fail(o, EX_USAGE, "--raw is for one job");
    int status = client_open(o, &client);
    if (status != 0)
        return status;
    struct query *q = mem_new(sizeof(*q));
    q->o = o;
    q->client = client;
    q->results = results_new(o);
    status = ask_all(q);
    results_end(q->results);
    free(q);
    client_close(client);
    return status;
}

static const struct flag flags[] = {
    {"raw", 0, FLAG_BOOL, NULL, AT(raw), 0, 0,
     "of one job: the bytes of its result and nothing else"},
    {0},
};

const struct command cmd_result = {
    .name = "result",
    .usage = "QUEUE/ID ... | -",
    .summary = "Show how jobs ended that were pushed with --keep",
    .details = "With - the ids come from stdin, one a line. An ID without its "
               "queue is looked\nfor in all queues. Exits 1 if a job is not "
               "there or not done.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_result,
};
