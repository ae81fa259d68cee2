/*
 * Outbox: jobs on their way to other queues.
 *
 * The lane whose settle put some there brings them on at once. It may die
 * before, and people put some there too, so every lane looks: what two
 * renewals have seen is nobody's. Several that bring the same do no harm
 * (relay.h); a short random pause makes it rare.
 *
 * Thread: event loop only.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/ulid.h"
#include "worker/lane.h"

enum {
    PAUSE_MS = 200,       /* at most, for what others put there */
    AGAIN_MS = 60 * 1000, /* what was refused is tried again */
    SEEN = 2              /* renewals that saw something */
};

void on_outbox_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    lane->outbox_filled = true;
    lane_relay(lane);
}

void lane_relay(struct lane *lane)
{
    if (!lane->outbox_filled || lane->state != LANE_UP ||
        relay_runs(lane->relay))
        return;
    lane->outbox_filled = false;
    (void)relay_start(lane->relay);
}

bool lane_relays(const struct lane *lane)
{
    return lane->state == LANE_UP &&
           (lane->outbox_filled || relay_runs(lane->relay));
}

void lane_watch_outbox(struct lane *lane, int64_t len)
{
    lane->outbox_seen = len > 0 ? lane->outbox_seen + 1 : 0;
    if (lane->outbox_seen < SEEN || lane_relays(lane) ||
        clock_ms() < lane->outbox_again_ms ||
        evtimer_pending(lane->outbox_timer, NULL))
        return;
    timer_in(lane->outbox_timer, (int64_t)random_below(PAUSE_MS));
}

static void say(const struct lane *lane, const struct relay_result *res)
{
    const char *queue = lane->keys.queue;
    LOG_DEBUG("relay", F_STR("queue", queue), F_INT("jobs", res->sent));
    if (res->held > 0)
        LOG_INFO("relay_held", F_STR("queue", queue), F_INT("jobs", res->held),
                 F_STR("why", res->why.text), F_STR("so", "not pushed"));
    if (res->buried > 0)
        LOG_WARN("invalid", F_STR("queue", queue), F_INT("jobs", res->buried),
                 F_STR("error", res->why.text),
                 F_STR("so", "moved from outbox to dead"));
}

/* Each settle that adds to the outbox tries anew: said once a minute. */
static void refused(struct lane *lane, const struct relay_result *res)
{
    if (clock_ms() < lane->outbox_again_ms)
        return;
    lane->outbox_again_ms = clock_ms() + AGAIN_MS;
    LOG_WARN("relay", F_STR("queue", lane->keys.queue),
             F_INT("left", res->left), F_STR("error", res->why.text),
             F_STR("so", "trying again in a minute"));
}

void on_relayed(void *arg, const struct relay_result *res)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct agent *a = lane->agent;
    say(lane, res);
    if (res->err == ERR_UNKNOWN || res->err == ERR_REFUSED)
        lane->outbox_seen = SEEN - 1; /* the next renewal goes on with it */
    else if (res->left > 0 || res->err != 0)
        refused(lane, res);
    else
        lane->outbox_again_ms = 0;
    if (lane->state != LANE_UP)
        return;
    for (unsigned i = 0; i < a->lane_count && res->sent > 0; i++)
        a->lanes[i]->burst_checked = false; /* they may be of this worker */
    agent_turn(a);
}
