/*
 * Reaper: gives back the jobs of lanes that died.
 *
 * A lane proves that it lives by renewing its lease. Every worker looks, and
 * a script call ends each lease once. Three looks: at the lease that ends
 * first, which every renewal reports; at lanes of this host whose process is
 * gone; and at the lists of ids that were ended before, where a command that
 * was under way may have put a job since (stragglers).
 *
 * Thread: event loop only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "worker/lane.h"

enum {
    RECENT_MS = 5 * 60 * 1000, /* stragglers are likely for so long */
    RECENT_MAX = 100,          /* ids looked at in one turn */
    RECENT_EVERY = 12,         /* turns between looks at ids ended lately */
    OLD_EVERY = 16,            /* turns between looks at older ids */
    OLD_MAX = 20,
    DAY_MS = 24 * 3600 * 1000
};

struct look {
    struct lane *lane;
    char victim[LANE_ID_MAX];
    enum reap_mode mode;
};

static void on_reaped(void *arg, int err, const struct reply *r);
static void on_lanes(void *arg, int err, const struct reply *r);
static void on_ids(void *arg, int err, const struct reply *r);
static void on_lists(void *arg, int err, const struct reply *r);
static void reap(struct lane *lane, const char *victim,
                 enum reap_mode mode) ON_LOOP;
static void read_lanes(struct lane *lane, int64_t version) ON_LOOP;
static void look_at_host(struct lane *lane) ON_LOOP;
static void look_at_stragglers(struct lane *lane) ON_LOOP;

/*
 * Until when no expired lease is reaped: an outage of Redis must not look
 * like the death of every worker.
 */
static int64_t grace_left_ms(const struct lane *lane)
{
    int64_t left = lane->grace_until_ms - clock_ms();
    return left > 0 ? left : 0;
}

void lane_look(struct lane *lane, const struct renew_result *r)
{
    bool own = strcmp(r->oldest_lane, lane->id) == 0;
    if (!own && r->oldest_lane[0] != '\0') {
        int64_t wait = r->oldest_left_ms, grace = grace_left_ms(lane);
        if (wait < grace)
            wait = grace;
        if (r->oldest_left_ms < 0 && grace == 0)
            reap(lane, r->oldest_lane, REAP_EXPIRED);
        else if (wait < lane->agent->cfg->lease_ms / 2)
            timer_in(lane->reap_timer, wait + 20 + (int64_t)random_below(200));
    }
    if (r->lanes_version != lane->lanes_version) {
        lane->may_straggle = true; /* an id may have been ended */
        read_lanes(lane, r->lanes_version);
    } else {
        look_at_host(lane);
    }
    look_at_stragglers(lane);
}

/* Nothing renewed in between, so the lease that was about to end has. */
void on_reap_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    if (lane->state == LANE_UP)
        timer_in(lane->renew_timer, 0);
}

/* ---- reap ---- */

static void reap(struct lane *lane, const char *victim, enum reap_mode mode)
{
    struct look *look = mem_new(sizeof(*look));
    look->lane = lane;
    look->mode = mode;
    (void)snprintf(look->victim, sizeof(look->victim), "%s", victim);
    if (queue_reap(lane->cmd, &lane->keys, victim, mode, on_reaped, look) != 0)
        free(look);
}

static void on_reaped(void *arg, int err, const struct reply *r)
{
    static const char *const reasons[] = {[REAP_EXPIRED] = "lease ran out",
                                          [REAP_GONE] = "process is gone",
                                          [REAP_REST] = "the rest of it",
                                          [REAP_STRAGGLER] = "straggler"};
    loop_role_assert();
    struct look *look = arg;
    struct lane *lane = look->lane;
    struct errbuf eb;
    struct reap_result res;
    int rc = queue_reap_result(err, r, &res, &eb);
    if (rc != 0) {
        free(look);
        lane_failed(lane, rc, &eb);
        return;
    }
    if (res.state == REAP_MOVED &&
        (res.moved > 0 || look->mode != REAP_STRAGGLER))
        LOG_WARN("reap", F_STR("queue", lane->keys.queue),
                 F_STR("lane", look->victim), F_STR("why", reasons[look->mode]),
                 F_INT("jobs", res.moved), F_INT("left", res.left));
    /* Who died with it is the next whose lease ends first. */
    if (res.state == REAP_MOVED && look->mode == REAP_EXPIRED &&
        lane->state == LANE_UP)
        timer_in(lane->renew_timer, 0);
    if (res.moved > 0 && lane->state == LANE_UP) {
        if (!lane->blocked)
            lane->empty = false;
        if (res.left > 0)
            reap(lane, look->victim,
                 look->mode == REAP_STRAGGLER ? REAP_STRAGGLER : REAP_REST);
        lane_pump(lane);
    }
    free(look);
}

/* ---- neighbours: lanes of this host ---- */

static void read_lanes(struct lane *lane, int64_t version)
{
    struct args a = {0};
    lane->lanes_version = version;
    args_str(&a, "HGETALL");
    args_str(&a, lane->keys.lanes);
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                    on_lanes, lane);
    args_done(&a);
}

void reaper_forget_neighbours(struct lane *lane)
{
    for (unsigned i = 0; i < lane->neighbour_count; i++) {
        free(lane->neighbours[i].id);
        buf_done(&lane->neighbours[i].description);
    }
    free(lane->neighbours);
    lane->neighbours = NULL;
    lane->neighbour_count = 0;
}

static void on_lanes(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    if (err != 0 || lane->state != LANE_UP)
        return;
    size_t n = reply_len(r) / 2;
    reaper_forget_neighbours(lane);
    lane->neighbours = mem_new((n + 1) * sizeof(*lane->neighbours));
    for (size_t i = 0; i < n; i++) {
        struct neighbour *nb = &lane->neighbours[lane->neighbour_count];
        struct bytes id, text;
        if (!reply_str(reply_at(r, 2 * i), &id.p, &id.len) ||
            !reply_str(reply_at(r, 2 * i + 1), &text.p, &text.len) ||
            id.len >= LANE_ID_MAX || strcmp(id.p, lane->id) == 0 ||
            !host_is_neighbour(&lane->agent->host, text.p, text.len))
            continue;
        nb->id = mem_dup(id.p, id.len);
        buf_append(&nb->description, text.p, text.len);
        lane->neighbour_count++;
    }
    look_at_host(lane);
}

static void look_at_host(struct lane *lane)
{
    for (unsigned i = 0; i < lane->neighbour_count; i++) {
        const struct neighbour *nb = &lane->neighbours[i];
        if (host_is_gone(&lane->agent->host, nb->description.data,
                         nb->description.len))
            reap(lane, nb->id, REAP_GONE);
    }
}

/* ---- stragglers ---- */

/* Ids whose lists are looked at by one command. */
struct lists_look {
    struct lane *lane;
    unsigned count;
    char ids[RECENT_MAX][LANE_ID_MAX];
};

/*
 * Ids ended lately are looked at often, as long as there are any, in one
 * plain EXISTS; of the older ones a few at random now and then. Those of more
 * than a day whose list is empty are forgotten by the script.
 */
static void look_at_stragglers(struct lane *lane)
{
    struct args a = {0};
    int64_t redis_now = clock_boot_ms() + lane->clock_offset_ms;
    bool old = lane->looks++ % OLD_EVERY == 0;
    if (!old && (!lane->may_straggle || lane->looks % RECENT_EVERY != 0))
        return;
    if (old) {
        args_str(&a, "ZRANDMEMBER");
        args_str(&a, lane->keys.reaped);
        args_int(&a, OLD_MAX);
        args_str(&a, "WITHSCORES");
    } else {
        args_str(&a, "ZREVRANGEBYSCORE");
        args_str(&a, lane->keys.reaped);
        args_str(&a, "+inf");
        args_int(&a, redis_now - RECENT_MS);
        args_str(&a, "WITHSCORES");
        args_str(&a, "LIMIT");
        args_int(&a, lane->straggle_from);
        args_int(&a, RECENT_MAX);
    }
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                    on_ids, lane);
    args_done(&a);
}

static void look_at_lists(struct lists_look *look) ON_LOOP;

static void on_ids(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    int64_t redis_now = clock_boot_ms() + lane->clock_offset_ms;
    if (err != 0 || lane->state != LANE_UP)
        return;
    if (reply_len(r) == 0 && lane->straggle_from == 0) {
        lane->may_straggle = false;
        return;
    }
    /* More than one look can take: the next one goes on behind. */
    if (reply_len(r) == 2 * (size_t)RECENT_MAX)
        lane->straggle_from += RECENT_MAX;
    else if (reply_len(r) != 2 * (size_t)OLD_MAX)
        lane->straggle_from = 0;
    struct lists_look *look = mem_new(sizeof(*look));
    look->lane = lane;
    for (size_t i = 0; i + 1 < reply_len(r) && look->count < RECENT_MAX;
         i += 2) {
        struct bytes id, score;
        if (!reply_str(reply_at(r, i), &id.p, &id.len) ||
            !reply_str(reply_at(r, i + 1), &score.p, &score.len) ||
            id.len >= LANE_ID_MAX)
            continue;
        if (redis_now - (int64_t)strtod(score.p, NULL) > DAY_MS)
            reap(lane, id.p, REAP_STRAGGLER);
        else
            memcpy(look->ids[look->count++], id.p, id.len);
    }
    look_at_lists(look);
}

/* Takes look. */
static void look_at_lists(struct lists_look *look)
{
    struct args a = {0};
    char active[RECENT_MAX][KEY_MAX]; /* arguments are borrowed */
    args_str(&a, "EXISTS");
    for (unsigned i = 0; i < look->count; i++) {
        keys_active(&look->lane->keys, look->ids[i], active[i]);
        args_str(&a, active[i]);
    }
    if (look->count == 0 ||
        conn_call(look->lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                  on_lists, look) != 0)
        free(look);
    args_done(&a);
}

/* Which one it is the script finds: this is rare. */
static void on_lists(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lists_look *look = arg;
    int64_t n = 0;
    if (err == 0 && look->lane->state == LANE_UP && reply_int(r, &n) && n > 0)
        for (unsigned i = 0; i < look->count; i++)
            reap(look->lane, look->ids[i], REAP_STRAGGLER);
    free(look);
}
