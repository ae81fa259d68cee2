/*
 * Pause: a lane of a paused queue lets go of all that has not begun.
 *
 *     heard ──► BLMOVE back, jobs channel recalled ──► released ──► complies
 *
 * A lane complies with a version of the configuration when it has heard of it
 * by a renewal and nothing of its own can begin any more: no fetch is under
 * way, all that was not begun is back in ready, and each job that a thread has
 * taken has started. Then it renews with that version: `belt pause` waits for
 * just that. Under the next id, after a lost connection, it complies with
 * nothing until a renewal has told again.
 *
 * Thread: event loop only.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/lane.h"

enum { BEGIN_MS = 1 }; /* a thread that took a job starts it in less */

void lane_set_paused(struct lane *lane, bool paused)
{
    if (paused == lane->paused)
        return;
    lane->paused = paused;
    LOG_INFO(paused ? "pause" : "resume", F_STR("queue", lane->keys.queue),
             F_INT("held", (int64_t)lane->ledger.len));
    if (paused) {
        lane_let_go(lane);
        return;
    }
    (void)event_del(lane->pause_timer);
    lane->empty = false; /* a fetch looks, before a BLMOVE waits */
}

void lane_heed(struct lane *lane, const struct renew_result *r)
{
    lane->heard = true;
    lane->config_version = r->config_version;
    lane_set_paused(lane, r->paused);
    if (!r->paused)
        lane->complied = r->config_version;
    else if (r->paused_left_ms >= 0) /* then a renewal tells whether it ended */
        timer_in(lane->pause_timer, r->paused_left_ms + 1);
}

void on_pause_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    lane_renew_soon(lane);
}

/* arg: the lane. */
static bool is_of(void *arg, struct delivery *d)
{
    struct lane *lane = arg;
    if (d->lane != lane)
        return false;
    ledger_set_state(&lane->ledger, d->slot, SLOT_GIVE_BACK);
    return true;
}

void lane_let_go(struct lane *lane)
{
    agent_recall(lane->agent, is_of, lane);
    lane_give_back_held(lane);
}

/* Each job that a thread has taken out of the channel has started. */
static bool all_have_begun(const struct agent *a)
{
    unsigned taken = a->sent - a->recalled - chan_len(a->jobs);
    return (int)(pool_begun(a->pool) - taken) >= 0;
}

static bool is_still(struct lane *lane) ON_LOOP;

static bool is_still(struct lane *lane)
{
    const struct ledger *l = &lane->ledger;
    if (!lane_is_quiescent(lane) || l->count[SLOT_STAMPING] > 0 ||
        l->count[SLOT_HELD] > 0 || l->count[SLOT_GIVE_BACK] > 0)
        return false;
    for (const struct batch *b = lane->unacked; b != NULL; b = b->next) {
        if (b->release)
            return false;
    }
    return true;
}

void lane_pause_turn(struct lane *lane)
{
    if (lane->state != LANE_UP || !lane->paused)
        return;
    lane_unblock(lane);
    if (!lane->heard || lane->complied == lane->config_version ||
        !is_still(lane))
        return;
    if (!all_have_begun(lane->agent)) {
        timer_in(lane->settle_timer, BEGIN_MS); /* for a turn */
        return;
    }
    lane->complied = lane->config_version;
    lane_ask(lane);
}
