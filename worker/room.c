/*
 * Room: how many jobs the worker may hold, and which lane fetches them.
 *
 * In strict order a lane fetches only when those before it were found empty;
 * by weight each has its share, and the turn goes to the one that was served
 * least.
 *
 * Thread: event loop only.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/lane.h"

enum { FULL_MS = 100 }; /* then a full worker takes its BLMOVEs back */

static int64_t rtt_us(const struct agent *a) ON_LOOP;

static int64_t rtt_us(const struct agent *a)
{
    int64_t rtt = 0;
    for (unsigned i = 0; i < a->lane_count; i++) {
        int64_t r = conn_rtt_us(a->lanes[i]->cmd);
        rtt = r > rtt ? r : rtt;
    }
    return rtt;
}

unsigned agent_window(struct agent *a)
{
    /* A pool that waits for Redis is not stuck in what it ran last. */
    int64_t now_us = a->out > 0 ? clock_us() : a->window.last_done_us;
    size_t bytes = 0, jobs = 0;
    for (unsigned i = 0; i < a->lane_count; i++) {
        bytes += a->lanes[i]->ledger.bytes;
        jobs += a->lanes[i]->ledger.len;
    }
    return window_size(&a->window, rtt_us(a), jobs > 0 ? bytes / jobs : 0,
                       now_us);
}

/* May have jobs that this worker could fetch. */
static bool may_have_jobs(const struct lane *lane)
{
    return lane->state == LANE_UP && !lane->empty && !lane->paused &&
           !lane->going;
}

/* In strict order those before come first, by weight those served less. */
static bool comes_before(const struct agent *a, const struct lane *x,
                         const struct lane *y)
{
    if (a->cfg->weighted && x->served != y->served)
        return x->served < y->served;
    return x->order < y->order;
}

/* What a lane may take of the room when others want theirs too. */
static unsigned share(const struct agent *a, const struct lane *lane,
                      unsigned size)
{
    unsigned total = lane->weight;
    if (!a->cfg->weighted)
        return size;
    for (unsigned i = 0; i < a->lane_count; i++) {
        if (a->lanes[i] != lane && may_have_jobs(a->lanes[i]))
            total += a->lanes[i]->weight;
    }
    unsigned n = size * lane->weight / total;
    return n > 0 ? n : 1;
}

/*
 * Behind a fetch that is under way only a whole one goes, where plenty waits:
 * so where Redis is near, there is one at a time. What is to be given back
 * waits until all have come, and so does what a bulk fetch counts on.
 */
static bool may_go_ahead(const struct agent *a, const struct lane *lane)
{
    return lane->plenty && !lane->bulk &&
           lane->ledger.count[SLOT_GIVE_BACK] == 0 &&
           lane->ledger.bytes + lane->fetching_bytes + QUEUE_BATCH_MAX_BYTES <=
               a->cfg->max_window_bytes;
}

/*
 * Where plenty waits, a lane asks for more when a quarter of what is ahead of
 * the pool is left, or what two round trips use up if that is more: seldom, and
 * for many at once.
 */
static size_t low_water(const struct agent *a, unsigned size) ON_LOOP;

static size_t low_water(const struct agent *a, unsigned size)
{
    double trips = 2.0 * (double)rtt_us(a), part = trips / (WINDOW_US + trips);
    unsigned ahead = size - a->cfg->threads;
    return a->cfg->threads + (size_t)(ahead * (part > 0.25 ? part : 0.25));
}

unsigned agent_room(struct agent *a, const struct lane *lane)
{
    bool ahead = lane->fetches > 0;
    if (ahead && !may_go_ahead(a, lane))
        return 0;
    unsigned size = agent_window(a);
    size_t held = 0, bytes = 0;
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *l = a->lanes[i];
        held += ledger_unfinished(&l->ledger) + l->fetching_n;
        bytes += l->ledger.bytes;
        if (l->ledger.near > 0)
            return 0; /* it may take the next ones down with it */
        if ((l->ledger.recovered > 0 || l->wary) && size > a->cfg->threads)
            size = a->cfg->threads;
        if (l == lane || !may_have_jobs(l))
            continue;
        if (a->cfg->weighted
                ? ahead || (l->fetches > 0 && comes_before(a, l, lane))
                : comes_before(a, l, lane))
            return 0;
    }
    if (held >= size || (bytes >= a->cfg->max_window_bytes && held > 0))
        return 0;
    if (lane->plenty && size > a->cfg->threads && held > low_water(a, size))
        return 0;
    /* What one lane's list may hold, whatever it still has to settle. */
    size_t len = lane->ledger.len + lane->fetching_n;
    size_t longest = size > QUEUE_BATCH_MAX ? size : QUEUE_BATCH_MAX;
    size_t room = size - held, most = share(a, lane, size);
    if (len >= longest)
        return 0;
    if (room > longest - len)
        room = longest - len;
    if (ahead && room < QUEUE_BATCH_MAX)
        return 0;
    if (most > QUEUE_BATCH_MAX)
        most = QUEUE_BATCH_MAX;
    return (unsigned)(room < most ? room : most);
}

/* ---- turns ---- */

static int by_turn(const void *x, const void *y)
{
    const struct lane *const *a = x, *const *b = y;
    if (comes_before((*a)->agent, *a, *b))
        return -1;
    return comes_before((*a)->agent, *b, *a) ? 1 : 0;
}

/*
 * A lane that was empty does not make up for the time: it starts even with
 * the lane that was served least meanwhile, and all when all were empty.
 */
static void level_served(struct agent *a)
{
    double least = -1;
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *l = a->lanes[i];
        if (may_have_jobs(l) && !l->was_idle &&
            (least < 0 || l->served < least))
            least = l->served;
    }
    bool all_idle = true;
    for (unsigned i = 0; i < a->lane_count; i++)
        all_idle = all_idle && !may_have_jobs(a->lanes[i]) &&
                   a->lanes[i]->fetches == 0;
    for (unsigned i = 0; i < a->lane_count; i++) {
        struct lane *l = a->lanes[i];
        if (all_idle)
            l->served = 0;
        else if (may_have_jobs(l) && l->was_idle && l->served < least)
            l->served = least;
        l->was_idle = !may_have_jobs(l);
    }
}

void agent_pump(struct agent *a)
{
    if (a->lane_count == 1) {
        lane_pump(a->lanes[0]);
    } else {
        level_served(a);
        struct lane **order = mem_dup(a->lanes, a->lane_count * sizeof(*order));
        qsort(order, a->lane_count, sizeof(*order), by_turn);
        for (unsigned i = 0; i < a->lane_count; i++)
            lane_pump(order[i]);
        free(order);
    }
    bool full = a->out >= a->cfg->threads;
    if (full && !evtimer_pending(a->full_timer, NULL))
        timer_in(a->full_timer, FULL_MS);
    else if (!full)
        (void)event_del(a->full_timer);
}

/* The pool stays full: what a BLMOVE brought now would only wait here. */
void on_full(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)fd;
    (void)what;
    for (unsigned i = 0; i < a->lane_count; i++)
        lane_unblock(a->lanes[i]);
}
