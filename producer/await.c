/*
 * Await: the ends of jobs as rows.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/await.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "producer/complain.h"
#include "producer/results.h"
#include "producer/waiting.h"

struct await {
    const struct options *o; /* borrowed */
    struct waiting *waiting; /* owned */
    struct results *results; /* owned; NULL until it runs */
    struct job_name names[]; /* copies */
};

static bool on_end(void *arg, size_t i, const struct kept *k);
static void on_absent(void *arg, size_t i, bool seen);

int await_new(const struct options *o, struct client *client,
              const struct job_name *names, size_t n, struct await **ret)
{
    struct await *a = mem_new(sizeof(*a) + n * sizeof(*names));
    struct waiting_events events = {
        .on_end = on_end, .on_absent = on_absent, .arg = a};

    a->o = o;
    memcpy(a->names, names, n * sizeof(*names));
    int status = waiting_new(client, o->ns, a->names, n, o->wait_timeout_ms,
                             &events, &a->waiting);
    if (status == 0)
        *ret = a;
    else
        free(a);
    return status;
}

void await_free(struct await *a)
{
    if (!a)
        return;
    waiting_free(a->waiting);
    free(a);
}

void await_expect(struct await *a)
{
    waiting_expect(a->waiting);
}

int await_run(struct await *a, bool any)
{
    a->results = results_new(a->o);
    int status = waiting_run(a->waiting, any);
    results_end(a->results);
    a->results = NULL;
    return status;
}

static bool on_end(void *arg, size_t i, const struct kept *k)
{
    const struct await *a = arg;
    bool written = results_print(a->results, &a->names[i], k);

    if (a->o->format == OUT_NDJSON)
        fflush(stdout);
    return written;
}

static void on_absent(void *arg, size_t i, bool seen)
{
    const struct await *a = arg;
    char text[JOB_NAME_TEXT_MAX];

    complain(a->o, "%s: %s", job_name_format(&a->names[i], text),
             seen ? "removed, or not kept any longer" : "not kept");
}
