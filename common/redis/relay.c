/*
 * Relay: brings what is in an outbox to the queues that it is for.
 *
 *     LRANGE some ─► for each push_one ─► all answered: LREM those ─► LRANGE …
 *
 * The two queues live in different slots of a Cluster, so no script can move
 * an envelope from one to the other. What makes it arrive once all the same is
 * the note that push_one leaves in the other queue: it goes by the digest of
 * the element, not by the job's id, since a job may come this way twice in
 * its life (people move dead jobs to and fro), and has other bytes then.
 *
 * An envelope that stays is passed by, and so are others for that queue, so
 * that they neither overtake it nor hold up those for other queues.
 *
 * Thread: event loop only.
 */
#include "common/redis/relay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/parcel.h"
#include "common/redis/sha1.h"

enum {
    READ_MAX = 100,           /* envelopes of one look */
    READ_BYTES = 1024 * 1024, /* that they should have together, about */
    READ_GROWTH = 8,
    BLOCKED_MAX = 16, /* queues that refuse; with more we give up for now */
    LEFT_MAX = 1000   /* envelopes to be passed by, likewise */
};

enum fate { ITEM_UNKNOWN, ITEM_TAKEN, ITEM_LEFT };

/* An element of the outbox that is being dealt with. */
struct item {
    struct relay *r; /* borrowed */
    struct parcel p;
    struct buf grave; /* what is put into dead */
    enum fate fate;
};

struct relay {
    struct conn *c;       /* borrowed */
    const struct keys *k; /* borrowed */
    relay_cb cb;
    void *arg;

    bool running;
    struct relay_result res;
    int64_t now_ms;     /* Redis' clock at the last look */
    int64_t at;         /* envelopes in front that stay */
    unsigned want;      /* envelopes that the next look asks for */
    struct item *items; /* owned; of the last look */
    unsigned count, pending;
    char blocked[BLOCKED_MAX][NAME_MAX_LEN + 1];
    unsigned blocked_count;
    char said[NAME_MAX_LEN + 1]; /* is in belt:queues */
};

static void on_time(void *arg, int err, const struct reply *r);
static void on_read(void *arg, int err, const struct reply *r);
static void on_pushed(void *arg, int err, const struct reply *r);
static void on_news(void *arg, int err, const struct reply *r);
static void on_buried(void *arg, int err, const struct reply *r);
static void on_taken(void *arg, int err, const struct reply *r);
static void look(struct relay *r) ON_LOOP;
static void bury(struct item *it) ON_LOOP;

struct relay *relay_new(struct conn *c, const struct keys *k, relay_cb cb,
                        void *arg)
{
    struct relay *r = mem_new(sizeof(*r));

    r->c = c;
    r->k = k;
    r->cb = cb;
    r->arg = arg;
    return r;
}

static void drop_items(struct relay *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        parcel_done(&r->items[i].p);
        buf_done(&r->items[i].grave);
    }
    free(r->items);
    r->items = NULL;
    r->count = 0;
}

void relay_free(struct relay *r)
{
    if (r == NULL)
        return;
    assert(!r->running);
    drop_items(r);
    free(r);
}

bool relay_runs(const struct relay *r)
{
    return r->running;
}

int relay_start(struct relay *r)
{
    if (r->running)
        return 0;
    if (!conn_is_up(r->c))
        return ERR_REFUSED;
    r->res = (struct relay_result){0};
    r->at = 0;
    r->want = 1; /* it may have any size */
    r->blocked_count = 0;
    r->said[0] = '\0';
    r->running = true;
    look(r);
    r->running = r->pending > 0;
    return r->running ? 0 : ERR_REFUSED;
}

static void finish(struct relay *r)
{
    struct relay_result res = r->res;

    drop_items(r);
    r->running = false;
    r->cb(r->arg, &res);
}

/* The connection is gone, or Redis does not let us: the rest can wait. */
static void give_up(struct relay *r, int err, const char *what,
                    const struct reply *reply)
{
    if (r->res.err != 0)
        return;
    r->res.err = err != 0 ? err : ERR_REDIS;
    (void)errbuf_set(&r->res.why, r->res.err, "%s: %s", what,
                     reply_is_error(reply) ? reply_error(reply)
                                           : err_str(r->res.err));
}

/* Sends what is in a, and empties it. A call that fails at once is no news. */
static void call(struct relay *r, struct args *a, conn_reply_cb cb,
                 void *arg) ON_LOOP;

static void call(struct relay *r, struct args *a, conn_reply_cb cb, void *arg)
{
    int64_t deadline = clock_ms() + QUEUE_DEADLINE_MS;

    if (conn_call(r->c, a, deadline, false, cb, arg) != 0)
        give_up(r, ERR_REFUSED, a->argv[0], NULL);
    else if (cb != NULL)
        r->pending++;
    args_clear(a);
}

/* ---- reading ---- */

static void look(struct relay *r)
{
    struct args a = {0};

    drop_items(r);
    args_str(&a, "TIME"); /* by which Redis' sets go */
    call(r, &a, on_time, r);
    args_str(&a, "LRANGE");
    args_str(&a, r->k->outbox);
    args_int(&a, r->at);
    args_int(&a, r->at + r->want - 1);
    call(r, &a, on_read, r);
    args_done(&a);
}

static void on_time(void *arg, int err, const struct reply *reply)
{
    loop_role_assert();
    struct relay *r = arg;
    int64_t s;

    r->pending--;
    if (err != 0 || !reply_int(reply_at(reply, 0), &s) || s < 0 ||
        s > QUEUE_COUNT_MAX / 1000)
        give_up(r, err, "TIME", reply);
    else
        r->now_ms = s * 1000;
}

/* ---- delivering ---- */

static bool is_blocked(const struct relay *r, const char *queue)
{
    for (unsigned i = 0; i < r->blocked_count; i++)
        if (strcmp(r->blocked[i], queue) == 0)
            return true;
    return false;
}

static void leave(struct item *it, const struct errbuf *eb)
{
    struct relay *r = it->r;

    it->fate = ITEM_LEFT;
    r->res.left++;
    if (eb == NULL)
        return;
    r->res.why = *eb;
    if (it->p.queue[0] == '\0' || is_blocked(r, it->p.queue))
        return;
    if (r->blocked_count == BLOCKED_MAX) {
        r->res.err = ERR_TOO_BIG;
        return;
    }
    memcpy(r->blocked[r->blocked_count++], it->p.queue, sizeof(it->p.queue));
}

/* Before the push, so that what is pushed is never in an unknown queue. */
static void say_queue(struct relay *r, const struct keys *k) ON_LOOP
{
    struct args a = {0};

    if (strcmp(r->said, k->queue) == 0)
        return;
    memcpy(r->said, k->queue, sizeof(r->said));
    args_str(&a, "SADD");
    args_str(&a, k->queues);
    args_str(&a, k->queue);
    call(r, &a, NULL, NULL);
    args_done(&a);
}

/* What a push of it says, but for the envelope. */
static struct push_one describe(const struct item *it)
{
    const struct job *job = it->p.job;

    return (struct push_one){.id = job->id,
                             .at_ms = job->at_ms,
                             .in_ms = job->in_ms,
                             .unique =
                                 job->unique.p != NULL ? &it->p.unique : NULL,
                             .once_ms = RELAY_ONCE_MS,
                             .moved = true,
                             .keep = job->keep_ms > 0,
                             .type = job->type,
                             .created_at_ms = job->created_at_ms};
}

static void push(struct item *it) ON_LOOP
{
    struct push_one p = describe(it);
    struct relay *r = it->r;
    struct buf envelope = {0};
    struct keys keys;
    char once[41];

    parcel_write(&it->p, &envelope);
    sha1_hex_plain(it->p.raw, it->p.len, once);
    p.envelope = (struct bytes){envelope.data, envelope.len};
    p.once_id = once;
    keys_init(&keys, r->k->ns, it->p.queue);
    say_queue(r, &keys);
    if (queue_push_one(r->c, &keys, &p, on_pushed, it) == 0)
        r->pending++;
    else
        give_up(r, ERR_REFUSED, "push_one", NULL);
    buf_done(&envelope);
}

static void on_held(struct item *it, const char *holder) ON_LOOP
{
    struct relay *r = it->r;

    (void)errbuf_set(&r->res.why, ERR_HELD, "%s: \"%s\" is held by %s",
                     it->p.queue, it->p.unique.key, holder);
    if (parcel_may_be_dropped(&it->p)) {
        it->fate = ITEM_TAKEN;
        r->res.held++;
        return;
    }
    parcel_write_held(&it->p, holder, r->now_ms, &it->grave);
    bury(it);
}

static void tell_news(struct item *it, const char *holder) ON_LOOP
{
    struct push_one p = describe(it);
    struct keys keys;

    keys_init(&keys, it->r->k->ns, it->p.queue);
    if (queue_push_replaced(it->r->c, &keys, &p, holder, on_news, it) == 0)
        it->r->pending++;
    else
        give_up(it->r, ERR_REFUSED, "news", NULL);
}

static void next(struct relay *r) ON_LOOP;

/* It is there, whatever becomes of its news. */
static void on_news(void *arg, int err, const struct reply *reply)
{
    loop_role_assert();
    struct relay *r = ((struct item *)arg)->r;

    (void)reply;
    r->pending--;
    if (err != 0)
        give_up(r, err, "news", NULL);
    if (r->pending == 0)
        next(r);
}

static void on_pushed(void *arg, int err, const struct reply *reply)
{
    loop_role_assert();
    struct item *it = arg;
    struct relay *r = it->r;
    struct push_one_result res = {0};
    struct errbuf eb = {""};
    int rc = queue_push_one_result(err, reply, &res, &eb);

    r->pending--;
    if (rc == ERR_UNKNOWN || rc == ERR_REFUSED) {
        give_up(r, rc, "push_one", NULL);
    } else if (rc != 0) {
        (void)errbuf_wrap(&eb, rc, "%s", it->p.queue);
        leave(it, &eb);
    } else if (res.state == PUSH_HELD) {
        on_held(it, res.holder);
    } else {
        it->fate = ITEM_TAKEN;
        r->res.sent++;
        if (res.state == PUSH_REPLACED && res.holder[0] != '\0')
            tell_news(it, res.holder);
    }
    if (r->pending == 0)
        next(r);
}

/*
 * Adds it to dead; behind that it is taken out. Two relays may both do it, or
 * one end in between: then it is in dead twice, and not lost.
 */
static void bury(struct item *it)
{
    struct relay *r = it->r;
    struct args a = {0};

    args_str(&a, "ZADD");
    args_str(&a, r->k->dead);
    args_str(&a, "NX");
    args_int(&a, r->now_ms);
    args_mem(&a, it->grave.data, it->grave.len);
    call(r, &a, on_buried, it);
    args_done(&a);
}

static void count(struct relay *r, const char *key, const char *name,
                  int64_t n) ON_LOOP;

static void count(struct relay *r, const char *key, const char *name, int64_t n)
{
    struct args a = {0};

    args_str(&a, "HINCRBY");
    args_str(&a, key);
    args_str(&a, name);
    args_int(&a, n);
    call(r, &a, NULL, NULL);
    args_done(&a);
}

static void on_buried(void *arg, int err, const struct reply *reply)
{
    loop_role_assert();
    struct item *it = arg;
    struct relay *r = it->r;
    struct errbuf eb;
    int64_t added;

    r->pending--;
    if (err != 0) {
        give_up(r, err, "bury", NULL);
    } else if (!reply_int(reply, &added)) {
        (void)errbuf_set(&eb, ERR_REDIS, "bury: %s", reply_error(reply));
        leave(it, &eb);
    } else {
        it->fate = ITEM_TAKEN;
        r->res.buried++;
        if (added > 0) {
            count(r, r->k->stats, "dead_bytes", (int64_t)it->grave.len);
            count(r, r->k->stats, it->p.job == NULL ? "invalid" : "dead", 1);
        }
    }
    if (r->pending == 0)
        next(r);
}

static void deal_with(struct item *it) ON_LOOP;

static void deal_with(struct item *it)
{
    struct errbuf eb = {""};

    if (parcel_read(&it->p, it->r->now_ms, &eb) != 0) {
        it->r->res.why = eb;
        parcel_write_invalid(&it->p, eb.text, it->r->now_ms, &it->grave);
        bury(it);
    } else if (is_blocked(it->r, it->p.queue)) {
        leave(it, NULL);
    } else {
        push(it);
    }
}

static void on_read(void *arg, int err, const struct reply *reply)
{
    loop_role_assert();
    struct relay *r = arg;
    size_t n = reply_len(reply), bytes = 0;

    r->pending--;
    if (err != 0 || reply_is_error(reply) || n > r->want)
        give_up(r, err, "LRANGE", reply);
    if (r->res.err != 0 || n == 0) {
        finish(r);
        return;
    }
    r->items = mem_new(n * sizeof(*r->items));
    for (size_t i = 0; i < n; i++) {
        struct item *it = &r->items[r->count];
        struct bytes e;

        if (!reply_str(reply_at(reply, i), &e.p, &e.len)) {
            give_up(r, ERR_REDIS, "LRANGE", NULL);
            break;
        }
        it->r = r;
        it->p = (struct parcel){.raw = mem_dup(e.p, e.len), .len = e.len};
        bytes += e.len;
        r->count++;
    }
    size_t fit = READ_BYTES / (bytes / n + 1), most = r->want * READ_GROWTH;
    r->want = (unsigned)(fit < 1 ? 1 : fit);
    if (r->want > most)
        r->want = (unsigned)most;
    if (r->want > READ_MAX)
        r->want = READ_MAX;
    r->pending++; /* until all are sent */
    for (unsigned i = 0; i < r->count && r->res.err == 0; i++)
        deal_with(&r->items[i]);
    if (--r->pending == 0)
        next(r);
}

/* All of them are dealt with: takes out what is elsewhere, and goes on. */
static void next(struct relay *r)
{
    struct args a = {0};

    for (unsigned i = 0; i < r->count; i++) {
        struct item *it = &r->items[i];

        if (it->fate != ITEM_TAKEN) {
            r->at++;
            continue;
        }
        args_str(&a, "LREM");
        args_str(&a, r->k->outbox);
        args_int(&a, 1);
        args_mem(&a, it->p.raw, it->p.len);
        call(r, &a, on_taken, r);
    }
    args_done(&a);
    if (r->at > LEFT_MAX && r->res.err == 0)
        r->res.err = ERR_TOO_BIG;
    if (r->res.err == 0)
        look(r);
    if (r->pending == 0)
        finish(r);
}

static void on_taken(void *arg, int err, const struct reply *reply)
{
    loop_role_assert();
    struct relay *r = arg;
    int64_t n;

    r->pending--;
    if (err != 0 || !reply_int(reply, &n))
        give_up(r, err, "LREM", reply);
    if (r->pending == 0)
        finish(r);
}
