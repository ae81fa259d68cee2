/*
 * Cron client: one entry, read and written.
 *
 * cron_put writes only over what was read, so a command that meets somebody
 * else's change begins anew with that, a few times.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/cron_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static void on_entry(void *arg, const struct reply *r);
static void on_due(void *arg, const struct reply *r);
static void on_holder(void *arg, const struct reply *r);
static void on_put(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, const struct reply *r);

enum { TRIES = 10 };

void cron_client_init(struct cron_client *c, struct client *client,
                      const char *ns, const char *queue)
{
    *c = (struct cron_client){.client = client};
    keys_init(&c->keys, ns, queue);
}

void cron_client_done(struct cron_client *c)
{
    free(c->was);
    *c = (struct cron_client){0};
}

static void on_entry(void *arg, const struct reply *r)
{
    struct cron_client *c = arg;
    const char *p;
    size_t n;

    if (!reply_str(r, &p, &n))
        return;
    c->was = mem_dup(p, n);
    c->was_len = n;
}

static void on_due(void *arg, const struct reply *r)
{
    struct cron_client *c = arg;
    const char *p;
    size_t n;

    if (reply_str(r, &p, &n))
        c->due_ms = (int64_t)strtod(p, NULL);
}

static void on_holder(void *arg, const struct reply *r)
{
    struct cron_client *c = arg;
    const char *p;
    size_t n;

    if (reply_str(r, &p, &n))
        (void)snprintf(c->holder, sizeof(c->holder), "%s",
                       text_is_id(p, n) ? p : "something that is no id");
}

static void ask_holder(struct cron_client *c, const char *name)
{
    struct args a = {0};
    char unique[CRON_NAME_MAX_LEN + 8], at[KEY_MAX];

    c->holder[0] = '\0';
    if (!cron_is_name(name, strlen(name)))
        return;
    cron_lock(name, unique);
    (void)keys_unique(&c->keys, unique, at);
    args_str(&a, "GET");
    args_str(&a, at);
    client_call(c->client, &a, on_holder, c);
    args_done(&a);
}

static void ask(struct cron_client *c, const char *verb, const char *key,
                const char *name, client_reply_cb cb)
{
    struct args a = {0};

    args_str(&a, verb);
    args_str(&a, key);
    args_str(&a, name);
    client_call(c->client, &a, cb, c);
    args_done(&a);
}

int cron_client_read(struct cron_client *c, const char *name)
{
    free(c->was);
    c->was = NULL;
    c->was_len = 0;
    c->due_ms = -1;
    ask(c, "HGET", c->keys.cron, name, on_entry);
    ask(c, "ZSCORE", c->keys.cron_due, name, on_due);
    ask_holder(c, name);
    return client_wait(c->client);
}

int cron_client_parse(struct cron_client *c, const char *name,
                      struct cron_entry **ret)
{
    struct errbuf eb;

    if (c->was == NULL)
        return client_tell(c->client, EXIT_FAILURE,
                           "%s: there is no such entry in %s", name,
                           c->keys.queue);
    if (cron_entry_parse(name, c->was, c->was_len, ret, &eb) != 0)
        return client_tell(c->client, EX_DATAERR,
                           "%s: what is there is no entry: %s", name, eb.text);
    return 0;
}

static void on_put(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct cron_client *c = arg;

    c->rc = queue_cron_put_result(err, r, &c->eb);
    c->answered = true;
}

static int put_status(struct cron_client *c, bool *ret_stale)
{
    *ret_stale = c->rc == ERR_MISSING;
    if (c->rc == 0 || c->rc == ERR_MISSING)
        return 0;
    if (c->rc == ERR_UNKNOWN)
        return client_tell(
            c->client, EX_TEMPFAIL,
            "outcome unknown: the connection was lost before Redis "
            "answered");
    if (c->rc == ERR_REFUSED)
        return client_tell(c->client, EX_TEMPFAIL,
                           "nothing was changed: connection lost");
    return client_tell(c->client, client_push_status(c->rc, &c->eb),
                       "nothing was changed: %s", c->eb.text);
}

int cron_client_put(struct cron_client *c, const char *name, struct bytes entry,
                    int64_t due_ms, bool *ret_stale)
{
    loop_role_assert();
    struct bytes was = {c->was, c->was_len};

    c->answered = false;
    if (queue_cron_put(client_conn(c->client), &c->keys, name, was, entry,
                       due_ms, on_put, c) != 0)
        return client_tell(c->client, EX_UNAVAILABLE, "%s: not sent: %s",
                           client_url(c->client), client_down_why(c->client));
    while (!c->answered)
        client_turn(c->client, true);
    return put_status(c, ret_stale);
}

int cron_client_next(struct cron_client *c, const struct cron_entry *e,
                     int64_t *ret_ms)
{
    struct zone *z;
    struct errbuf eb;
    int64_t now_ms;
    int status = client_now(c->client, &now_ms);

    if (status != 0)
        return status;
    if (zone_open(e->zone, &z, &eb) != 0)
        return client_tell(c->client, EX_DATAERR, "%s", eb.text);
    *ret_ms = cron_next(&e->cron, z, now_ms);
    zone_free(z);
    return 0;
}

int64_t cron_client_from(const struct cron_client *c,
                         const struct cron_entry *e, int64_t now_ms)
{
    return e->paused || c->due_ms < 0 ? now_ms : c->due_ms - 1;
}

void cron_format_local(const struct zone *z, int64_t at_ms,
                       char out[CRON_LOCAL_MAX])
{
    int64_t at = at_ms / 1000;
    struct cron_clock k;

    cron_clock(at + zone_offset(z, at), &k);
    (void)snprintf(out, CRON_LOCAL_MAX, "%04d-%02d-%02d %02d:%02d:%02d %s",
                   k.year, k.month, k.day, k.hour, k.minute, k.second,
                   zone_abbreviation(z, at));
}

/* ---- reading and writing, whoever else does ---- */

int cron_client_change(struct cron_client *c, const char *name,
                       cron_decide_fn decide, void *arg)
{
    struct buf out = {0};
    bool stale = true;
    int status = 0;

    for (int i = 0; i < TRIES && status == 0 && stale; i++) {
        int64_t due_ms = CRON_DUE_NEVER;
        buf_clear(&out);
        status = cron_client_read(c, name);
        if (status == 0)
            status = decide(c, name, arg, &out, &due_ms);
        if (status == 0)
            status = cron_client_put(
                c, name, (struct bytes){out.len > 0 ? out.data : NULL, out.len},
                due_ms, &stale);
    }
    buf_done(&out);
    c->stale = status == 0 && stale;
    if (c->stale)
        status = client_tell(
            c->client, EX_TEMPFAIL,
            "%s: others change it all the time; nothing was changed", name);
    return status;
}

static void on_listed(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

struct adding {
    const struct cron_entry *entry; /* borrowed */
};

/* The set of queues, for whoever looks for them. */
static void list_queue(struct cron_client *c)
{
    struct args a = {0};

    args_str(&a, "SADD");
    args_str(&a, c->keys.queues);
    args_str(&a, c->keys.queue);
    client_call(c->client, &a, on_listed, NULL);
    args_done(&a);
}

static int decide_add(struct cron_client *c, const char *name, void *arg,
                      struct buf *out, int64_t *ret_due_ms)
{
    const struct cron_entry *e = ((struct adding *)arg)->entry;
    struct cron_entry *was = NULL;
    int status = 0;

    list_queue(c);
    if (c->was != NULL)
        (void)cron_entry_parse(name, c->was, c->was_len, &was, NULL);
    buf_append(out, e->raw, e->raw_len);
    if (e->paused)
        *ret_due_ms = CRON_DUE_NEVER;
    else if (was != NULL && c->due_ms >= 0 && cron_entry_same_ticks(was, e))
        *ret_due_ms = CRON_DUE_AS_IT_IS;
    else
        status = cron_client_next(c, e, ret_due_ms);
    cron_entry_free(was);
    return status;
}

int cron_client_add(struct cron_client *c, const struct cron_entry *e)
{
    struct adding a = {e};

    return cron_client_change(c, e->name, decide_add, &a);
}
