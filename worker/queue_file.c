/*
 * Queue file: brings the bounds of the configuration file to Redis.
 *
 *     HMGET config ──differs──► MULTI, HSET, HDEL, HINCRBY version, EXEC
 *
 * One queue after the other. The file wins over what somebody set meanwhile,
 * and workers with the same file come to the same end; whoever is interrupted
 * goes on when a lane is up again.
 *
 * Thread: event loop only.
 */
#include "worker/queue_file.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/lane.h"

struct queue_file {
    const struct queue_config *queues; /* borrowed */
    unsigned count, next;              /* the first that is not written */
    bool busy;                         /* the next one is being written */
    unsigned calls;                    /* under way */
    unsigned stale;    /* of them, those about an earlier configuration */
    struct lane *lane; /* over whose connection */
    struct keys keys;  /* of its queue */
};

static void on_bounds(void *arg, int err, const struct reply *r);
static void on_written(void *arg, int err, const struct reply *r);
static void write_next(struct queue_file *f) ON_LOOP;

struct queue_file *queue_file_new(const struct agent *a)
{
    struct queue_file *f = mem_new(sizeof(*f));
    f->queues = a->cfg->bounds;
    f->count = a->cfg->bound_count;
    return f;
}

void queue_file_free(struct queue_file *f)
{
    free(f);
}

void queue_file_write(struct queue_file *f, struct lane *lane)
{
    if (f->busy || f->next == f->count)
        return;
    f->lane = lane;
    write_next(f);
}

void queue_file_renew(struct queue_file *f, const struct queue_config *bounds,
                      unsigned count, struct lane *lane)
{
    f->queues = bounds;
    f->count = count;
    f->next = 0;
    f->stale = f->calls;
    f->busy = f->stale > 0;
    if (lane != NULL)
        queue_file_write(f, lane);
}

/* Returns whether an answer is about what is wanted now. */
static bool answered(struct queue_file *f, int err) ON_LOOP;

static bool answered(struct queue_file *f, int err)
{
    f->calls--;
    if (f->stale == 0)
        return true;
    if (--f->stale > 0)
        return false;
    f->busy = false;
    if (err == 0) /* else f->lane is down, or gone */
        write_next(f);
    return false;
}

static int call(struct queue_file *f, struct args *a, conn_reply_cb cb) ON_LOOP;

static int call(struct queue_file *f, struct args *a, conn_reply_cb cb)
{
    int rc = conn_call(f->lane->cmd, a, clock_ms() + QUEUE_DEADLINE_MS, false,
                       cb, cb != NULL ? f : NULL);
    if (rc == 0 && cb != NULL)
        f->calls++;
    args_clear(a);
    return rc;
}

static void write_next(struct queue_file *f)
{
    struct args a = {0};
    f->busy = false;
    if (f->next == f->count)
        return;
    keys_init(&f->keys, f->lane->agent->cfg->ns, f->queues[f->next].name);
    args_str(&a, "SADD");
    args_str(&a, f->keys.queues);
    args_str(&a, f->keys.queue);
    (void)call(f, &a, NULL);
    args_str(&a, "HMGET");
    args_str(&a, f->keys.config);
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        args_str(&a, queue_bounds[i].field);
    f->busy = call(f, &a, on_bounds) == 0;
    args_done(&a);
}

/* Redis will not have it: it is tried again when a lane binds again. */
static void give_up(struct queue_file *f, const char *why) ON_LOOP;

static void give_up(struct queue_file *f, const char *why)
{
    LOG_ERROR("queue_file", F_STR("queue", f->queues[f->next].name),
              F_STR("error", why),
              F_STR("so", "its bounds are not written, nor those behind it"));
    f->busy = false;
}

/* Whether a bound is in Redis as it is wanted. */
static bool is_so(int64_t wanted, const struct reply *r)
{
    char text[INT_TEXT_MAX];
    const char *p = NULL;
    size_t n = 0;
    bool there = reply_str(r, &p, &n);
    if (wanted == QUEUE_BOUND_UNSAID)
        return true;
    if (wanted == QUEUE_BOUND_NONE || !there)
        return (wanted == QUEUE_BOUND_NONE) == !there;
    return text_format_int(wanted, text) == n && memcmp(text, p, n) == 0;
}

/* HSET or HDEL of what is to be there, or not. */
static void put_fields(struct queue_file *f, struct args *a, bool gone) ON_LOOP;

static void put_fields(struct queue_file *f, struct args *a, bool gone)
{
    const int64_t *wanted = f->queues[f->next].bounds;
    bool any = false;
    args_str(a, gone ? "HDEL" : "HSET");
    args_str(a, f->keys.config);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        if (wanted[i] == QUEUE_BOUND_UNSAID ||
            (wanted[i] == QUEUE_BOUND_NONE) != gone)
            continue;
        args_str(a, queue_bounds[i].field);
        if (!gone)
            args_int(a, wanted[i]);
        any = true;
    }
    if (any)
        (void)call(f, a, NULL);
    else
        args_clear(a);
}

static void put(struct queue_file *f) ON_LOOP;

static void put(struct queue_file *f)
{
    struct args a = {0};
    args_str(&a, "MULTI");
    (void)call(f, &a, NULL);
    put_fields(f, &a, false);
    put_fields(f, &a, true);
    args_str(&a, "HINCRBY");
    args_str(&a, f->keys.config);
    args_str(&a, "version");
    args_int(&a, 1);
    (void)call(f, &a, NULL);
    args_str(&a, "EXEC");
    f->busy = call(f, &a, on_written) == 0;
    args_done(&a);
}

static void on_bounds(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct queue_file *f = arg;
    bool same = true;
    if (!answered(f, err))
        return;
    if (err != 0) {
        f->busy = false;
        return;
    }
    if (reply_is_error(r)) {
        give_up(f, reply_error(r));
        return;
    }
    for (size_t i = 0; i < QUEUE_BOUNDS; i++)
        same = same && is_so(f->queues[f->next].bounds[i], reply_at(r, i));
    if (same) {
        f->next++;
        write_next(f);
    } else {
        put(f);
    }
}

/* What failed inside of EXEC; the version is nobody's but may be planted. */
static const char *first_error(const struct reply *r)
{
    if (reply_is_error(r))
        return reply_error(r);
    for (size_t i = 0; i + 1 < reply_len(r); i++) {
        if (reply_is_error(reply_at(r, i)))
            return reply_error(reply_at(r, i));
    }
    return NULL;
}

static void on_written(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct queue_file *f = arg;
    if (!answered(f, err))
        return;
    if (err != 0) {
        f->busy = false;
        return;
    }
    if (first_error(r) != NULL) {
        give_up(f, first_error(r));
        return;
    }
    LOG_INFO("queue_file", F_STR("queue", f->queues[f->next].name),
             F_STR("so", "its bounds are those of the configuration now"));
    f->next++;
    write_next(f);
}
