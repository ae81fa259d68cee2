/*
 * Scheduler: moves jobs that are due to the ready list.
 *
 * Every worker promotes; a script call moves each job once. A lane learns
 * when the next one is due from its renewals, from promote itself, and from
 * the retries that it settles.
 *
 * Thread: event loop only.
 */
#include "common/base/clock.h"
#include "common/base/ulid.h"
#include "worker/lane.h"

enum { JITTER_MS = 20 }; /* so that a fleet does not promote in one moment */

static void on_promoted(void *arg, int err, const struct reply *r);

void lane_promote_in(struct lane *lane, int64_t wait_ms)
{
    int64_t at = clock_ms() + wait_ms;
    if (lane->promote_at_ms != 0 && lane->promote_at_ms <= at)
        return;
    lane->promote_at_ms = at;
    timer_in(lane->promote_timer,
             wait_ms + 1 + (int64_t)random_below(JITTER_MS));
}

void on_promote_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    lane->promote_at_ms = 0;
    if (lane->state != LANE_UP || lane->promoting)
        return;
    lane->promoting =
        queue_promote(lane->cmd, &lane->keys, on_promoted, lane) == 0;
}

static void on_promoted(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    int64_t moved = 0, next_ms = -1;
    lane->promoting = false;
    int rc = queue_promote_result(err, r, &moved, &next_ms, &eb);
    if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    if (next_ms >= 0)
        lane_promote_in(lane, next_ms);
    if (moved > 0 && !lane->blocked) {
        lane->empty = false;
        lane_pump(lane);
    }
}
