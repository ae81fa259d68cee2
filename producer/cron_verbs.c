/*
 * Cron verbs: removing, pausing and running a periodic job.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/cron_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/base/clock.h"

struct running {
    bool answered;
    struct cron_run *run;
    struct push_one_result one;
    struct push_result plain;
};

static void on_pushed(void *arg, int err, const struct reply *r);
static void on_pushed_one(void *arg, int err, const struct reply *r);

static int decide_remove(struct cron_client *c, const char *name, void *arg,
                         struct buf *out, int64_t *ret_due_ms)
{
    (void)arg;
    (void)out;
    *ret_due_ms = CRON_DUE_NEVER;
    if (c->was == NULL && c->due_ms < 0)
        return client_tell(c->client, EXIT_FAILURE,
                           "%s: there is no such entry in %s", name,
                           c->keys.queue);
    return 0;
}

int cron_client_remove(struct cron_client *c, const char *name)
{
    return cron_client_change(c, name, decide_remove, NULL);
}

static int decide_pause(struct cron_client *c, const char *name, void *arg,
                        struct buf *out, int64_t *ret_due_ms)
{
    bool pause = *(bool *)arg;
    struct cron_entry *e;
    char now[24];
    struct job_change changes[] = {{"paused", pause ? "true" : NULL},
                                   {"updated_at", now}};
    int status = cron_client_parse(c, name, &e);

    if (status != 0)
        return status;
    (void)snprintf(now, sizeof(now), "%lld", (long long)clock_wall_ms());
    if (e->paused == pause) { /* but whether it is due may be mended */
        buf_append(out, e->raw, e->raw_len);
        *ret_due_ms = CRON_DUE_AS_IT_IS;
    } else {
        cron_entry_rewrite(e, changes, 2, out);
    }
    if (!pause && (e->paused || c->due_ms < 0))
        status = cron_client_next(c, e, ret_due_ms);
    else if (pause)
        *ret_due_ms = CRON_DUE_NEVER;
    cron_entry_free(e);
    return status;
}

int cron_client_pause(struct cron_client *c, const char *name, bool pause)
{
    return cron_client_change(c, name, decide_pause, &pause);
}

/* ---- run ---- */

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct running *p = arg;

    p->run->err = queue_push_result(err, r, &p->plain, &p->run->eb);
    p->answered = true;
}

static void on_pushed_one(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct running *p = arg;

    p->run->err = queue_push_one_result(err, r, &p->one, &p->run->eb);
    p->answered = true;
}

/* What became of it, in words. */
static int run_status(struct cron_client *c, const struct cron_entry *e,
                      const struct cron_run *run)
{
    if (run->err == ERR_UNKNOWN)
        return client_tell(c->client, EX_TEMPFAIL,
                           "outcome unknown: the connection was lost before "
                           "Redis answered");
    if (run->err == ERR_FULL)
        return client_tell(c->client, EX_TEMPFAIL, "not pushed: %s is full",
                           c->keys.queue);
    if (run->err == ERR_REFUSED)
        return client_tell(c->client, EX_TEMPFAIL,
                           "not pushed: connection lost");
    if (run->err != 0)
        return client_tell(c->client, client_push_status(run->err, &run->eb),
                           "not pushed: %s", run->eb.text);
    if (run->held)
        return client_tell(c->client, EXIT_FAILURE,
                           "not pushed: %s has not ended, and %s skips "
                           "meanwhile",
                           run->holder, e->name);
    return 0;
}

int cron_client_run(struct cron_client *c, const struct cron_entry *e,
                    struct cron_run *ret)
{
    loop_role_assert();
    struct running p = {.run = ret};
    struct unique unique = {.until = UNIQUE_DONE, .on_conflict = UNIQUE_SKIP};
    struct conn *conn = client_conn(c->client);
    struct buf envelope = {0};
    int64_t now_ms;
    int status = client_now(c->client, &now_ms);

    *ret = (struct cron_run){.err = ERR_REFUSED};
    if (status != 0)
        return status;
    cron_run_id(e, ret->id);
    cron_job(e, ret->id, now_ms, now_ms, &envelope);
    cron_lock(e->name, unique.key);
    struct push_one one = {.id = ret->id,
                           .envelope = {envelope.data, envelope.len},
                           .unique = &unique,
                           .keep = e->keep_ms > 0,
                           .type = e->type,
                           .created_at_ms = now_ms};
    if (e->overlap != CRON_SKIP)
        one.unique = NULL;
    int rc = one.unique != NULL || one.keep
                 ? queue_push_one(conn, &c->keys, &one, on_pushed_one, &p)
                 : queue_push(conn, &c->keys, false, &one.envelope, 1,
                              on_pushed, &p);
    while (rc == 0 && !p.answered)
        client_turn(c->client, true);
    buf_done(&envelope);
    if (rc != 0)
        return client_tell(c->client, EX_UNAVAILABLE, "%s: not sent: %s",
                           client_url(c->client), client_down_why(c->client));
    ret->held = ret->err == 0 && p.one.state == PUSH_HELD;
    if (ret->held)
        snprintf(ret->holder, sizeof(ret->holder), "%s", p.one.holder);
    return run_status(c, e, ret);
}
