/*
 * Lease: renews it, holds the active list against the ledger, and watches
 * Redis' clock, by which leases end.
 *
 * Thread: event loop only.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/ulid.h"
#include "worker/cancel.h"
#include "worker/cron.h"
#include "worker/lane.h"

enum {
    RENEW_MAX_MS = 1700, /* dead neighbours are noticed within 2 s */
    SOON_MS = 5          /* between renewals that messages ask for */
};

static void on_renewed(void *arg, int err, const struct reply *r);

static int64_t renew_period(const struct lane *lane)
{
    int64_t third = lane->agent->cfg->lease_ms / 3;
    int64_t period = third < RENEW_MAX_MS ? third : RENEW_MAX_MS;
    return period - (int64_t)random_below((uint64_t)(period / 10 + 1));
}

void on_renew_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    lane_renew(arg);
}

void lane_renew(struct lane *lane)
{
    timer_in(lane->renew_timer, renew_period(lane));
    lane->look_due = true;
    lane_ask(lane);
}

void lane_renew_soon(struct lane *lane)
{
    int64_t since_ms = (clock_us() - lane->asked_us) / 1000;
    if (since_ms >= SOON_MS)
        lane_ask(lane);
    else if (!evtimer_pending(lane->soon_timer, NULL))
        timer_in(lane->soon_timer, SOON_MS - since_ms);
}

void on_soon_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    lane_ask(arg);
}

void lane_ask(struct lane *lane)
{
    if (lane->state != LANE_UP)
        return;
    lane->ask_again = lane->renewing;
    if (lane->renewing)
        return;
    lane->renewing = true;
    /* All earlier calls of this connection run before the renewal. */
    lane->expected_active = lane->ledger.len;
    lane->expected_more = lane->fetching_n + (lane->blocked ? 1 : 0);
    lane->asked_us = clock_us();
    lane->asked_boot_ms = clock_boot_ms();
    (void)queue_renew(lane->cmd, &lane->keys, lane->id,
                      lane->agent->cfg->lease_ms, lane->complied, on_renewed,
                      lane);
}

/*
 * What begins later than that might run beside the same job of another worker,
 * or in a paused queue: the pool gives it back. By the boot clock, since the
 * process may have been suspended; from when we asked, so not later than Redis
 * reckons. Only a renewal allows it, behind what it tells of a pause: register
 * and rebind do not tell.
 */
static void let_begin(struct lane *lane)
{
    atomic_store_explicit(lane->good_until_ms,
                          lane->renewed_boot_ms + lane->agent->cfg->lease_ms,
                          memory_order_relaxed);
}

/*
 * What is looked at in turns: not at renewals that messages ask for, since
 * twice in a row is then no time.
 *
 * A list that differs twice in a row is not the one we believe in.
 */
static bool audit(struct lane *lane, const struct renew_result *r)
{
    int64_t expected = (int64_t)lane->expected_active;
    bool fits = (r->active >= expected &&
                 r->active <= expected + (int64_t)lane->expected_more) ||
                lane->agent->cfg->at_most_once;
    lane->mismatches = fits ? 0 : lane->mismatches + 1;
    return lane->mismatches < 2;
}

/* Connected, jobs wait, room is there, and nothing comes: start afresh. */
static bool makes_progress(struct lane *lane, const struct renew_result *r)
{
    bool stuck = r->ready > 0 && !r->paused && lane->blocked &&
                 !lane->unblocking && lane->expected_more > 0;
    lane->idle_looks = stuck ? lane->idle_looks + 1 : 0;
    return lane->idle_looks < 3;
}

/*
 * Redis' clock and ours drift apart slowly; a step moves every lease end. What
 * Redis said was so at some instant between our question and now, and the
 * answer may have waited for us (a stopped process, a slow network): only what
 * no such instant explains is a step.
 */
void lane_watch_clock(struct lane *lane, int64_t redis_now_ms)
{
    int64_t least = redis_now_ms - clock_boot_ms();
    int64_t most = redis_now_ms - lane->asked_boot_ms;
    int64_t lease = lane->agent->cfg->lease_ms;
    int64_t offset = lane->clock_known ? lane->clock_offset_ms : most;
    offset = offset < least ? least : offset > most ? most : offset;
    int64_t step = offset - lane->clock_offset_ms;
    if (lane->clock_known && (step > lease / 2 || step < -lease / 2)) {
        LOG_WARN("clock_step", F_STR("queue", lane->keys.queue),
                 F_INT("ms", step), F_STR("so", "not reaping for a lease"));
        lane->grace_until_ms = clock_ms() + lease;
    }
    lane->clock_offset_ms = offset;
    lane->clock_known = true;
}

/* Whether what Redis has is what we believe; else the lane starts afresh. */
static bool is_sound(struct lane *lane, const struct renew_result *r) ON_LOOP;

static bool is_sound(struct lane *lane, const struct renew_result *r)
{
    struct errbuf eb;
    if (!audit(lane, r)) {
        (void)errbuf_set(&eb, ERR_MISSING,
                         "active list has %lld jobs, expected %zu",
                         (long long)r->active, lane->expected_active);
        lane_failed(lane, ERR_MISSING, &eb);
        return false;
    }
    if (!makes_progress(lane, r)) {
        (void)errbuf_set(&eb, ERR_MISSING,
                         "%lld jobs wait and none comes, though we wait too",
                         (long long)r->ready);
        lane_failed(lane, ERR_MISSING, &eb);
        return false;
    }
    return true;
}

static void on_renewed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    struct renew_result res;
    bool look = lane->look_due, was_paused = lane->paused;
    lane->renewing = false;
    int rc = queue_renew_result(err, r, &res, &eb);
    if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    int64_t now_us = clock_us();
    window_trip(&lane->agent->window, now_us - lane->asked_us, now_us);
    lane->renewed_boot_ms = lane->asked_boot_ms;
    lane_watch_clock(lane, res.now_ms);
    lane->look_due = false;
    lane->ready = res.ready;
    if (look && !is_sound(lane, &res))
        return;
    lane_heed(lane, &res);
    let_begin(lane);
    lane->cancelling.told = res.cancelled_version;
    lane_look_cancelled(lane);
    lane_watch_outbox(lane, res.outbox);
    lane_tell_times(lane, false);
    if (res.next_due_ms >= 0)
        lane_promote_in(lane, res.next_due_ms);
    cron_watch_due(lane->cron, res.cron_due_ms);
    if (look)
        lane_look(lane, &res);
    if (lane->ask_again)
        lane_ask(lane);
    if (lane->state == LANE_UP && (was_paused || lane->paused))
        agent_turn(lane->agent);
    else if (lane->state == LANE_UP)
        lane_pump(lane);
}
