/*
 * Names of keys: the only place that spells them.
 *
 * The braces around the queue are Redis Cluster's hash tag. Names are checked
 * where they enter the program, so what keys_init builds always fits; ids of
 * lanes, workers and jobs may come out of Redis, so those are checked here.
 *
 * Thread: any.
 */
#include "common/redis/keys.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

enum { MS_PER_MINUTE = 60 * 1000 };

/* Returns false, and writes the empty name, when the result does not fit. */
__attribute__((format(printf, 2, 3))) static bool put(char out[KEY_MAX],
                                                      const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(out, KEY_MAX, fmt, ap);
    va_end(ap);
    if (n >= 0 && n < KEY_MAX)
        return true;
    out[0] = '\0';
    return false;
}

static void put_queue_key(const struct keys *k, char out[KEY_MAX],
                          const char *suffix)
{
    bool fits = put(out, "%s:{%s}%s", k->ns, k->queue, suffix);
    assert(fits);
}

void keys_init(struct keys *k, const char *ns, const char *queue)
{
    size_t ns_len = strlen(ns), queue_len = strlen(queue);

    assert(text_is_name(ns, ns_len) && text_is_name(queue, queue_len));
    *k = (struct keys){0};
    memcpy(k->ns, ns, ns_len);
    memcpy(k->queue, queue, queue_len);

    put_queue_key(k, k->ready, "");
    put_queue_key(k, k->leases, ":leases");
    put_queue_key(k, k->lanes, ":lanes");
    put_queue_key(k, k->reaped, ":reaped");
    put_queue_key(k, k->scheduled, ":scheduled");
    put_queue_key(k, k->retry, ":retry");
    put_queue_key(k, k->dead, ":dead");
    put_queue_key(k, k->config, ":config");
    put_queue_key(k, k->fence, ":fence");
    put_queue_key(k, k->stats, ":stats");
    put_queue_key(k, k->cancelled, ":cancelled");
    put_queue_key(k, k->control, ":control");
    put_queue_key(k, k->outbox, ":outbox");
    put_queue_key(k, k->cron, ":cron");
    put_queue_key(k, k->cron_due, ":cron:due");
    (void)put(k->queues, "%s:queues", k->ns);
    (void)put(k->workers, "%s:workers", k->ns);
}

bool keys_active(const struct keys *k, const char *lane, char out[KEY_MAX])
{
    return put(out, "%s:{%s}:active:%s", k->ns, k->queue, lane);
}

void keys_stats_minute(const struct keys *k, int64_t wall_ms, char out[KEY_MAX])
{
    (void)put(out, "%s:{%s}:stats:%" PRId64, k->ns, k->queue,
              wall_ms / MS_PER_MINUTE);
}

bool keys_job(const struct keys *k, const char *id, char out[KEY_MAX])
{
    return put(out, "%s:{%s}:job:%s", k->ns, k->queue, id);
}

bool keys_log(const struct keys *k, const char *id, char out[KEY_MAX])
{
    return put(out, "%s:{%s}:log:%s", k->ns, k->queue, id);
}

bool keys_unique(const struct keys *k, const char *key, char out[KEY_MAX])
{
    return put(out, "%s:{%s}:unique:%s", k->ns, k->queue, key);
}

bool keys_pending(const struct keys *k, const char *key, char out[KEY_MAX])
{
    return put(out, "%s:{%s}:pending:%s", k->ns, k->queue, key);
}

bool keys_once(const struct keys *k, const char *id, char out[KEY_MAX])
{
    return put(out, "%s:{%s}:once:%s", k->ns, k->queue, id);
}

bool keys_worker(const struct keys *k, const char *worker, char out[KEY_MAX])
{
    return put(out, "%s:worker:%s", k->ns, worker);
}
