/*
 * The verbs that put jobs into a queue: push for many plain ones, push_one for
 * one with options, and what is due behind one that replaced another.
 *
 * Thread: event loop only.
 */
#include "common/redis/queue_priv.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/ulid.h"

static void args_bytes(struct args *a, struct bytes b)
{
    args_mem(a, b.p, b.len);
}

int queue_push(struct conn *c, const struct keys *k, bool front,
               const struct bytes *envelopes, unsigned n, conn_reply_cb cb,
               void *arg)
{
    struct args a = {0};
    char minute[KEY_MAX];
    keys_stats_minute(k, clock_wall_ms(), minute);
    script_args(&a, SCRIPT_push, 4);
    args_str(&a, k->ready);
    args_str(&a, k->config);
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_str(&a, front ? "1" : "0");
    args_int(&a, QUEUE_FORMAT);
    for (unsigned i = 0; i < n; i++)
        args_bytes(&a, envelopes[i]);
    return queue_send(c, SCRIPT_push, &a, cb, arg);
}

/* { "FULL", depth, how many were taken, max_length }; push_one takes none. */
static int full(const struct reply *r, const char *verb,
                struct push_result *ret, struct errbuf *eb)
{
    struct push_result res = {0};

    if (!queue_count_at(r, 1, &res.depth) ||
        (reply_len(r) > 2 && !queue_count_at(r, 2, &res.accepted)))
        return queue_unexpected(verb, eb);
    if (!queue_count_at(r, 3, &res.limit))
        res.limit = -1;
    *ret = res;
    return errbuf_set(eb, ERR_FULL, "%s: the queue is full: %lld wait", verb,
                      (long long)res.depth);
}

int queue_push_result(int err, const struct reply *r, struct push_result *ret,
                      struct errbuf *eb)
{
    struct push_result res = {0};

    if (err == 0 && reply_str_is(reply_at(r, 0), "FORMAT"))
        return queue_format_refused(r, "push", eb);
    if (err == 0 && reply_str_is(reply_at(r, 0), "FULL"))
        return full(r, "push", ret, eb);
    int rc = queue_check_ok(err, r, "push", eb);
    if (rc == 0 && !queue_count_at(r, 1, &res.depth))
        return queue_unexpected("push", eb);
    if (rc == 0)
        *ret = res;
    return rc;
}

/* ---- one with options ---- */

static const char *conflict_word(const struct unique *u)
{
    static const char *const words[] = {[UNIQUE_SKIP] = "skip",
                                        [UNIQUE_REPLACE] = "replace",
                                        [UNIQUE_ERROR] = "error"};

    return words[u ? u->on_conflict : UNIQUE_SKIP];
}

/* Keys that are not used are the ready list. */
static void add_keys(struct args *a, const struct keys *k,
                     const struct push_one *p, char own[5][KEY_MAX])
{
    for (int i = 0; i < 5; i++)
        memcpy(own[i], k->ready, KEY_MAX);
    keys_stats_minute(k, clock_wall_ms(), own[0]);
    if (p->unique) {
        (void)keys_unique(k, p->unique->key, own[1]);
        (void)keys_pending(k, p->unique->key, own[2]);
    }
    if (p->once_ms > 0)
        (void)keys_once(k, p->once_id != NULL ? p->once_id : p->id, own[3]);
    if (p->keep)
        (void)keys_job(k, p->id, own[4]);
    args_str(a, k->ready);
    args_str(a, k->config);
    args_str(a, k->stats);
    args_str(a, own[0]);
    args_str(a, k->scheduled);
    for (int i = 1; i < 5; i++)
        args_str(a, own[i]);
}

int queue_push_one(struct conn *c, const struct keys *k,
                   const struct push_one *p, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char own[5][KEY_MAX];

    script_args(&a, SCRIPT_push_one, 9);
    add_keys(&a, k, p, own);
    args_str(&a, p->front ? "1" : "0");
    args_int(&a, QUEUE_FORMAT);
    args_bytes(&a, p->envelope);
    args_str(&a, p->id);
    args_int(&a, p->at_ms);
    args_int(&a, p->in_ms);
    if (!p->unique)
        args_str(&a, "");
    else if (p->unique->until != UNIQUE_TIME)
        args_str(&a, "until");
    else
        args_int(&a, p->unique->ttl_ms);
    args_str(&a, conflict_word(p->unique));
    args_int(&a, p->once_ms);
    args_str(&a, p->keep ? "1" : "0");
    args_str(&a, p->keep ? p->type : "");
    args_int(&a, p->created_at_ms);
    args_str(&a, k->control);
    args_str(&a, p->moved ? "1" : "0");
    if (p->once_mark != NULL)
        args_str(&a, p->once_mark);
    return queue_send(c, SCRIPT_push_one, &a, cb, arg);
}

/* A holder that is no id can be none of a job: something was planted. */
static void copy_holder(const struct reply *r, struct push_one_result *ret)
{
    struct bytes holder;

    if (queue_bytes_at(r, 1, &holder) && text_is_id(holder.p, holder.len))
        memcpy(ret->holder, holder.p, holder.len);
}

int queue_push_one_result(int err, const struct reply *r,
                          struct push_one_result *ret, struct errbuf *eb)
{
    static const char *const states[] = {[PUSH_DONE] = "OK",
                                         [PUSH_SAME] = "SAME",
                                         [PUSH_HELD] = "HELD",
                                         [PUSH_REPLACED] = "REPLACED"};
    struct push_one_result res = {0};
    struct push_result many = {0};
    int rc;

    if (err == 0 && reply_str_is(reply_at(r, 0), "FORMAT"))
        return queue_format_refused(r, "push_one", eb);
    if (err == 0 && reply_str_is(reply_at(r, 0), "FULL")) {
        rc = full(r, "push_one", &many, eb);
        if (rc == ERR_FULL)
            *ret = (struct push_one_result){.depth = many.depth,
                                            .limit = many.limit};
        return rc;
    }
    if ((rc = queue_check(err, r, "push_one", eb)) != 0)
        return rc;
    if (reply_str_is(reply_at(r, 0), "OTHER")) {
        copy_holder(r, &res);
        *ret = res;
        return errbuf_set(eb, ERR_HELD,
                          "push_one: it has come before, otherwise");
    }
    unsigned i = 0;
    while (i <= PUSH_REPLACED && !reply_str_is(reply_at(r, 0), states[i]))
        i++;
    if (i > PUSH_REPLACED ||
        (i == PUSH_DONE && !queue_count_at(r, 1, &res.depth)))
        return queue_unexpected("push_one", eb);
    res.state = (enum push_state)i;
    if (i != PUSH_DONE)
        copy_holder(r, &res);
    *ret = res;
    return 0;
}

/* ---- the news of what was replaced ---- */

/* Sends what is in a, and empties it. */
static int call(struct conn *c, struct args *a, conn_reply_cb cb,
                void *arg) ON_LOOP;

static int call(struct conn *c, struct args *a, conn_reply_cb cb, void *arg)
{
    int rc = conn_call(c, a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);

    args_clear(a);
    return rc;
}

static int end_news(struct conn *c, const char *news, conn_reply_cb cb,
                    void *arg) ON_LOOP;

static int end_news(struct conn *c, const char *news, conn_reply_cb cb,
                    void *arg)
{
    struct args a = {0};

    args_str(&a, "DEL");
    args_str(&a, news);
    int rc = call(c, &a, NULL, NULL);
    args_str(&a, "PUBLISH");
    args_str(&a, news);
    args_str(&a, "removed");
    if (rc == 0)
        rc = call(c, &a, cb, arg);
    args_done(&a);
    return rc;
}

/*
 * Only if there are none: the job may have begun, or ended, by now. So they are
 * written aside, and take their name if nothing has it. Where transactions are
 * not allowed the commands do the same one by one.
 */
static int begin_news(struct conn *c, const char *news, const char *aside,
                      const struct push_one *p, conn_reply_cb cb,
                      void *arg) ON_LOOP;

static int begin_news(struct conn *c, const char *news, const char *aside,
                      const struct push_one *p, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    int64_t due_ms = clock_wall_ms() + p->in_ms;

    args_str(&a, "MULTI");
    int rc = call(c, &a, NULL, NULL);
    args_str(&a, "HSET");
    args_str(&a, aside);
    args_str(&a, "state");
    args_str(&a, "scheduled");
    args_str(&a, "type");
    args_str(&a, p->type);
    args_str(&a, "created_at");
    args_int(&a, p->created_at_ms);
    args_str(&a, "due_at");
    args_int(&a, due_ms > p->at_ms ? due_ms : p->at_ms);
    rc = rc == 0 ? call(c, &a, NULL, NULL) : rc;
    args_clear(&a);
    args_str(&a, "PEXPIRE");
    args_str(&a, aside);
    args_int(&a, QUEUE_NEWS_TTL_MS);
    rc = rc == 0 ? call(c, &a, NULL, NULL) : rc;
    args_clear(&a);
    args_str(&a, "RENAMENX");
    args_str(&a, aside);
    args_str(&a, news);
    rc = rc == 0 ? call(c, &a, NULL, NULL) : rc;
    args_clear(&a);
    args_str(&a, "DEL");
    args_str(&a, aside);
    rc = rc == 0 ? call(c, &a, NULL, NULL) : rc;
    args_clear(&a);
    args_str(&a, "EXEC");
    rc = rc == 0 ? call(c, &a, cb, arg) : rc;
    args_done(&a);
    return rc;
}

int queue_push_replaced(struct conn *c, const struct keys *k,
                        const struct push_one *p, const char *holder,
                        conn_reply_cb cb, void *arg)
{
    char news[KEY_MAX], aside[KEY_MAX], fresh[ULID_LEN + 1];

    if (!keys_job(k, holder, news))
        return ERR_INVALID;
    if (!p->keep)
        return end_news(c, news, cb, arg);
    ulid_make(fresh);
    (void)keys_job(k, fresh, aside);
    return begin_news(c, news, aside, p, cb, arg);
}

int queue_push_replaced_result(int err, const struct reply *r,
                               struct errbuf *eb)
{
    if (err != 0)
        return errbuf_set(eb, err, "connection lost");
    if (reply_is_error(r))
        return errbuf_set(eb, ERR_REDIS, "%s", reply_error(r));
    return 0;
}
