/*
 * Lane: one worker's side of one queue: its two connections, its id, its
 * lease.
 *
 * A command that was sent may still run after its connection is gone, even
 * after another connection has looked. So whenever an outcome is in doubt
 * the lane closes both connections and binds again under a new id: what is
 * still under way under the old id is refused by every script, and the list
 * that rebind returns is the truth from then on.
 *
 * Thread: event loop only.
 */
#include "worker/lane.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "common/redis/script.h"
#include "worker/cancel.h"
#include "worker/cron.h"
#include "worker/notes.h"
#include "worker/queue_file.h"

enum {
    SAY_DOWN_EVERY_MS = 10000, /* while Redis is away */
    CONNECT_MAX_MS = 5000,
    RECONNECT_MAX_MS = 3000
};

static void on_cmd_up(void *arg);
static void on_wait_up(void *arg);
static void on_cmd_down(void *arg, int err, const char *why);
static void on_wait_down(void *arg, int err, const char *why);
static void on_wait_id(void *arg, int err, const struct reply *r);
static void on_registered(void *arg, int err, const struct reply *r);
static void on_rebound(void *arg, int err, const struct reply *r);
static void on_poll_timer(evutil_socket_t fd, short what, void *arg);
static void on_left(void *arg, int err, const struct reply *r);
static void bind_lane(struct lane *lane) ON_LOOP;
static void stop_calls(struct lane *lane);

static struct conn *new_conn(struct lane *lane, bool wait) ON_LOOP;

static struct conn *new_conn(struct lane *lane, bool wait)
{
    char name[192];
    (void)snprintf(name, sizeof(name), "%s:%s:%s", lane->agent->id,
                   lane->keys.queue, wait ? "wait" : "cmd");
    /* All are back within the grace of whoever comes back first. */
    int64_t third = lane->agent->cfg->lease_ms / 3;
    struct conn_config cfg = {
        .url = lane->agent->cfg->url,
        .name = name,
        .connect_timeout_ms = third < CONNECT_MAX_MS ? third : CONNECT_MAX_MS,
        .reconnect_max_ms = third < RECONNECT_MAX_MS ? third : RECONNECT_MAX_MS,
        .on_up = wait ? on_wait_up : on_cmd_up,
        .on_down = wait ? on_wait_down : on_cmd_down,
        .arg = lane};
    return conn_new(lane->agent->base, &cfg);
}

/* Of good_until_ms: one that no lane has. */
static _Atomic int64_t *free_place(struct agent *a)
{
    bool taken[LANES_MAX] = {false};
    unsigned i = 0;
    for (unsigned n = 0; n < a->lane_count; n++)
        taken[a->lanes[n]->good_until_ms - a->good_until_ms] = true;
    while (taken[i])
        i++;
    return &a->good_until_ms[i];
}

struct lane *lane_new(struct agent *a, const struct queue_spec *q,
                      unsigned order)
{
    struct lane *lane = mem_new(sizeof(*lane));
    lane->agent = a;
    lane->order = order;
    lane->good_until_ms = free_place(a);
    lane->weight = q->weight;
    keys_init(&lane->keys, a->cfg->ns, q->name);
    ledger_init(&lane->ledger);
    lane_logs_init(&lane->logs);
    lane->renew_timer = event_new(a->base, -1, 0, on_renew_timer, lane);
    lane->promote_timer = event_new(a->base, -1, 0, on_promote_timer, lane);
    lane->reap_timer = event_new(a->base, -1, 0, on_reap_timer, lane);
    lane->poll_timer = event_new(a->base, -1, 0, on_poll_timer, lane);
    lane->settle_timer = event_new(a->base, -1, 0, on_settle_timer, lane);
    lane->outbox_timer = event_new(a->base, -1, 0, on_outbox_timer, lane);
    lane->soon_timer = event_new(a->base, -1, 0, on_soon_timer, lane);
    lane->pause_timer = event_new(a->base, -1, 0, on_pause_timer, lane);
    lane->note_timer = event_new(a->base, -1, 0, on_note_timer, lane);
    lane->marks_timer = event_new(a->base, -1, 0, on_marks_timer, lane);
    lane->cron = cron_watch_new(lane);
    lane->bulk_in = 1; /* the first fetch tells whether jobs have ids */
    lane->cmd = new_conn(lane, false);
    lane->wait = new_conn(lane, true);
    lane->relay = relay_new(lane->cmd, &lane->keys, on_relayed, lane);
    return lane;
}

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    lane->state = LANE_LEFT;
    conn_free(lane->cmd);
    conn_free(lane->wait);
    relay_free(lane->relay);
    lane_drop(lane);
    ledger_done(&lane->ledger);
    reaper_forget_neighbours(lane);
    cron_watch_free(lane->cron);
    event_free(lane->renew_timer);
    event_free(lane->promote_timer);
    event_free(lane->reap_timer);
    event_free(lane->poll_timer);
    event_free(lane->settle_timer);
    event_free(lane->outbox_timer);
    event_free(lane->soon_timer);
    event_free(lane->pause_timer);
    event_free(lane->note_timer);
    event_free(lane->marks_timer);
    marks_done(&lane->cancelling.marks);
    free(lane);
}

void lane_start(struct lane *lane)
{
    conn_open(lane->cmd);
    conn_open(lane->wait);
}

int64_t lane_now_ms(const struct lane *lane)
{
    return lane->clock_known ? clock_boot_ms() + lane->clock_offset_ms
                             : clock_wall_ms();
}

void timer_in(struct event *timer, int64_t ms)
{
    if (ms < 0)
        ms = 0;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(timer, &tv);
}

/* ---- binding ---- */

static void choose_next_id(struct lane *lane)
{
    (void)snprintf(lane->next_id, sizeof(lane->next_id), "%s.%u",
                   lane->agent->id, ++lane->seq);
}

static void bind_lane(struct lane *lane)
{
    const struct worker_config *cfg = lane->agent->cfg;
    char description[512];
    if (lane->state != LANE_DOWN || !conn_is_up(lane->cmd) ||
        !conn_is_up(lane->wait) || lane->wait_client_id == 0)
        return;
    if (!lane->leased &&
        (lane->going || lane->agent->stage >= AGENT_DRAINING)) {
        lane->state = LANE_LEFT; /* nothing is ours, nothing will be */
        agent_turn(lane->agent);
        return;
    }
    lane->state = LANE_BINDING;
    /* The pair of ids stays until the answer is known. */
    if (!lane->rebinding)
        choose_next_id(lane);
    lane->rebinding = lane->leased;
    lane->asked_boot_ms = clock_boot_ms();
    host_describe(&lane->agent->host, cfg->threads, lane->agent->id,
                  lane->leased ? lane->id : "", description,
                  sizeof(description));
    if (lane->leased)
        (void)queue_rebind(lane->cmd, &lane->keys, lane->id, lane->next_id,
                           cfg->lease_ms, description, on_rebound, lane);
    else
        (void)queue_register(lane->cmd, &lane->keys, lane->next_id,
                             cfg->lease_ms, description, on_registered, lane);
}

/* What a lane knows anew when it holds a lease under next_id. */
static void bound(struct lane *lane)
{
    memcpy(lane->id, lane->next_id, sizeof(lane->id));
    lane->leased = true;
    lane->rebinding = false;
    lane->state = LANE_UP;
    lane->renewed_boot_ms = lane->asked_boot_ms;
    /* Not from when the connection came up: Redis may refuse every write for
     * longer than a lease (no disk, no primary), and then none was renewed. */
    lane->grace_until_ms = clock_ms() + lane->agent->cfg->lease_ms;
    lane->lanes_version = -1;
    lane->heard = false; /* paused stays what it was: until it has heard */
    lane->complied = -1;
    lane->mismatches = lane->idle_looks = 0;
    lane->down_said_ms = 0;
}

static void start_work(struct lane *lane) ON_LOOP;

static void start_work(struct lane *lane)
{
    struct args a = {0};
    args_str(&a, "SADD");
    args_str(&a, lane->keys.queues);
    args_str(&a, lane->keys.queue);
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false, NULL,
                    NULL);
    args_done(&a);
    cron_file_write(lane->agent->cron_file, lane);
    queue_file_write(lane->agent->queue_file, lane);
    lane_renew(lane);
    agent_turn(lane->agent);
}

/*
 * Whoever ended the lease has noted the id. If nobody has (the key was
 * deleted), what is left in its list would be nobody's: as a straggler it is
 * given back.
 */
static void note_lost_id(struct lane *lane, int64_t now_ms) ON_LOOP;

static void note_lost_id(struct lane *lane, int64_t now_ms)
{
    struct args a = {0};
    char settles[LANE_ID_MAX + 16], version[LANE_ID_MAX + 16];
    if (lane->lost_id[0] == '\0')
        return;
    (void)snprintf(settles, sizeof(settles), "%s:settles", lane->lost_id);
    (void)snprintf(version, sizeof(version), "%s:version", lane->lost_id);
    args_str(&a, "ZADD");
    args_str(&a, lane->keys.reaped);
    args_str(&a, "NX");
    args_int(&a, now_ms);
    args_str(&a, lane->lost_id);
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false, NULL,
                    NULL);
    args_clear(&a);
    args_str(&a, "HDEL");
    args_str(&a, lane->keys.lanes);
    args_str(&a, lane->lost_id);
    args_str(&a, settles);
    args_str(&a, version);
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false, NULL,
                    NULL);
    args_done(&a);
    lane->lost_id[0] = '\0';
}

static void on_registered(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    int64_t now_ms;
    int rc = queue_register_result(err, r, &now_ms, &eb);
    if (rc == ERR_REFUSED || rc == ERR_UNKNOWN)
        return; /* the next id will be used */
    if (rc == ERR_MISSING) {
        lane->state = LANE_DOWN;
        bind_lane(lane);
        return;
    }
    if (rc == ERR_INVALID) { /* a newer format: waiting does not help */
        LOG_ERROR("register", F_STR("queue", lane->keys.queue),
                  F_STR("error", eb.text), F_STR("so", "stopping"));
        stop_calls(lane);
        lane->state = LANE_LEFT;
        lane->agent->exit_code = EX_CONFIG;
        agent_drain(lane->agent, "format");
        agent_turn(lane->agent);
        return;
    }
    if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    bound(lane);
    lane->settles = 0;
    lane_watch_clock(lane, now_ms);
    LOG_INFO("register", F_STR("queue", lane->keys.queue),
             F_STR("lane", lane->id));
    note_lost_id(lane, now_ms);
    start_work(lane);
}

static void on_rebound(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    int64_t settles;
    size_t count;
    int rc = queue_rebind_result(err, r, &settles, &count, &eb);
    if (rc == ERR_MISSING) {
        lane->rebinding = false;
        lane->state = LANE_DOWN;
        bind_lane(lane);
        return;
    }
    if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    bound(lane);
    lane->rebinds++;
    LOG_INFO("rebind", F_STR("queue", lane->keys.queue),
             F_STR("lane", lane->id), F_INT("jobs", (int64_t)count));
    lane->cancelling.told = CANCEL_UNTOLD; /* what was fetched is unheard */
    lane_adopt(lane, r, settles, count);
    lane_log_again(lane);
    lane_note_again(lane);
    start_work(lane);
}

/* ---- connections ---- */

static void on_cmd_up(void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    /* Settles are pipelined and count on their order. */
    script_load_all(lane->cmd);
    bind_lane(lane);
}

static void on_wait_up(void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct args a = {0};
    lane->wait_client_id = 0;
    args_str(&a, "CLIENT");
    args_str(&a, "ID");
    (void)conn_call(lane->wait, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                    on_wait_id, lane);
    args_done(&a);
}

static void on_wait_id(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    if (err != 0)
        return;
    if (!reply_int(r, &lane->wait_client_id)) {
        LOG_ERROR("client_id", F_STR("queue", lane->keys.queue),
                  F_STR("error", reply_error(r)));
        conn_restart(lane->wait);
        return;
    }
    bind_lane(lane);
}

/*
 * Forgets what was under way; the ledger and the unanswered batches stay.
 * (Fetches end as their calls fail.)
 */
static void stop_calls(struct lane *lane)
{
    lane->state = LANE_DOWN;
    lane->blocked = lane->unblocking = false;
    lane->promoting = lane->renewing = lane->ask_again = false;
    lane->promote_again = false;
    lane->promote_at_ms = 0;
    lane->empty = lane->plenty = lane->oom = lane->burst_checked = false;
    (void)event_del(lane->renew_timer);
    (void)event_del(lane->promote_timer);
    (void)event_del(lane->settle_timer);
    (void)event_del(lane->outbox_timer);
    (void)event_del(lane->soon_timer);
    (void)event_del(lane->pause_timer);
    (void)event_del(lane->note_timer);
    (void)event_del(lane->marks_timer);
    cron_watch_stop(lane->cron);
    (void)event_del(lane->reap_timer);
    (void)event_del(lane->poll_timer);
}

static void restart(struct lane *lane) ON_LOOP;

static void restart(struct lane *lane)
{
    stop_calls(lane);
    conn_restart(lane->cmd);
    conn_restart(lane->wait);
}

static void went_down(struct lane *lane, struct conn *other, const char *which,
                      const char *why) ON_LOOP;

static void went_down(struct lane *lane, struct conn *other, const char *which,
                      const char *why)
{
    int64_t now = clock_ms();
    bool was_bound = lane->state == LANE_UP || lane->state == LANE_BINDING ||
                     lane->state == LANE_LEAVING;
    if (lane->state == LANE_LEFT)
        return;
    if (lane->down_said_ms == 0 ||
        now - lane->down_said_ms >= SAY_DOWN_EVERY_MS) {
        char url[384];
        lane->down_said_ms = now;
        LOG_WARN("redis_away",
                 F_STR("url", url_display(&lane->agent->cfg->url, url)),
                 F_STR("queue", lane->keys.queue), F_STR("connection", which),
                 F_STR("error", why), F_STR("so", "waiting for it"));
    }
    stop_calls(lane);
    /* Before that, nothing was sent under our id on the other one. */
    if (was_bound)
        conn_restart(other);
}

static void on_cmd_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)err;
    went_down(lane, lane->wait, "cmd", why);
}

static void on_wait_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)err;
    lane->wait_client_id = 0;
    went_down(lane, lane->cmd, "wait", why);
}

void lane_failed(struct lane *lane, int err, const struct errbuf *eb)
{
    if (err == ERR_REFUSED || err == ERR_UNKNOWN)
        return; /* the connection is gone, and its owner knows */
    if (lane->state == LANE_LEFT || lane->state == LANE_DOWN)
        return;
    lane->refusals += err == ERR_REDIS;
    if (err == ERR_FENCED) {
        lane->fenced++;
        LOG_WARN("fenced", F_STR("queue", lane->keys.queue),
                 F_STR("lane", lane->id),
                 F_INT("jobs", (int64_t)lane->ledger.len),
                 F_STR("so", "dropping them, going on under the next id"));
        lane->leased = lane->rebinding = false;
        memcpy(lane->lost_id, lane->id, sizeof(lane->lost_id));
        restart(lane);
        lane_drop(lane);
        agent_turn(lane->agent);
        return;
    }
    LOG_WARN("resync", F_STR("queue", lane->keys.queue),
             F_STR("lane", lane->id), F_STR("error", eb->text),
             F_STR("so", "binding again over new connections"));
    restart(lane);
}

/* ---- looking again ---- */

static void on_poll_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    if (lane->state != LANE_UP)
        return;
    lane->empty = lane->oom = false;
    if (lane->unblocking) /* the order to come back met no BLMOVE */
        lane_unblock(lane);
    lane_pump(lane);
}

/* ---- leaving ---- */

void lane_leave(struct lane *lane)
{
    if (lane->state == LANE_DOWN && !lane->leased) {
        lane->state = LANE_LEFT;
        return;
    }
    if (lane->state != LANE_UP || lane->ledger.len > 0 ||
        lane->unacked != NULL || !lane_is_quiescent(lane) || lane_relays(lane))
        return;
    lane_tell_times(lane, true);
    if (lane->unacked != NULL)
        return;
    lane->state = LANE_LEAVING;
    (void)queue_leave(lane->cmd, &lane->keys, lane->id, on_left, lane);
}

static void on_left(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    int64_t left = 0;
    int rc = queue_leave_result(err, r, &left, &eb);
    if (rc == ERR_FENCED) { /* somebody ended it for us */
        lane->leased = false;
    } else if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    if (left > 0)
        LOG_WARN("leave", F_STR("queue", lane->keys.queue), F_INT("left", left),
                 F_STR("so", "they will be reaped"));
    LOG_INFO("leave", F_STR("queue", lane->keys.queue),
             F_STR("lane", lane->id));
    stop_calls(lane);
    lane->state = LANE_LEFT;
    if (lane->going)
        timer_in(lane->agent->tick, 0); /* which frees it, from outside */
    agent_turn(lane->agent);
}
