/*
 * Scheduler: moves jobs that are due to the ready list.
 *
 * Every worker promotes; a script call moves each job once. A lane learns
 * when the next one is due from its renewals, from promote itself, from the
 * retries that it settles, and from whoever pushes one that is due before all
 * others (control.c).
 *
 * Where very many are due at once, a call moves some and leaves the rest: the
 * next one follows after once or twice the time that this one took, so that a
 * busy Redis is left to the others, however many workers promote.
 *
 * Thread: event loop only.
 */
#include "common/base/clock.h"
#include "common/base/ulid.h"
#include "worker/lane.h"

enum { JITTER_MS = 20 }; /* so that a fleet does not promote in one moment */

static void on_promoted(void *arg, int err, const struct reply *r);

static void set_timer(struct lane *lane, int64_t wait_ms, int64_t jitter_ms)
{
    int64_t at = clock_ms() + wait_ms;
    if (lane->promote_at_ms != 0 && lane->promote_at_ms <= at)
        return;
    lane->promote_at_ms = at;
    timer_in(lane->promote_timer,
             wait_ms + 1 + (int64_t)random_below((uint64_t)jitter_ms + 1));
}

void lane_promote_in(struct lane *lane, int64_t wait_ms)
{
    set_timer(lane, wait_ms, JITTER_MS - 1);
}

static void promote(struct lane *lane) ON_LOOP;

static void promote(struct lane *lane)
{
    lane->promote_again = lane->promoting;
    if (lane->state != LANE_UP || lane->promoting)
        return;
    lane->promote_asked_us = clock_us();
    lane->promoting =
        queue_promote(lane->cmd, &lane->keys, on_promoted, lane) == 0;
}

void on_promote_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    lane->promote_at_ms = 0;
    promote(lane);
}

static void on_promoted(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    int64_t moved = 0, next_ms = -1;
    int64_t took_ms = (clock_us() - lane->promote_asked_us) / 1000;
    lane->promoting = false;
    int rc = queue_promote_result(err, r, &moved, &next_ms, &eb);
    if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    if (next_ms == 0 && moved > 0)
        set_timer(lane, took_ms, took_ms);
    else if (next_ms >= 0)
        lane_promote_in(lane, next_ms);
    /* It ran before the one was put there that the timer was for. */
    if (lane->promote_again)
        promote(lane);
    if (moved > 0 && !lane->blocked) {
        lane->empty = false;
        lane_pump(lane);
    }
}
