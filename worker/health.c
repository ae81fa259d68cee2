/*
 * Health: whether this worker is of use, and if not, why.
 *
 * That a handler works is learnt from the jobs that it is given, and from
 * nothing else: a trial run would have effects. So a handler that was mended
 * is believed broken until its next job, which has been put off and comes
 * back by itself.
 *
 * Thread: event loop only.
 */
#include "worker/health.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "worker/lane.h"

struct broken {
    struct broken *next;
    const struct handler *handler; /* lent by the table */
    int64_t since_ms;              /* wall clock */
};

void health_done(struct health *h)
{
    while (h->broken != NULL) {
        struct broken *b = h->broken;
        h->broken = b->next;
        free(b);
    }
    h->broken_count = 0;
}

void health_note(struct health *h, const struct delivery *d)
{
    enum verdict v = d->outcome.verdict;
    struct broken **p = &h->broken, *b;
    if (v == VERDICT_NONE || v == VERDICT_RELEASE || v == VERDICT_EXPIRE)
        return; /* it may not have been tried */
    while (*p != NULL && (*p)->handler != d->handler)
        p = &(*p)->next;
    b = *p;
    if (b != NULL && v != VERDICT_PUT_OFF) {
        *p = b->next;
        h->broken_count--;
        free(b);
    } else if (b == NULL && v == VERDICT_PUT_OFF) {
        b = mem_new(sizeof(*b));
        *b =
            (struct broken){.handler = d->handler, .since_ms = clock_wall_ms()};
        *p = b;
        h->broken_count++;
    }
}

static const char *stage_text(enum agent_stage stage)
{
    switch (stage) {
    case AGENT_RUNNING:
        break;
    case AGENT_QUIET:
        return "quiet: fetching nothing more";
    case AGENT_DRAINING:
        return "draining";
    case AGENT_STOPPING:
        return "stopping";
    }
    return NULL;
}

static const char *lane_text(enum lane_state state)
{
    switch (state) {
    case LANE_UP:
        break;
    case LANE_DOWN:
        return "Redis is away";
    case LANE_BINDING:
        return "registering";
    case LANE_LEAVING:
    case LANE_LEFT:
        return "left";
    }
    return NULL;
}

bool health_ready(const struct health *h, const struct agent *a,
                  struct buf *out)
{
    const char *text = stage_text(a->stage);
    size_t before = out->len;
    char since[25];
    if (text != NULL)
        buf_printf(out, "%s\n", text);
    if (a->discover_conn != NULL && !conn_is_up(a->discover_conn))
        buf_str(out, "queues by pattern: Redis is away\n");
    for (unsigned i = 0; i < a->lane_count; i++) {
        if (a->lanes[i]->going)
            continue;
        text = lane_text(a->lanes[i]->state);
        if (text != NULL)
            buf_printf(out, "queue %s: %s\n", a->lanes[i]->keys.queue, text);
    }
    for (const struct broken *b = h->broken; b != NULL; b = b->next) {
        clock_format(b->since_ms, since);
        const char *pattern = handler_pattern(b->handler);
        buf_str(out, "handler ");
        safe_append(out, pattern, strlen(pattern));
        buf_printf(out, ": cannot be started since %s\n", since);
    }
    return out->len == before;
}
