/*
 * Fetch: how jobs come into a lane.
 *
 *     room ──► fetch ──MORE──► fetch …
 *                └──EMPTY──► BLMOVE on the second connection ──job──► fetch
 *
 * Few held and many waiting: a script moves them in bulk, and a plain LRANGE
 * sent with it reads them. Each is answered for itself; the fetch ends with
 * the later answer.
 *
 * Where Redis is far away several fetches are under way (room.c). They are
 * answered in the order in which they were executed, even if one had to be sent
 * again because its script was not loaded. A fetch and a BLMOVE are never under
 * way together. So the order of the active list stays known. What comes is
 * taken in by intake.c.
 *
 * Thread: event loop only.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "worker/lane.h"

enum {
    BLOCK_MAX_MS = 10000,
    SMALL_FETCH = 64,          /* jobs: its time is that of the way */
    BULK_MIN = 32,             /* jobs that are worth two commands */
    BULK_BYTES = WINDOW_BYTES, /* of one reply, roughly */
    BULK_PENALTY_MAX = 1023,
    OOM_POLL_MS = 1000,   /* BLMOVE is refused at maxmemory, fetch is not */
    UNBLOCK_RETRY_MS = 10 /* the order overtook the BLMOVE */
};

struct fetch_call {
    struct lane *lane;
    unsigned n;
    size_t bytes;
    int64_t sent_us;
    bool alone;
    char prefix[ULID_PREFIX_LEN + 1]; /* of ids that it stamps */

    /* In bulk: first the script, then the list, each answered for itself. */
    unsigned unanswered;
    bool answered; /* the script has, with res */
    bool failed;   /* and the lane knows */
    struct fetch_result res;
};

static void on_fetched(void *arg, int err, const struct reply *r);
static void on_moved(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, int err, const struct reply *r);
static void on_popped(void *arg, int err, const struct reply *r);
static void on_blocked(void *arg, int err, const struct reply *r);
static void on_unblocked(void *arg, int err, const struct reply *r);

bool lane_is_quiescent(const struct lane *lane)
{
    return lane->fetches == 0 && !lane->blocked;
}

static void block(struct lane *lane) ON_LOOP;

static void block(struct lane *lane)
{
    const struct worker_config *cfg = lane->agent->cfg;
    int64_t ms = cfg->lease_ms * 2 / 3;
    if (ms > BLOCK_MAX_MS)
        ms = BLOCK_MAX_MS;
    int rc = cfg->at_most_once ? queue_block_pop(lane->wait, &lane->keys, ms,
                                                 on_blocked, lane)
                               : queue_block(lane->wait, &lane->keys, lane->id,
                                             ms, on_blocked, lane);
    lane->blocked = rc == 0;
}

/* Few are held and many wait, mostly with ids: bulk then costs least. */
static bool suits_bulk(const struct lane *lane, unsigned n)
{
    const struct ledger *l = &lane->ledger;
    return lane->bulk_in == 0 && !lane->agent->cfg->at_most_once &&
           lane->fetches == 0 && n >= BULK_MIN && 2 * l->len <= n &&
           l->count[SLOT_STAMPING] == 0 && l->count[SLOT_GIVE_BACK] == 0;
}

static int send_bulk(struct fetch_call *f) ON_LOOP;

static int send_bulk(struct fetch_call *f)
{
    struct lane *lane = f->lane;
    size_t held = lane->ledger.len;
    int rc = queue_fetch_bulk(lane->cmd, &lane->keys, lane->id, f->n,
                              f->bytes < BULK_BYTES ? f->bytes : BULK_BYTES,
                              held, on_moved, f);
    if (rc != 0)
        return rc;
    f->unanswered = 1;
    if (queue_list_active(lane->cmd, &lane->keys, lane->id, (int64_t)held,
                          (int64_t)(held + f->n) - 1, on_listed, f) == 0)
        f->unanswered++;
    return 0;
}

static int fetch(struct lane *lane, unsigned n) ON_LOOP;

static int fetch(struct lane *lane, unsigned n)
{
    const struct worker_config *cfg = lane->agent->cfg;
    size_t held = lane->ledger.bytes + lane->fetching_bytes;
    size_t bytes =
        cfg->max_window_bytes > held ? cfg->max_window_bytes - held : 1;
    if (bytes > QUEUE_BATCH_MAX_BYTES)
        bytes = QUEUE_BATCH_MAX_BYTES;
    struct fetch_call *f = mem_new(sizeof(*f));
    *f = (struct fetch_call){.lane = lane,
                             .n = n,
                             .bytes = bytes,
                             .sent_us = clock_us(),
                             .alone = lane->fetches == 0};
    bool bulk = suits_bulk(lane, n);
    int rc;
    if (cfg->at_most_once) {
        rc = queue_pop(lane->cmd, &lane->keys, n, on_popped, f);
    } else if (bulk) {
        rc = send_bulk(f);
    } else {
        ulid_make_prefix(f->prefix);
        rc = queue_fetch(lane->cmd, &lane->keys, lane->id, n, bytes, f->prefix,
                         on_fetched, f);
    }
    if (rc != 0) {
        free(f);
        return rc;
    }
    lane->bulk = bulk;
    lane->fetches++;
    lane->fetching_n += n;
    lane->served += (double)n / lane->weight; /* until it is known */
    lane->fetching_bytes += bytes;
    return 0;
}

/* It is not under way any more, however it went. Takes f. */
static struct fetch_call end_fetch(struct fetch_call *f)
{
    struct fetch_call done = *f;
    struct lane *lane = f->lane;
    lane->bulk = false;
    lane->fetches--;
    lane->fetching_n -= f->n;
    lane->served -= (double)f->n / lane->weight;
    lane->fetching_bytes -= f->bytes;
    free(f);
    return done;
}

void lane_pump(struct lane *lane)
{
    struct agent *a = lane->agent;
    unsigned n;
    if (lane->state != LANE_UP)
        return;
    if (a->stage != AGENT_RUNNING || lane->paused || lane->going) {
        lane_unblock(lane);
        return;
    }
    if (a->cfg->at_most_once && !lane->heard)
        return; /* a pop does not ask whether the queue is paused */
    while (!lane->blocked && (n = agent_room(a, lane)) > 0) {
        bool look = !lane->empty ||
                    (a->cfg->burst && a->out == 0 && !lane->burst_checked);
        if (look && fetch(lane, n) == 0)
            continue;
        if (look || lane->fetches > 0 || a->cfg->burst)
            return;
        if (lane->oom) {
            if (!evtimer_pending(lane->poll_timer, NULL))
                timer_in(lane->poll_timer, OOM_POLL_MS);
            return;
        }
        block(lane);
        return;
    }
}

static void note_fetched(struct lane *lane, const struct fetch_call *f,
                         const struct fetch_result *res) ON_LOOP;

static void note_fetched(struct lane *lane, const struct fetch_call *f,
                         const struct fetch_result *res)
{
    int64_t now_us = clock_us();
    if (f->alone && res->count <= SMALL_FETCH)
        window_trip(&lane->agent->window, now_us - f->sent_us, now_us);
    if (res->count > 0)
        lane->wary = false; /* those that are taken now may make it so */
    lane_set_paused(lane, res->paused);
    if (res->paused)
        lane_renew_soon(lane); /* which version that is, and until when */
    lane->empty = !res->more;
    lane->plenty = res->more;
    lane->burst_checked = res->count == 0 && !res->more && lane->fetches == 0 &&
                          lane->agent->out == 0;
    if (!res->paused && !res->refused)
        lane->cancelling.told = res->cancelled_version;
    lane->served += (double)res->count / lane->weight;
}

/* The next n fetches are not in bulk; more and more, until one went well. */
static void put_off_bulk(struct lane *lane)
{
    lane->bulk_penalty = lane->bulk_penalty * 2 + 1;
    if (lane->bulk_penalty > BULK_PENALTY_MAX)
        lane->bulk_penalty = BULK_PENALTY_MAX;
    lane->bulk_in = lane->bulk_penalty;
}

static bool is_stamped(struct bytes raw, const char *prefix)
{
    static const char id[] = "{\"id\":\"";
    return raw.len > sizeof(id) + ULID_PREFIX_LEN &&
           memcmp(raw.p + sizeof(id) - 1, prefix, ULID_PREFIX_LEN) == 0;
}

static void on_fetched(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct fetch_call f = end_fetch(arg);
    struct lane *lane = f.lane;
    struct errbuf eb;
    struct fetch_result res;
    bool stamped = false;
    int rc = queue_fetch_result(err, r, &res, &eb);
    if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    }
    note_fetched(lane, &f, &res);
    for (size_t i = 0; i < res.count; i++) {
        struct bytes raw;
        if (queue_fetch_job(r, i, &raw)) {
            stamped = stamped || is_stamped(raw, f.prefix);
            (void)lane_take(lane, raw, res.fence + (int64_t)i);
        }
    }
    if (lane->bulk_in > 0 && res.count > 0 && !stamped)
        lane->bulk_in--;
    lane_spare_innocents(lane);
    agent_turn(lane->agent);
}

/* ---- in bulk ---- */

/* Takes f if all is answered; lane_failed may free it, too: call that last. */
static void fail_bulk(struct fetch_call *f, int err,
                      const struct errbuf *eb) ON_LOOP;

static void fail_bulk(struct fetch_call *f, int err, const struct errbuf *eb)
{
    struct lane *lane = f->lane;
    bool known = f->failed;
    f->failed = true;
    if (f->unanswered == 0)
        (void)end_fetch(f);
    if (!known)
        lane_failed(lane, err, eb);
}

static void on_moved(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct fetch_call *f = arg;
    struct lane *lane = f->lane;
    struct errbuf eb;
    int rc = queue_fetch_bulk_result(err, r, &f->res, &eb);
    f->answered = true;
    f->unanswered--;
    if (rc != 0) {
        fail_bulk(f, rc, &eb);
        return;
    }
    if (f->unanswered > 0)
        return;
    /*
     * The script was sent again, so the list was looked at too early. What
     * stood before them may be gone by now; nothing stands behind them.
     */
    if (f->res.count > 0 &&
        queue_list_active(lane->cmd, &lane->keys, lane->id,
                          -(int64_t)f->res.count, -1, on_listed, f) == 0) {
        f->unanswered++;
        return;
    }
    struct fetch_call done = end_fetch(f);
    if (done.res.count > 0)
        return; /* down: rebind will find them */
    if (done.res.refused)
        put_off_bulk(lane);
    note_fetched(lane, &done, &done.res);
    agent_turn(lane->agent);
}

static void on_listed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct fetch_call *f = arg;
    struct lane *lane = f->lane;
    struct errbuf eb;
    size_t count = 0;
    f->unanswered--;
    if (!f->answered && err == 0)
        return;
    if (f->failed) {
        fail_bulk(f, 0, NULL);
        return;
    }
    int rc = queue_list_active_result(err, r, &count, &eb);
    if (f->res.refused)
        count = 0; /* the list is what it was; none of it is new */
    if (rc == 0 && count != f->res.count)
        rc = errbuf_set(&eb, ERR_MISSING,
                        "fetch_bulk: %zu jobs came, and %zu are there",
                        f->res.count, count);
    if (rc != 0) {
        fail_bulk(f, rc, &eb);
        return;
    }
    struct fetch_call done = end_fetch(f);
    bool well = !done.res.refused && !done.res.bigger;
    note_fetched(lane, &done, &done.res);
    for (size_t i = 0; i < count; i++) {
        struct bytes raw;
        if (queue_list_active_job(r, i, &raw) &&
            lane_take(lane, raw, done.res.fence + (int64_t)i)->state ==
                SLOT_STAMPING)
            well = false;
    }
    if (!well)
        put_off_bulk(lane);
    else if (count > 0)
        lane->bulk_penalty = 0;
    lane_spare_innocents(lane);
    agent_turn(lane->agent);
}

/* At most once: LPOP with a count answers an array, or nil. */
static void on_popped(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct fetch_call f = end_fetch(arg);
    struct lane *lane = f.lane;
    size_t n = err == 0 ? reply_len(r) : 0;
    if (err != 0 || reply_is_error(r)) {
        struct errbuf eb;
        lane_failed(lane,
                    errbuf_set(&eb, err != 0 ? err : ERR_REDIS, "pop: %s",
                               err != 0 ? err_str(err) : reply_error(r)),
                    &eb);
        return;
    }
    lane->empty = n < f.n;
    lane->burst_checked = n == 0 && lane->agent->out == 0;
    for (size_t i = 0; i < n; i++) {
        struct bytes raw;
        if (reply_str(reply_at(r, i), &raw.p, &raw.len))
            (void)lane_take(lane, raw, 0);
    }
    lane->served += (double)n / lane->weight;
    agent_turn(lane->agent);
}

static void on_blocked(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    struct bytes raw;
    bool unblocking = lane->unblocking;
    lane->blocked = lane->unblocking = false;
    int rc = queue_block_result(err, r, &raw, &eb);
    if (rc == ERR_REDIS && reply_error_is(r, "OOM")) {
        if (!lane->oom_said)
            LOG_WARN("oom", F_STR("queue", lane->keys.queue),
                     F_STR("so", "polling"));
        lane->oom = lane->oom_said = true;
    } else if (rc != 0) {
        lane_failed(lane, rc, &eb);
        return;
    } else if (raw.p != NULL) {
        (void)lane_take(lane, raw, 0);
        lane->empty = false;
        lane->served += 1.0 / lane->weight;
    } else if (unblocking) {
        lane->empty = false; /* it has its turn when there is room again */
    }
    if (rc == 0)
        lane->oom_said = false;
    agent_turn(lane->agent);
}

void lane_unblock(struct lane *lane)
{
    struct args a = {0};
    if (lane->state != LANE_UP || !lane->blocked)
        return;
    if (lane->unblocking && evtimer_pending(lane->poll_timer, NULL))
        return;
    lane->unblocking = true;
    args_str(&a, "CLIENT");
    args_str(&a, "UNBLOCK");
    args_int(&a, lane->wait_client_id);
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                    on_unblocked, lane);
    args_done(&a);
}

static void on_unblocked(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    int64_t n = 0;
    if (err != 0 || lane->state != LANE_UP)
        return;
    if (reply_is_error(r)) {
        struct errbuf eb;
        lane_failed(lane,
                    errbuf_set(&eb, ERR_REDIS, "unblock: %s", reply_error(r)),
                    &eb);
        return;
    }
    /* 0: it was not blocked, or not yet: two connections, no order. */
    if (reply_int(r, &n) && n == 0 && lane->blocked)
        timer_in(lane->poll_timer, UNBLOCK_RETRY_MS);
}
