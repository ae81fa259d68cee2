/*
 * Cron file: brings the entries of the configuration file to Redis.
 *
 * One after the other: read what is there, write what is to be there, if it
 * differs. All workers with the same file come to the same end, and cron_put
 * writes only over what was read, so that nobody's change is lost. Whoever is
 * interrupted goes on when a lane is up again.
 *
 * Thread: event loop only.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/job/cron_entry.h"
#include "common/redis/queue_cron.h"
#include "worker/cron.h"
#include "worker/lane.h"

struct cron_file {
    const struct cron_config *crons; /* borrowed */
    unsigned count, next;            /* the first that is not written */
    bool busy;                       /* the next one is being written */
    unsigned calls;                  /* under way */
    unsigned stale;    /* of them, those about an earlier configuration */
    struct lane *lane; /* over whose connection */
    struct keys keys;  /* of its queue */
    char *was;         /* owned: what is there; NULL: nothing */
    size_t was_len;
};

static void on_entry(void *arg, int err, const struct reply *r);
static void on_score(void *arg, int err, const struct reply *r);
static void on_written(void *arg, int err, const struct reply *r);
static void write_next(struct cron_file *f) ON_LOOP;

struct cron_file *cron_file_new(const struct agent *a)
{
    struct cron_file *f = mem_new(sizeof(*f));
    f->crons = a->cfg->crons;
    f->count = a->cfg->cron_count;
    return f;
}

void cron_file_free(struct cron_file *f)
{
    if (f == NULL)
        return;
    free(f->was);
    free(f);
}

void cron_file_write(struct cron_file *f, struct lane *lane)
{
    if (f->busy || f->next == f->count)
        return;
    f->lane = lane;
    write_next(f);
}

void cron_file_renew(struct cron_file *f, const struct cron_config *crons,
                     unsigned count, struct lane *lane)
{
    f->crons = crons;
    f->count = count;
    f->next = 0;
    f->stale = f->calls;
    f->busy = f->stale > 0;
    if (lane != NULL)
        cron_file_write(f, lane);
}

/* Returns whether an answer is about what is wanted now. */
static bool answered(struct cron_file *f, int err) ON_LOOP;

static bool answered(struct cron_file *f, int err)
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

static int call2(struct cron_file *f, const char *verb, const char *key,
                 const char *arg, conn_reply_cb cb) ON_LOOP;

static int call2(struct cron_file *f, const char *verb, const char *key,
                 const char *arg, conn_reply_cb cb)
{
    struct args a = {0};
    args_str(&a, verb);
    args_str(&a, key);
    args_str(&a, arg);
    int rc = conn_call(f->lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                       cb, cb != NULL ? f : NULL);
    if (rc == 0 && cb != NULL)
        f->calls++;
    args_done(&a);
    return rc;
}

static void write_next(struct cron_file *f)
{
    f->busy = false;
    free(f->was);
    f->was = NULL;
    f->was_len = 0;
    if (f->next == f->count)
        return;
    const struct cron_config *c = &f->crons[f->next];
    keys_init(&f->keys, f->lane->agent->cfg->ns, c->queue);
    if (call2(f, "SADD", f->keys.queues, c->queue, NULL) != 0 ||
        call2(f, "HGET", f->keys.cron, c->entry->name, on_entry) != 0)
        return;
    f->busy =
        call2(f, "ZSCORE", f->keys.cron_due, c->entry->name, on_score) == 0;
}

static void on_entry(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct cron_file *f = arg;
    struct bytes text;
    if (!answered(f, err) || err != 0 || !reply_str(r, &text.p, &text.len))
        return;
    f->was = mem_dup(text.p, text.len);
    f->was_len = text.len;
}

/* Redis will not have it: it is tried again when a lane binds again. */
static void give_up(struct cron_file *f, const char *why) ON_LOOP;

static void give_up(struct cron_file *f, const char *why)
{
    const struct cron_config *c = &f->crons[f->next];
    LOG_ERROR("cron_file", F_STR("queue", c->queue),
              F_STR("cron", c->entry->name), F_STR("error", why),
              F_STR("so", "not written, nor those behind it"));
    f->busy = false;
}

static void put(struct cron_file *f, const struct cron_entry *was,
                bool due) ON_LOOP;

static void put(struct cron_file *f, const struct cron_entry *was, bool due)
{
    const struct cron_config *c = &f->crons[f->next];
    const struct cron_entry *e = c->entry;
    bool same = was != NULL && cron_entry_same(was, e);
    bool paused = e->paused || (was != NULL && was->paused);
    struct job_change change = {"paused", "true"};
    struct buf now = {0};
    struct zone *z = NULL;
    struct errbuf eb;
    int64_t due_ms = CRON_DUE_NEVER;

    if (!paused && due && was != NULL && cron_entry_same_ticks(was, e)) {
        due_ms = CRON_DUE_AS_IT_IS;
    } else if (!paused) {
        if (zone_open(e->zone, &z, &eb) != 0) {
            give_up(f, eb.text);
            return;
        }
        due_ms = cron_next(&e->cron, z, lane_now_ms(f->lane));
        zone_free(z);
    }
    if (same) /* only not due */
        buf_append(&now, f->was, f->was_len);
    else
        cron_entry_rewrite(e, &change, paused ? 1 : 0, &now);
    if (queue_cron_put(
            f->lane->cmd, &f->keys, e->name, (struct bytes){f->was, f->was_len},
            (struct bytes){now.data, now.len}, due_ms, on_written, f) != 0)
        f->busy = false;
    else
        f->calls++;
    buf_done(&now);
}

static void on_score(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct cron_file *f = arg;
    struct cron_entry *was = NULL;
    struct bytes score;
    if (!answered(f, err))
        return;
    const struct cron_entry *e = f->crons[f->next].entry;
    if (err != 0 || reply_is_error(r)) {
        if (err == 0)
            give_up(f, reply_error(r));
        f->busy = false;
        return;
    }
    bool due = reply_str(r, &score.p, &score.len);
    if (f->was != NULL)
        (void)cron_entry_parse(e->name, f->was, f->was_len, &was, NULL);
    if (was != NULL && cron_entry_same(was, e) &&
        (due || was->paused || e->paused)) {
        f->next++;
        write_next(f);
    } else {
        put(f, was, due);
    }
    cron_entry_free(was);
}

static void on_written(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct cron_file *f = arg;
    if (!answered(f, err))
        return;
    const struct cron_config *c = &f->crons[f->next];
    struct errbuf eb;
    int rc = queue_cron_put_result(err, r, &eb);
    if (rc == 0) {
        LOG_INFO("cron_file", F_STR("queue", c->queue),
                 F_STR("cron", c->entry->name), F_STR("spec", c->entry->spec),
                 F_STR("tz", c->entry->zone));
        f->next++;
        write_next(f);
    } else if (rc == ERR_MISSING) {
        write_next(f); /* somebody was faster: look again */
    } else if (rc == ERR_REDIS) {
        give_up(f, eb.text);
    } else {
        f->busy = false;
    }
}
