/*
 * Pausing: whether jobs of a queue may start.
 *
 *     config ──version──► lanes renew ──► each lets go and writes that version
 *
 * Pausing is one transaction; then one waits for the lanes that hold a lease.
 * One whose lease has run out starts nothing before it has renewed, and then
 * it knows (docs/PROTOCOL.md), so nobody waits longer than a lease for the
 * dead. What else is written here is for people to read.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/pausing.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/redis/queue.h"

enum { STEP_MAX_MS = 50 };

static void on_nothing(void *arg, const struct reply *r);
static void on_exec(void *arg, const struct reply *r);
static void on_paused(void *arg, const struct reply *r);

void pausing_init(struct pausing *p, struct client *c, const char *ns,
                  const char *queue)
{
    *p = (struct pausing){.client = c};
    keys_init(&p->keys, ns, queue);
}

void pausing_done(struct pausing *p)
{
    lanes_done(&p->lanes);
}

/* ---- the transaction ---- */

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

static void begin(struct pausing *p)
{
    struct args a = {0};

    args_str(&a, "MULTI");
    client_call(p->client, &a, on_nothing, NULL);
    args_done(&a);
}

/* The version behind what was changed, the word to the lanes, and EXEC. */
static void finish(struct pausing *p, const char *how, int64_t n)
{
    struct args a = {0};

    args_str(&a, how);
    args_str(&a, p->keys.config);
    args_str(&a, "version");
    args_int(&a, n);
    client_call(p->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "PUBLISH");
    args_str(&a, p->keys.control);
    args_str(&a, "pause");
    client_call(p->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "EXEC");
    client_call(p->client, &a, on_exec, p);
    args_done(&a);
}

/* PUBLISH is the last one, the version the one before it. */
static void on_exec(void *arg, const struct reply *r)
{
    struct pausing *p = arg;
    size_t n = reply_len(r);

    (void)reply_int(reply_at(r, 0), &p->removed);
    p->version = 0;
    if (n >= 2)
        (void)reply_int(reply_at(r, n - 2), &p->version);
    for (size_t i = 0; i + 2 < n; i++) {
        if (reply_is_error(reply_at(r, i)))
            client_fail(p->client, reply_error(reply_at(r, i)));
    }
}

/*
 * A version is only compared: one that people broke, or that begins anew below
 * what some lane complied with once, jumps.
 */
static int mend_version(struct pausing *p, int64_t now_ms)
{
    int64_t least = p->lanes.highest + 1;

    if (p->version >= least)
        return 0;
    begin(p);
    if (p->version < 1)
        finish(p, "HSET", now_ms > least ? now_ms : least);
    else
        finish(p, "HINCRBY", least - p->version);
    if (p->version < 1)
        least = now_ms > least ? now_ms : least;
    int status = client_wait(p->client);
    p->version = least;
    return status;
}

static void send_pause(struct pausing *p, const struct pause_wish *w,
                       int64_t now_ms)
{
    struct args a = {0};

    p->until_ms = w->for_ms > 0 ? now_ms + w->for_ms : 0;
    begin(p);
    args_str(&a, "HSET");
    args_str(&a, p->keys.config);
    args_str(&a, "paused");
    args_int(&a, w->for_ms > 0 ? p->until_ms : 1);
    args_str(&a, "paused_at");
    args_int(&a, now_ms);
    args_str(&a, "paused_by");
    args_str(&a, w->by);
    args_str(&a, "paused_reason");
    args_str(&a, w->reason ? w->reason : "");
    client_call(p->client, &a, on_nothing, NULL);
    args_done(&a);
    finish(p, "HINCRBY", 1);
}

static void send_resume(struct pausing *p)
{
    struct args a = {0};

    begin(p);
    args_str(&a, "HDEL");
    args_str(&a, p->keys.config);
    args_str(&a, "paused");
    args_str(&a, "paused_at");
    args_str(&a, "paused_by");
    args_str(&a, "paused_reason");
    client_call(p->client, &a, on_nothing, NULL);
    args_done(&a);
    finish(p, "HINCRBY", 1);
}

/* ---- waiting ---- */

static void on_paused(void *arg, const struct reply *r)
{
    struct pausing *p = arg;
    const char *text;
    size_t n;

    p->lifted = !reply_str(r, &text, &n) || strcmp(text, "0") == 0;
}

static int look(struct pausing *p)
{
    struct args a = {0};

    args_str(&a, "HGET");
    args_str(&a, p->keys.config);
    args_str(&a, "paused");
    client_call(p->client, &a, on_paused, p);
    args_done(&a);
    int status = lanes_look(&p->lanes, p->client, &p->keys, p->version);
    p->done = status == 0 && p->lanes.behind == 0;
    if (p->until_ms > 0 && p->lanes.now_ms >= p->until_ms)
        p->lifted = true;
    return status;
}

int pausing_wait(struct pausing *all, size_t n, int64_t deadline_ms)
{
    int64_t step_ms = 1;

    for (bool done = false; !done;) {
        done = true;
        for (size_t i = 0; i < n; i++) {
            int status = all[i].done ? 0 : look(&all[i]);
            if (status != 0)
                return status;
            done = done && (all[i].done || all[i].lifted);
        }
        if (clock_ms() >= deadline_ms)
            return 0;
        if (!done)
            client_sleep(all->client, step_ms);
        step_ms = 2 * step_ms < STEP_MAX_MS ? 2 * step_ms : STEP_MAX_MS;
    }
    return 0;
}

int pausing_look(struct pausing *all, size_t n)
{
    int status = 0;

    for (size_t i = 0; i < n && status == 0; i++)
        status = look(&all[i]);
    return status;
}

/* ---- both ---- */

int pausing_pause(struct pausing *all, size_t n, const struct pause_wish *w)
{
    int64_t now_ms;
    int status = client_now(all->client, &now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        status = lanes_look(&all[i].lanes, all->client, &all[i].keys, 0);
    for (size_t i = 0; i < n && status == 0; i++)
        send_pause(&all[i], w, now_ms);
    if (status == 0)
        status = client_wait(all->client);
    for (size_t i = 0; i < n && status == 0; i++)
        status = mend_version(&all[i], now_ms);
    return status;
}

int pausing_resume(struct pausing *all, size_t n)
{
    int64_t now_ms;
    int status = client_now(all->client, &now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        send_resume(&all[i]);
    if (status == 0)
        status = client_wait(all->client);
    for (size_t i = 0; i < n && status == 0; i++) {
        int64_t removed = all[i].removed;
        status = mend_version(&all[i], now_ms);
        all[i].removed = removed;
    }
    return status;
}
