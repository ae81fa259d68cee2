/*
 * A plugin in the strictest C11: its header needs nothing before it.
 *
 * Thread: none; it is only compiled.
 */
#include <belt/plugin.h>

static int run(struct belt_run *run, void *state)
{
    (void)state;
    if (BELT_RUN_HAS(run, traceparent) && BELT_HOST_HAS(run->host, push))
        return belt_retry(run, "io", "%s", run->traceparent);
    return belt_snooze(run, 1000);
}

BELT_PLUGIN("c11", "1", NULL, run, NULL)
