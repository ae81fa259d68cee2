/*
 * belt wait: until kept jobs have ended.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "producer/await.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/find.h"
#include "producer/ids.h"
#include "producer/waiting.h"

#define AT(member) offsetof(struct options, member)
#define DURATION_MAX_MS (366LL * 24 * 3600 * 1000)

struct names {
    const struct options *o; /* borrowed */
    struct job_name *all;    /* owned */
    size_t count, cap;
};

static int on_name(void *arg, const struct job_name *name);

static int on_name(void *arg, const struct job_name *name)
{
    struct names *list = arg;

    if (list->count == WAITING_MAX)
        return fail(list->o, EX_USAGE, "more than %d jobs", WAITING_MAX);
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 16;
        list->all = mem_resize(list->all, list->cap * sizeof(*list->all));
    }
    list->all[list->count++] = *name;
    return 0;
}

static int find_queues(struct client *client, const struct names *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct job_name *name = &list->all[i];
        if (name->queue[0] != '\0')
            continue;
        int status = find_queue(client, list->o->ns, name);
        if (status != 0)
            return status;
        if (name->queue[0] == '\0')
            return fail(list->o, 1, "%s: in no queue", name->id);
    }
    return 0;
}

static int wait_for(const struct names *list)
{
    const struct options *o = list->o;
    struct await *w = NULL;
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    status = find_queues(client, list);
    if (status == 0)
        status = await_new(o, client, list->all, list->count, &w);
    if (status == 0)
        status = await_run(w, o->any);
    await_free(w);
    client_close(client);
    return status;
}

static int run_wait(const struct options *o)
{
    struct names list = {.o = o};
    int status = job_names_read(o, on_name, &list);

    if (status == 0 && o->raw && list.count != 1)
        status = fail(o, EX_USAGE, "--raw is for one job");
    if (status == 0 && list.count > 0)
        status = wait_for(&list);
    free(list.all);
    return status;
}

static const struct flag flags[] = {
    {"any", 0, FLAG_BOOL, NULL, AT(any), 0, 0,
     "until the first of several has ended"},
    {"timeout", 0, FLAG_DURATION, "D", AT(wait_timeout_ms), 1, DURATION_MAX_MS,
     "no longer than that: exit 124"},
    {"raw", 0, FLAG_BOOL, NULL, AT(raw), 0, 0,
     "of one job: the bytes of its result and nothing else"},
    {0},
};

const struct command cmd_wait = {
    .name = "wait",
    .usage = "QUEUE/ID ... | ID ... | -  [--any] [--timeout D]",
    .summary = "Wait until jobs that were pushed with --keep have ended",
    .details =
        "Prints how they ended, as belt result does. For one job, or with "
        "--any, the exit\nstatus is the job's own: 0 if it is done, that of "
        "its handler if it failed for\ngood, 128 + the signal, else 1. For "
        "several it is 0 if all are done, else 1. A job\nthat is not kept, or "
        "is removed, is 1. A connection that is lost while it waits is\nmade "
        "again, for a minute; if Redis is away at the start, that is 69 at "
        "once.\nRedis is not asked while nothing happens, unless its ACL "
        "forbids to subscribe. A job\nthat was replaced by somebody who died "
        "right behind that may have a status without\nan end: --timeout.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_wait,
};
