/*
 * Stop: how the agent ends.
 *
 * Fetch no more → take the BLMOVEs back → give back what has not begun → wait
 * for what runs, at drain_timeout tell it to stop → settle and release the
 * rest → leave. A signal more hurries each wait. Redis away in the end: what
 * is not told runs again elsewhere.
 *
 * Thread: event loop only.
 */
#include <signal.h>

#include "common/base/log.h"
#include "worker/lane.h"
#include "worker/reload.h"
#include "worker/watchdog.h"

enum { FAREWELL_MS = 10000 }; /* for the last answers of Redis */

static void stop_running(struct agent *a) ON_LOOP;

static void recall(struct agent *a) ON_LOOP;

/* Takes back what no thread has begun. */
static void recall(struct agent *a)
{
    void *item;
    while (chan_try_recv(a->jobs, &item) == 0) {
        struct delivery *d = item;
        a->out--;
        a->recalled++;
        d->lane->out--;
        if (d->slot == NULL)
            delivery_free(d);
        else
            ledger_set_state(&d->lane->ledger, d->slot, SLOT_GIVE_BACK);
    }
}

void lane_give_back_held(struct lane *lane)
{
    if (lane->ledger.count[SLOT_HELD] == 0)
        return;
    for (struct slot *s = lane->ledger.first; s != NULL; s = s->next) {
        if (s->state == SLOT_HELD)
            ledger_set_state(&lane->ledger, s, SLOT_GIVE_BACK);
    }
}

void agent_drain(struct agent *a, const char *why)
{
    if (a->stage >= AGENT_DRAINING)
        return;
    LOG_INFO("drain", F_STR("why", why), F_INT("running", a->out),
             F_INT("timeout_ms", a->cfg->drain_timeout_ms));
    a->stage = AGENT_DRAINING;
    recall(a);
    for (unsigned i = 0; i < a->lane_count; i++)
        lane_give_back_held(a->lanes[i]);
    timer_in(a->stop_timer, a->cfg->drain_timeout_ms);
    watchdog_look(a->watchdog);
}

void agent_drain_turn(struct agent *a)
{
    bool all_left = true;
    for (unsigned i = 0; i < a->lane_count; i++) {
        struct lane *lane = a->lanes[i];
        lane_unblock(lane);
        lane_release(lane);
        lane_leave(lane);
        all_left = all_left && lane->state == LANE_LEFT;
    }
    if (a->out == 0 && all_left && !a->ended) {
        a->ended = true;
        fleet_leave(a);
        return;
    }
    /* Nothing runs any more: what is left is to tell Redis. */
    if (a->out == 0 && !a->farewell) {
        a->farewell = true;
        timer_in(a->stop_timer, FAREWELL_MS);
    }
}

/* TERM, later KILL, and back to the queue with them, uncounted. */
static void stop_running(struct agent *a)
{
    LOG_WARN("stop", F_INT("running", a->out),
             F_STR("so", "ending them, to be run again elsewhere"));
    a->stage = AGENT_STOPPING;
    (void)event_del(a->stop_timer);
    for (unsigned i = 0; i < a->lane_count; i++) {
        struct ledger *l = &a->lanes[i]->ledger;
        for (struct slot *s = l->first; s != NULL; s = s->next) {
            if (s->state == SLOT_OUT)
                pool_cancel(a->pool, s->d, CANCEL_RELEASE);
        }
    }
    agent_look_soon(a);
}

/* Whether some lane that has not left may still be answered. */
static bool hears_redis(const struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        enum lane_state s = a->lanes[i]->state;
        if (s != LANE_DOWN && s != LANE_LEFT)
            return true;
    }
    return false;
}

void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)fd;
    (void)what;
    if (a->ended) { /* all is told but that we are gone: that expires */
        (void)event_base_loopbreak(a->base);
        return;
    }
    if (a->out > 0) {
        stop_running(a);
        return;
    }
    size_t jobs = 0;
    for (unsigned i = 0; i < a->lane_count; i++)
        jobs += a->lanes[i]->ledger.len;
    LOG_ERROR("farewell", F_INT("jobs", (int64_t)jobs),
              F_STR("redis", hears_redis(a) ? "silent" : "away"),
              F_STR("so", "their results are not told, they will run again"));
    a->exit_code = 69;
    a->ended = true;
    (void)event_base_loopbreak(a->base);
}

void on_signal(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)what;
    if (fd == SIGHUP) {
        reload_begin(a->reload);
        return;
    }
    if (fd == SIGUSR1) {
        LOG_INFO("quiet", F_STR("so", "fetching nothing more"));
        if (a->stage == AGENT_RUNNING)
            a->stage = AGENT_QUIET;
        agent_turn(a);
        return;
    }
    a->stop_signals++;
    a->replace = false;
    if (a->stop_signals == 1)
        agent_drain(a, fd == SIGTERM ? "SIGTERM" : "SIGINT");
    else if (a->out > 0)
        stop_running(a); /* once more: KILL at once */
    else if (!hears_redis(a))
        timer_in(a->stop_timer, 0); /* else the last answers come at once */
    watchdog_look(a->watchdog);
    agent_turn(a);
}
