/*
 * The verbs of periodic jobs: requests and answers of their scripts. See
 * queue.c.
 *
 * Thread: event loop only.
 */
#include "common/redis/queue_cron.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/queue_priv.h"

static void args_bytes(struct args *a, struct bytes b)
{
    args_mem(a, b.p != NULL ? b.p : "", b.p != NULL ? b.len : 0);
}

int queue_tick(struct conn *c, const struct keys *k, const struct tick *t,
               conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char minute[KEY_MAX], lock[KEY_MAX], (*news)[KEY_MAX] = NULL;
    unsigned kept = t->keep ? t->count : 0;

    keys_stats_minute(k, clock_wall_ms(), minute);
    (void)keys_unique(k, t->lock != NULL ? t->lock : "cron", lock);
    if (kept > 0)
        news = mem_new(kept * sizeof(*news));
    script_args(&a, SCRIPT_tick, 6 + (int)kept);
    args_str(&a, k->cron);
    args_str(&a, k->cron_due);
    args_str(&a, k->ready);
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_str(&a, lock);
    for (unsigned i = 0; i < kept; i++) {
        (void)keys_job(k, t->jobs[i].id, news[i]);
        args_str(&a, news[i]);
    }
    args_str(&a, t->name);
    args_bytes(&a, t->entry);
    args_int(&a, t->due_ms);
    if (t->next_ms >= 0)
        args_int(&a, t->next_ms);
    else
        args_str(&a, "");
    if (t->last)
        args_str(&a, "-");
    else
        args_bytes(&a, t->after);
    args_str(&a, t->lock != NULL ? "1" : "0");
    args_str(&a, kept > 0 ? t->type : "");
    args_int(&a, t->created_at_ms);
    for (unsigned i = 0; i < t->count; i++) {
        args_str(&a, t->jobs[i].id);
        args_bytes(&a, t->jobs[i].envelope);
    }
    int rc = queue_send(c, SCRIPT_tick, &a, cb, arg);
    free(news);
    return rc;
}

int queue_tick_result(int err, const struct reply *r, enum tick_state *ret,
                      int64_t *ret_pushed, struct errbuf *eb)
{
    int rc = queue_check(err, r, "tick", eb);
    int64_t pushed = 0;

    if (rc != 0)
        return rc;
    if (reply_str_is(reply_at(r, 0), "SKIPPED"))
        *ret = TICK_SKIPPED;
    else if (reply_str_is(reply_at(r, 0), "STALE"))
        *ret = TICK_STALE;
    else if (reply_str_is(reply_at(r, 0), "OK") &&
             queue_count_at(r, 1, &pushed))
        *ret = TICK_PUSHED;
    else
        return queue_unexpected("tick", eb);
    *ret_pushed = pushed;
    return 0;
}

int queue_cron_put(struct conn *c, const struct keys *k, const char *name,
                   struct bytes was, struct bytes entry, int64_t due_ms,
                   conn_reply_cb cb, void *arg)
{
    struct args a = {0};

    script_args(&a, SCRIPT_cron_put, 2);
    args_str(&a, k->cron);
    args_str(&a, k->cron_due);
    args_str(&a, name);
    args_bytes(&a, was);
    args_bytes(&a, entry);
    if (due_ms >= 0)
        args_int(&a, due_ms);
    else
        args_str(&a, due_ms == CRON_DUE_AS_IT_IS ? "=" : "");
    args_str(&a, k->control);
    return queue_send(c, SCRIPT_cron_put, &a, cb, arg);
}

int queue_cron_put_result(int err, const struct reply *r, struct errbuf *eb)
{
    if (err == 0 && reply_str_is(reply_at(r, 0), "STALE"))
        return errbuf_set(eb, ERR_MISSING,
                          "cron: the entry was changed by somebody else");
    return queue_check_ok(err, r, "cron_put", eb);
}
