/*
 * The verbs that move jobs: how they come, and what any worker does for the
 * queue. See queue.c; how they go is in queue_settle.c.
 *
 * Thread: event loop only.
 */
#include "common/redis/queue_priv.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/ulid.h"

/* They bound one script's time inside Redis: some 5 us for a job of a set of a
 * million, and 1 ms for a MiB. */
enum { PROMOTE_BATCH = 100, PROMOTE_BYTES = 1024 * 1024 };

/* ---- fetch, wait, stamp: how jobs come ---- */

/* What both fetches begin with; active is lent until the call is sent. */
static void fetch_args(struct args *a, enum script s, const struct keys *k,
                       const char *active, const char *lane, unsigned n,
                       size_t max_bytes)
{
    script_args(a, s, 5);
    args_str(a, k->ready);
    args_str(a, active);
    args_str(a, k->leases);
    args_str(a, k->config);
    args_str(a, k->fence);
    args_str(a, lane);
    args_int(a, n);
    args_int(a, (int64_t)max_bytes);
}

int queue_fetch(struct conn *c, const struct keys *k, const char *lane,
                unsigned n, size_t max_bytes, const char *ulid_prefix,
                conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    fetch_args(&a, SCRIPT_fetch, k, active, lane, n, max_bytes);
    args_str(&a, ulid_prefix); /* the script counts in the last three */
    return queue_send(c, SCRIPT_fetch, &a, cb, arg);
}

int queue_fetch_result(int err, const struct reply *r, struct fetch_result *ret,
                       struct errbuf *eb)
{
    int rc = queue_check(err, r, "fetch", eb);
    if (rc != 0)
        return rc;
    struct fetch_result res = {0};
    if (reply_str_is(reply_at(r, 0), "PAUSED")) {
        res.paused = true;
    } else {
        res.more = reply_str_is(reply_at(r, 0), "MORE");
        if ((!res.more && !reply_str_is(reply_at(r, 0), "EMPTY")) ||
            !reply_int(reply_at(r, 1), &res.fence) ||
            !reply_int(reply_at(r, 2), &res.cancelled_version))
            return queue_unexpected("fetch", eb);
        res.count = reply_len(r) - 3;
        if (res.fence > INT64_MAX - (int64_t)res.count)
            return queue_unexpected("fetch", eb);
    }
    *ret = res;
    return 0;
}

bool queue_fetch_job(const struct reply *r, size_t i, struct bytes *ret)
{
    return queue_bytes_at(r, i + 3, ret);
}

int queue_fetch_bulk(struct conn *c, const struct keys *k, const char *lane,
                     unsigned n, size_t max_bytes, size_t held,
                     conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    fetch_args(&a, SCRIPT_fetch_bulk, k, active, lane, n, max_bytes);
    args_int(&a, (int64_t)held);
    return queue_send(c, SCRIPT_fetch_bulk, &a, cb, arg);
}

int queue_fetch_bulk_result(int err, const struct reply *r,
                            struct fetch_result *ret, struct errbuf *eb)
{
    int64_t count = 0, bigger = 0;
    int rc = queue_check(err, r, "fetch_bulk", eb);
    if (rc != 0)
        return rc;
    struct fetch_result res = {0};
    if (reply_str_is(reply_at(r, 0), "NO")) {
        res.refused = res.more = true;
    } else if (reply_str_is(reply_at(r, 0), "PAUSED")) {
        res.paused = true;
    } else {
        res.more = reply_str_is(reply_at(r, 0), "MORE");
        if ((!res.more && !reply_str_is(reply_at(r, 0), "EMPTY")) ||
            !reply_int(reply_at(r, 1), &res.fence) ||
            !queue_count_at(r, 2, &count) || count > QUEUE_BATCH_MAX ||
            !reply_int(reply_at(r, 3), &bigger) ||
            !reply_int(reply_at(r, 4), &res.cancelled_version) ||
            res.fence > INT64_MAX - count)
            return queue_unexpected("fetch_bulk", eb);
        res.count = (size_t)count;
        res.bigger = bigger != 0;
    }
    *ret = res;
    return 0;
}

int queue_list_active(struct conn *c, const struct keys *k, const char *lane,
                      int64_t from, int64_t to, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    args_str(&a, "LRANGE");
    args_str(&a, active);
    args_int(&a, from);
    args_int(&a, to);
    int rc = conn_call(c, &a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);
    args_done(&a);
    return rc;
}

int queue_list_active_result(int err, const struct reply *r, size_t *ret_count,
                             struct errbuf *eb)
{
    if (err != 0)
        return errbuf_set(eb, err, "list: %s", err_str(err));
    if (reply_is_error(r))
        return errbuf_set(eb, ERR_REDIS, "list: %s", reply_error(r));
    *ret_count = reply_len(r);
    return 0;
}

bool queue_list_active_job(const struct reply *r, size_t i, struct bytes *ret)
{
    return queue_bytes_at(r, i, ret);
}

/* Redis takes seconds with fractions; 0 would wait for ever. */
static void args_seconds(struct args *a, char buf[32], int64_t ms)
{
    (void)snprintf(buf, 32, "%lld.%03d", (long long)(ms / 1000),
                   (int)(ms % 1000));
    args_str(a, buf);
}

static int send_blocking(struct conn *c, struct args *a, int64_t timeout_ms,
                         conn_reply_cb cb, void *arg) ON_LOOP;

static int send_blocking(struct conn *c, struct args *a, int64_t timeout_ms,
                         conn_reply_cb cb, void *arg)
{
    int64_t deadline_ms = clock_ms() + timeout_ms + QUEUE_DEADLINE_MS;
    int rc = conn_call(c, a, deadline_ms, true, cb, arg);
    args_done(a);
    return rc;
}

int queue_block(struct conn *c, const struct keys *k, const char *lane,
                int64_t timeout_ms, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX], seconds[32];
    keys_active(k, lane, active);
    args_str(&a, "BLMOVE");
    args_str(&a, k->ready);
    args_str(&a, active);
    args_str(&a, "LEFT");
    args_str(&a, "RIGHT");
    args_seconds(&a, seconds, timeout_ms);
    return send_blocking(c, &a, timeout_ms, cb, arg);
}

int queue_block_pop(struct conn *c, const struct keys *k, int64_t timeout_ms,
                    conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char seconds[32];
    args_str(&a, "BLPOP");
    args_str(&a, k->ready);
    args_seconds(&a, seconds, timeout_ms);
    return send_blocking(c, &a, timeout_ms, cb, arg);
}

int queue_block_result(int err, const struct reply *r, struct bytes *ret,
                       struct errbuf *eb)
{
    if (err != 0)
        return errbuf_set(eb, err, "wait: %s", err_str(err));
    if (reply_is_error(r))
        return errbuf_set(eb, ERR_REDIS, "wait: %s", reply_error(r));
    *ret = (struct bytes){0};
    if (reply_is_nil(r) || reply_str(r, &ret->p, &ret->len))
        return 0;
    if (reply_len(r) == 2 &&
        queue_bytes_at(r, 1, ret)) /* BLPOP: key, element */
        return 0;
    return queue_unexpected("wait", eb);
}

int queue_pop(struct conn *c, const struct keys *k, unsigned n,
              conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    args_str(&a, "LPOP");
    args_str(&a, k->ready);
    args_int(&a, n);
    int rc = conn_call(c, &a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);
    args_done(&a);
    return rc;
}

int queue_unpop(struct conn *c, const struct keys *k, const struct bytes *jobs,
                unsigned n, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    args_str(&a, "LPUSH");
    args_str(&a, k->ready);
    for (unsigned i = n; i-- > 0;)
        args_mem(&a, jobs[i].p, jobs[i].len);
    int rc = conn_call(c, &a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);
    args_done(&a);
    return rc;
}

int queue_unpop_result(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t depth;
    if (err != 0)
        return errbuf_set(eb, err, "unpop: %s", err_str(err));
    if (reply_is_error(r))
        return errbuf_set(eb, ERR_REDIS, "unpop: %s", reply_error(r));
    return reply_int(r, &depth) ? 0 : queue_unexpected("unpop", eb);
}

int queue_stamp(struct conn *c, const struct keys *k, const char *lane,
                size_t index, struct bytes was, struct bytes now,
                conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    script_args(&a, SCRIPT_stamp, 3);
    args_str(&a, active);
    args_str(&a, k->leases);
    args_str(&a, k->fence);
    args_str(&a, lane);
    args_int(&a, (int64_t)index);
    args_mem(&a, was.p, was.len);
    args_mem(&a, now.p, now.len);
    return queue_send(c, SCRIPT_stamp, &a, cb, arg);
}

int queue_stamp_result(int err, const struct reply *r, int64_t *ret_fence,
                       struct errbuf *eb)
{
    int rc = queue_check_ok(err, r, "stamp", eb);
    if (rc == 0 && !reply_int(reply_at(r, 1), ret_fence))
        return queue_unexpected("stamp", eb);
    return rc;
}

/* ---- promote, reap: what any worker does for the queue ---- */

int queue_promote(struct conn *c, const struct keys *k, conn_reply_cb cb,
                  void *arg)
{
    struct args a = {0};
    char minute[KEY_MAX];
    keys_stats_minute(k, clock_wall_ms(), minute);
    script_args(&a, SCRIPT_promote, 5);
    args_str(&a, k->scheduled);
    args_str(&a, k->retry);
    args_str(&a, k->ready);
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_int(&a, PROMOTE_BATCH);
    args_int(&a, PROMOTE_BYTES);
    return queue_send(c, SCRIPT_promote, &a, cb, arg);
}

int queue_promote_result(int err, const struct reply *r, int64_t *ret_moved,
                         int64_t *ret_next_ms, struct errbuf *eb)
{
    int rc = queue_check(err, r, "promote", eb);
    if (rc == 0 &&
        (!queue_count_at(r, 0, ret_moved) || !queue_wait_at(r, 1, ret_next_ms)))
        return queue_unexpected("promote", eb);
    return rc;
}

int queue_reap(struct conn *c, const struct keys *k, const char *lane,
               enum reap_mode mode, conn_reply_cb cb, void *arg)
{
    static const char *const names[] = {"expired", "gone", "rest", "straggler"};
    struct args a = {0};
    char active[KEY_MAX], minute[KEY_MAX];
    keys_active(k, lane, active);
    keys_stats_minute(k, clock_wall_ms(), minute);
    script_args(&a, SCRIPT_reap, 8);
    args_str(&a, k->leases);
    args_str(&a, k->lanes);
    args_str(&a, k->reaped);
    args_str(&a, k->config);
    args_str(&a, active);
    args_str(&a, k->ready);
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_str(&a, lane);
    args_str(&a, names[mode]);
    args_int(&a, QUEUE_BATCH_MAX_BYTES);
    return queue_send(c, SCRIPT_reap, &a, cb, arg);
}

int queue_reap_result(int err, const struct reply *r, struct reap_result *ret,
                      struct errbuf *eb)
{
    int rc = queue_check(err, r, "reap", eb);
    if (rc != 0)
        return rc;
    *ret = (struct reap_result){0};
    const struct reply *state = reply_at(r, 0);
    if (reply_str_is(state, "ALIVE")) {
        ret->state = REAP_ALIVE;
    } else if (reply_str_is(state, "NONE")) {
        ret->state = REAP_NONE;
    } else if (reply_str_is(state, "FORGOTTEN")) {
        ret->state = REAP_FORGOTTEN;
    } else if (!reply_str_is(state, "OK") ||
               !queue_count_at(r, 1, &ret->moved) ||
               !queue_count_at(r, 2, &ret->left)) {
        return queue_unexpected("reap", eb);
    }
    return 0;
}
