/*
 * The verbs of a queue: requests and answers of the scripts in common/lua.
 *
 * Nothing is decided here. Each function puts keys and arguments in the order
 * in which the script of its name expects them; each _result turns an answer,
 * which is input like any other, into numbers and an error code.
 *
 * Thread: event loop only.
 */
#include "common/redis/queue_priv.h"

#include <string.h>

#include "common/base/clock.h"

int queue_send(struct conn *c, enum script s, struct args *a, conn_reply_cb cb,
               void *arg)
{
    int rc = script_call(c, s, a, clock_ms() + QUEUE_DEADLINE_MS, cb, arg);
    args_done(a);
    return rc;
}

int queue_check(int err, const struct reply *r, const char *verb,
                struct errbuf *eb)
{
    if (err != 0)
        return errbuf_set(eb, err, "%s: %s", verb, err_str(err));
    if (reply_is_error(r))
        return errbuf_set(eb, ERR_REDIS, "%s: %s", verb, reply_error(r));
    if (reply_str_is(reply_at(r, 0), "FENCED"))
        return errbuf_set(eb, ERR_FENCED, "%s: the lane holds no lease", verb);
    if (reply_str_is(reply_at(r, 0), "TAKEN"))
        return errbuf_set(eb, ERR_MISSING, "%s: the id was used before", verb);
    if (reply_str_is(reply_at(r, 0), "REFUSED"))
        return errbuf_set(eb, ERR_MISSING,
                          "%s: the active list is not as expected", verb);
    return 0;
}

int queue_check_ok(int err, const struct reply *r, const char *verb,
                   struct errbuf *eb)
{
    int rc = queue_check(err, r, verb, eb);
    if (rc == 0 && !reply_str_is(reply_at(r, 0), "OK"))
        return errbuf_set(eb, ERR_REDIS, "%s: unexpected answer", verb);
    return rc;
}

int queue_unexpected(const char *verb, struct errbuf *eb)
{
    return errbuf_set(eb, ERR_REDIS, "%s: unexpected answer", verb);
}

bool queue_count_at(const struct reply *r, size_t i, int64_t *ret)
{
    int64_t n;
    if (!reply_int(reply_at(r, i), &n) || n < 0 || n > QUEUE_COUNT_MAX)
        return false;
    *ret = n;
    return true;
}

bool queue_wait_at(const struct reply *r, size_t i, int64_t *ret_ms)
{
    int64_t ms;
    if (!reply_int(reply_at(r, i), &ms))
        return false;
    if (ms > QUEUE_WAIT_MAX_MS)
        ms = QUEUE_WAIT_MAX_MS;
    *ret_ms = ms < -QUEUE_WAIT_MAX_MS ? -QUEUE_WAIT_MAX_MS : ms;
    return true;
}

bool queue_bytes_at(const struct reply *r, size_t i, struct bytes *ret)
{
    const struct reply *e = reply_at(r, i);
    return e != NULL && reply_str(e, &ret->p, &ret->len);
}

int queue_format_refused(const struct reply *r, const char *verb,
                         struct errbuf *eb)
{
    int64_t format = 0;
    (void)reply_int(reply_at(r, 1), &format);
    return errbuf_set(eb, ERR_INVALID,
                      "%s: the queue has format %lld, this program knows "
                      "formats up to %d",
                      verb, (long long)format, QUEUE_FORMAT);
}

/* ---- register, leave, rebind, renew: the life of a lane ---- */

int queue_register(struct conn *c, const struct keys *k, const char *lane,
                   int64_t lease_ms, const char *description, conn_reply_cb cb,
                   void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    script_args(&a, SCRIPT_register, 5);
    args_str(&a, k->leases);
    args_str(&a, k->lanes);
    args_str(&a, k->reaped);
    args_str(&a, k->config);
    args_str(&a, active);
    args_str(&a, lane);
    args_int(&a, lease_ms);
    args_str(&a, description);
    args_int(&a, QUEUE_FORMAT);
    return queue_send(c, SCRIPT_register, &a, cb, arg);
}

int queue_register_result(int err, const struct reply *r, int64_t *ret_now_ms,
                          struct errbuf *eb)
{
    if (err == 0 && reply_str_is(reply_at(r, 0), "FORMAT"))
        return queue_format_refused(r, "register", eb);
    int rc = queue_check_ok(err, r, "register", eb);
    if (rc == 0 && !queue_count_at(r, 1, ret_now_ms))
        return queue_unexpected("register", eb);
    return rc;
}

int queue_rebind(struct conn *c, const struct keys *k, const char *was,
                 const char *lane, int64_t lease_ms, const char *description,
                 conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active_was[KEY_MAX], active[KEY_MAX];
    keys_active(k, was, active_was);
    keys_active(k, lane, active);
    script_args(&a, SCRIPT_rebind, 6);
    args_str(&a, k->leases);
    args_str(&a, k->lanes);
    args_str(&a, k->reaped);
    args_str(&a, k->config);
    args_str(&a, active_was);
    args_str(&a, active);
    args_str(&a, was);
    args_str(&a, lane);
    args_int(&a, lease_ms);
    args_str(&a, description);
    return queue_send(c, SCRIPT_rebind, &a, cb, arg);
}

int queue_rebind_result(int err, const struct reply *r, int64_t *ret_settles,
                        size_t *ret_count, struct errbuf *eb)
{
    int rc = queue_check_ok(err, r, "rebind", eb);
    if (rc == 0 && !queue_count_at(r, 2, ret_settles))
        return queue_unexpected("rebind", eb);
    if (rc == 0)
        *ret_count = reply_len(r) - 3;
    return rc;
}

bool queue_rebind_job(const struct reply *r, size_t i, struct bytes *ret)
{
    return queue_bytes_at(r, i + 3, ret);
}

int queue_renew(struct conn *c, const struct keys *k, const char *lane,
                int64_t lease_ms, int64_t version, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    script_args(&a, SCRIPT_renew, 9);
    args_str(&a, k->leases);
    args_str(&a, active);
    args_str(&a, k->config);
    args_str(&a, k->ready);
    args_str(&a, k->scheduled);
    args_str(&a, k->retry);
    args_str(&a, k->lanes);
    args_str(&a, k->cron_due);
    args_str(&a, k->outbox);
    args_str(&a, lane);
    args_int(&a, lease_ms);
    args_int(&a, version);
    return queue_send(c, SCRIPT_renew, &a, cb, arg);
}

int queue_renew_result(int err, const struct reply *r, struct renew_result *ret,
                       struct errbuf *eb)
{
    int rc = queue_check_ok(err, r, "renew", eb);
    if (rc != 0)
        return rc;
    struct renew_result res = {0};
    int64_t paused = 0;
    struct bytes oldest;
    if (!queue_count_at(r, 1, &res.now_ms) ||
        !queue_count_at(r, 2, &res.active) ||
        !reply_int(reply_at(r, 3), &res.config_version) ||
        !reply_int(reply_at(r, 4), &res.cancelled_version) ||
        !reply_int(reply_at(r, 5), &res.lanes_version) ||
        !reply_int(reply_at(r, 6), &paused) ||
        !queue_count_at(r, 7, &res.ready) ||
        !queue_wait_at(r, 8, &res.next_due_ms) ||
        !queue_bytes_at(r, 9, &oldest) ||
        !queue_wait_at(r, 10, &res.oldest_left_ms) ||
        !queue_wait_at(r, 11, &res.paused_left_ms) ||
        !queue_wait_at(r, 12, &res.cron_due_ms) ||
        !queue_count_at(r, 13, &res.outbox))
        return queue_unexpected("renew", eb);
    res.paused = paused != 0;
    /* The script lets no longer one through. */
    if (oldest.len < sizeof(res.oldest_lane))
        memcpy(res.oldest_lane, oldest.p, oldest.len);
    *ret = res;
    return 0;
}

int queue_leave(struct conn *c, const struct keys *k, const char *lane,
                conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char active[KEY_MAX];
    keys_active(k, lane, active);
    script_args(&a, SCRIPT_leave, 5);
    args_str(&a, k->leases);
    args_str(&a, k->lanes);
    args_str(&a, k->reaped);
    args_str(&a, k->config);
    args_str(&a, active);
    args_str(&a, lane);
    return queue_send(c, SCRIPT_leave, &a, cb, arg);
}

int queue_leave_result(int err, const struct reply *r, int64_t *ret_left,
                       struct errbuf *eb)
{
    int rc = queue_check_ok(err, r, "leave", eb);
    if (rc == 0 && !queue_count_at(r, 1, ret_left))
        return queue_unexpected("leave", eb);
    return rc;
}
