/*
 * Discover: finds the queues that patterns of -q mean.
 *
 * Names of queues are in belt:queues. Every few seconds the new ones that a
 * pattern matches get a lane; the first matching entry of -q gives its weight
 * and its place in strict order. Lanes stay until the worker ends, or no entry
 * is for them any more.
 *
 * Thread: event loop only.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/control.h"
#include "worker/lane.h"

enum { LOOK_EVERY_MS = 5000 };

static void on_up(void *arg);
static void on_down(void *arg, int err, const char *why);
static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_names(void *arg, int err, const struct reply *r);
static void look(struct agent *a) ON_LOOP;

static bool has_patterns(const struct agent *a)
{
    for (unsigned i = 0; i < a->cfg->queue_count; i++) {
        if (a->cfg->queues[i].pattern)
            return true;
    }
    return false;
}

void discover_start(struct agent *a)
{
    struct conn_config cfg = {.url = a->cfg->url,
                              .name = a->id,
                              .on_up = on_up,
                              .on_down = on_down,
                              .arg = a};
    if (!has_patterns(a))
        return;
    a->discovering = true;
    a->discover_timer = event_new(a->base, -1, 0, on_timer, a);
    a->discover_conn = conn_new(a->base, &cfg);
    conn_open(a->discover_conn);
}

void discover_stop(struct agent *a)
{
    conn_free(a->discover_conn);
    a->discover_conn = NULL;
    if (a->discover_timer != NULL)
        event_free(a->discover_timer);
    a->discover_timer = NULL;
}

void discover_follow(struct agent *a)
{
    bool wanted = has_patterns(a);
    if (wanted && a->discover_conn == NULL)
        discover_start(a);
    else if (wanted)
        timer_in(a->discover_timer, 0);
    else if (a->discover_conn != NULL)
        discover_stop(a);
    a->discovering = wanted;
}

static void look(struct agent *a)
{
    struct args args = {0};
    char key[NAME_MAX_LEN + 16];
    timer_in(a->discover_timer, LOOK_EVERY_MS);
    if (a->stage >= AGENT_DRAINING || !conn_is_up(a->discover_conn))
        return;
    (void)snprintf(key, sizeof(key), "%s:queues", a->cfg->ns);
    args_str(&args, "SMEMBERS");
    args_str(&args, key);
    (void)conn_call(a->discover_conn, &args, clock_ms() + QUEUE_DEADLINE_MS,
                    false, on_names, a);
    args_done(&args);
}

static void on_up(void *arg)
{
    loop_role_assert();
    look(arg);
}

static void on_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)err;
    if (!a->discover_said)
        LOG_WARN("redis_away", F_STR("error", why),
                 F_STR("so", "waiting for it to find queues"));
    a->discover_said = true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    look(arg);
}

static void add_lane(struct agent *a, const char *name, unsigned entry) ON_LOOP;

static void add_lane(struct agent *a, const char *name, unsigned entry)
{
    struct queue_spec q = {.weight = a->cfg->queues[entry].weight};
    if (a->lane_count == LANES_MAX) {
        if (!a->discover_full)
            LOG_WARN("discover", F_STR("queue", name),
                     F_INT("lanes", LANES_MAX),
                     F_STR("so", "no more queues for this worker"));
        a->discover_full = true;
        return;
    }
    (void)snprintf(q.name, sizeof(q.name), "%s", name);
    LOG_INFO("discover", F_STR("queue", name),
             F_STR("pattern", a->cfg->queues[entry].name));
    struct lane *lane = agent_add_lane(a, &q, entry);
    lane_start(lane);
    control_add(a->control, lane);
}

static void on_names(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct agent *a = arg;
    const char *name;
    size_t len;
    if (err != 0 || a->stage >= AGENT_DRAINING)
        return;
    if (reply_is_error(r)) {
        LOG_WARN("discover", F_STR("error", reply_error(r)),
                 F_STR("so", "trying again"));
        return;
    }
    for (size_t i = 0; i < reply_len(r); i++) {
        if (!reply_str(reply_at(r, i), &name, &len) ||
            !text_is_name(name, len) || agent_find_lane(a, name) != NULL)
            continue;
        for (unsigned q = 0; q < a->cfg->queue_count; q++) {
            if (a->cfg->queues[q].pattern &&
                fnmatch(a->cfg->queues[q].name, name, 0) == 0) {
                add_lane(a, name, q);
                break;
            }
        }
    }
    a->discovered = true;
    agent_turn(a);
}
