/*
 * Lanes: which queues have one.
 *
 * The configuration names queues, discover finds more, and a reload may take
 * some away. A lane that goes lets go of all that has not begun, as one of a
 * paused queue does, waits for what runs, and leaves; it is freed when nothing
 * of it is out any more, which may be later than that if it lost its lease.
 *
 * Thread: event loop only.
 */
#include <fnmatch.h>
#include <string.h>

#include "common/base/log.h"
#include "worker/control.h"
#include "worker/lane.h"

struct lane *agent_find_lane(const struct agent *a, const char *queue)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        if (strcmp(a->lanes[i]->keys.queue, queue) == 0)
            return a->lanes[i];
    }
    return NULL;
}

struct lane *agent_lane_up(const struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        if (a->lanes[i]->state == LANE_UP)
            return a->lanes[i];
    }
    return NULL;
}

struct lane *agent_add_lane(struct agent *a, const struct queue_spec *q,
                            unsigned order)
{
    struct lane *lane = lane_new(a, q, order);
    a->lanes[a->lane_count++] = lane;
    return lane;
}

/* A lane while the agent runs. */
static void begin(struct agent *a, const struct queue_spec *q,
                  unsigned order) ON_LOOP;

static void begin(struct agent *a, const struct queue_spec *q, unsigned order)
{
    struct lane *lane = agent_add_lane(a, q, order);
    LOG_INFO("queue", F_STR("queue", q->name), F_STR("so", "serving it"));
    lane_start(lane);
    control_add(a->control, lane);
}

/* The entry of a queue: that of its name, else the first pattern of it. */
static const struct queue_spec *find_spec(const struct worker_config *cfg,
                                          const char *queue)
{
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        if (!cfg->queues[i].pattern && strcmp(cfg->queues[i].name, queue) == 0)
            return &cfg->queues[i];
    }
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        if (cfg->queues[i].pattern &&
            fnmatch(cfg->queues[i].name, queue, 0) == 0)
            return &cfg->queues[i];
    }
    return NULL;
}

/* Those that are named; those of patterns come when they are found. */
static void add_missing(struct agent *a) ON_LOOP;

static void add_missing(struct agent *a)
{
    const struct worker_config *cfg = a->cfg;
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        const struct queue_spec *q = &cfg->queues[i];
        if (q->pattern || agent_find_lane(a, q->name) != NULL)
            continue;
        if (a->lane_count < LANES_MAX)
            begin(a, q, i);
        else
            LOG_WARN("queue", F_STR("queue", q->name),
                     F_INT("lanes", LANES_MAX),
                     F_STR("so", "no more queues for this worker"));
    }
}

void lanes_follow(struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        struct lane *lane = a->lanes[i];
        const struct queue_spec *q = find_spec(a->cfg, lane->keys.queue);
        bool may_stay = lane->state != LANE_LEAVING && lane->state != LANE_LEFT;
        if (q != NULL) {
            lane->order = (unsigned)(q - a->cfg->queues);
            lane->weight = q->weight;
            if (lane->going && may_stay) {
                lane->going = false;
                lane->empty = false;
            }
        } else if (!lane->going) {
            LOG_INFO("queue", F_STR("queue", lane->keys.queue),
                     F_INT("held", (int64_t)lane->ledger.len),
                     F_STR("so", "leaving it"));
            lane->going = true;
            lane_let_go(lane);
        }
    }
    add_missing(a);
}

void lane_going_turn(struct lane *lane)
{
    if (!lane->going || lane->agent->stage >= AGENT_DRAINING)
        return;
    lane_unblock(lane);
    lane_release(lane);
    lane_leave(lane);
}

void lanes_tick(struct agent *a)
{
    bool gone = false;
    for (unsigned i = 0; i < a->lane_count;) {
        struct lane *lane = a->lanes[i];
        if (!lane->going || lane->state != LANE_LEFT || lane->out > 0) {
            i++;
            continue;
        }
        memmove(a->lanes + i, a->lanes + i + 1,
                (a->lane_count - i - 1) * sizeof(struct lane *));
        a->lane_count--;
        lane_free(lane);
        gone = true;
    }
    if (gone) /* one that went may be wanted again by now */
        add_missing(a);
}
