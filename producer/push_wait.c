/*
 * Push and wait: one job, pushed and waited for.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/push_wait.h"

#include <stdio.h>
#include <sysexits.h>

#include "producer/complain.h"

int push_wait_check(const struct options *o)
{
    if (!o->wait && (o->wait_timeout_ms || o->raw))
        return fail(o, EX_USAGE, "--wait-timeout and --raw need --wait");
    if (o->wait && o->ndjson)
        return fail(o, EX_USAGE, "--wait is for one job");
    return 0;
}

static int begin(const struct options *o, struct client *client, const char *id,
                 struct await **ret)
{
    struct job_name name;

    *ret = NULL;
    snprintf(name.queue, sizeof(name.queue), "%s", o->queue);
    snprintf(name.id, sizeof(name.id), "%s", id);
    return await_new(o, client, &name, 1, ret);
}

int push_wait_begin(const struct options *o, struct client *client,
                    const char *id, struct await **ret)
{
    *ret = NULL;
    if (!o->wait)
        return 0;
    int status = begin(o, client, id, ret);
    return status ? fail(o, status, "not pushed") : 0;
}

int push_wait_end(const struct options *o, struct client *client,
                  struct await *w, const struct push_one_result *pushed)
{
    bool other = pushed->state == PUSH_HELD || pushed->state == PUSH_REPLACED;
    int status = 0;

    if (other) {
        await_free(w);
        if (pushed->holder[0] == '\0')
            return 1; /* told: nobody can be waited for */
        status = begin(o, client, pushed->holder, &w);
    }
    if (status != 0)
        return status;
    if (pushed->state == PUSH_REPLACED)
        await_expect(w); /* it is kept from now on */
    status = await_run(w, false);
    await_free(w);
    return status;
}
