/*
 * Connection: states, greeting, pipelining, deadlines, reconnecting.
 *
 *     CLOSED --open--> PAUSING --timer--> CONNECTING --> GREETING --> UP
 *                         ^                   |             |         |
 *                         +------- lost, refused, timed out, restart --+
 *
 * (conn_close leads to CLOSED from everywhere.) Every way out of a session
 * passes end_session: it takes away the stream, the reader and the pending
 * calls, and changes life. Only then are callbacks run, which may do anything
 * but free the connection: whoever called them compares life, and touches
 * nothing of a session that ended meanwhile.
 *
 * Everything connects from the pause timer, so neither conn_open nor conn_call
 * ever calls back from inside, and the pause holds however owners open and
 * close: a server that refuses us is never asked in a busy loop.
 *
 * Thread: event loop only.
 */
#include "common/redis/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "common/redis/conn_priv.h"
#include "common/redis/reader.h"
#include "common/redis/transport.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    PAUSE_FIRST_MS = 50,
    PAUSE_MAX_MS = 3000,
    STEADY_MS = 1000, /* up for so long: the next pause is short again */
    TIMER_MAX_MS = 60 * 60 * 1000,
    FEED_BYTES = 16 * 1024, /* hiredis moves what it holds, reply by reply */
    RTT_WEIGHT = 8,
    MOVING_MS = 1000, /* in which so many bytes are a connection that moves */
    MOVING_BYTES = 256 * 1024,
};
#define REPLY_MAX_BYTES ((size_t)512 << 20) /* of a string in Redis */

enum state { CLOSED, PAUSING, CONNECTING, GREETING, UP };

struct call {
    STAILQ_ENTRY(call) link;
    conn_reply_cb cb;
    void *arg;
    int64_t deadline_ms, sent_us;
    uint64_t offset; /* of its first byte in the session's stream */
    bool blocking;
    bool behind_blocking; /* its time says nothing about the round trip */
    int err;              /* once it has failed */
};

STAILQ_HEAD(calls, call);

struct conn {
    struct event_base *base; /* borrowed */
    struct conn_config cfg;
    char *name;                  /* owned; NULL if none */
    struct transport *transport; /* owned */
    uint32_t scripts_loading;

    enum state state;
    unsigned life; /* grows with the end of each session */
    bool failing;  /* fail_calls is on the stack */
    bool freeing;

    struct event pause;    /* ends PAUSING */
    int64_t pause_ms;      /* grows; 0: none was needed yet */
    int64_t not_before_ms; /* of the next attempt to connect */

    /* The session. */
    struct reader *reader; /* owned; NULL when there is none */
    bool reading;          /* on_bytes frees it: a reply of it is lent */
    struct calls pending;  /* in the order of their replies */
    int blocking;          /* of the pending ones */
    uint64_t queued;       /* bytes given to the transport */
    uint64_t received;     /* bytes that came */
    uint64_t moved;        /* sent and received when expiry last fired */
    struct event expiry;
    int64_t expiry_ms; /* what expiry is set to; INT64_MAX: not set */
    int64_t up_since_ms;

    struct calls failed; /* of ended sessions, callback not yet run */
    int64_t rtt_us;
};

static void on_pause_over(evutil_socket_t fd, short what, void *arg);
static void on_expiry(evutil_socket_t fd, short what, void *arg);
static void on_open(void *arg);
static void on_bytes(void *arg, const char *p, size_t n);
static void on_lost(void *arg, int err, const char *why);
static void on_ok(void *arg, int err, const struct reply *r);
static void on_pong(void *arg, int err, const struct reply *r);
static void on_name(void *arg, int err, const struct reply *r);

struct conn *conn_new(struct event_base *base, const struct conn_config *cfg)
{
    struct conn *c = mem_new(sizeof(*c));
    struct transport_events ev = {
        .on_open = on_open, .on_bytes = on_bytes, .on_lost = on_lost, .arg = c};

    c->base = base;
    c->cfg = *cfg;
    c->cfg.name = NULL;
    c->name = cfg->name ? mem_strdup(cfg->name) : NULL;
    if (c->cfg.connect_timeout_ms <= 0)
        c->cfg.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (c->cfg.reconnect_max_ms <= 0)
        c->cfg.reconnect_max_ms = PAUSE_MAX_MS;
    if (c->cfg.reply_max_bytes == 0)
        c->cfg.reply_max_bytes = REPLY_MAX_BYTES;
    c->transport = transport_new(base, &cfg->url, &ev);
    c->expiry_ms = INT64_MAX;
    STAILQ_INIT(&c->pending);
    STAILQ_INIT(&c->failed);
    evtimer_assign(&c->pause, base, on_pause_over, c);
    evtimer_assign(&c->expiry, base, on_expiry, c);
    return c;
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    assert(!c->failing);
    c->freeing = true; /* callbacks cannot open it again */
    conn_close(c);
    transport_free(c->transport);
    explicit_bzero(&c->cfg.url, sizeof(c->cfg.url));
    free(c->name);
    free(c);
}

static void add_timer(struct event *ev, int64_t at_ms)
{
    int64_t ms = at_ms - clock_ms();

    ms = ms < 0 ? 0 : ms > TIMER_MAX_MS ? TIMER_MAX_MS : ms;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(ev, &tv);
}

/* Back to CLOSED. The callbacks of the pending calls wait for fail_calls. */
static void end_session(struct conn *c) ON_LOOP
{
    uint64_t sent = c->queued - transport_unsent(c->transport);

    for (struct call *k = STAILQ_FIRST(&c->pending); k;
         k = STAILQ_NEXT(k, link))
        k->err = k->offset < sent ? ERR_UNKNOWN : ERR_REFUSED;
    STAILQ_CONCAT(&c->failed, &c->pending);
    if (c->state == UP && clock_ms() - c->up_since_ms >= STEADY_MS)
        c->pause_ms = 0;
    transport_close(c->transport);
    if (!c->reading)
        reader_free(c->reader);
    c->reader = NULL;
    c->queued = c->received = c->moved = 0;
    c->blocking = 0;
    c->up_since_ms = 0;
    c->expiry_ms = INT64_MAX;
    evtimer_del(&c->expiry);
    evtimer_del(&c->pause);
    c->state = CLOSED;
    c->life++;
}

/*
 * A callback may end the next session, too; its calls join the end of the
 * queue that the outermost fail_calls empties, so this never nests.
 */
static void fail_calls(struct conn *c)
{
    struct call *k;

    if (c->failing)
        return;
    c->failing = true;
    while ((k = STAILQ_FIRST(&c->failed))) {
        struct call done = *k;
        STAILQ_REMOVE_HEAD(&c->failed, link);
        free(k);
        if (done.cb != NULL)
            done.cb(done.arg, done.err, NULL);
    }
    c->failing = false;
}

/* Moves the earliest next attempt away: each time further, never evenly. */
static void back_off(struct conn *c)
{
    int64_t full = c->pause_ms == 0 ? PAUSE_FIRST_MS : c->pause_ms * 2;

    if (full > c->cfg.reconnect_max_ms)
        full = c->cfg.reconnect_max_ms;
    c->pause_ms = full;
    int64_t half = full / 2;
    c->not_before_ms =
        clock_ms() + half + (int64_t)random_below((uint64_t)(full - half) + 1);
}

void conn_open(struct conn *c)
{
    if (c->state != CLOSED || c->freeing)
        return;
    c->state = PAUSING;
    add_timer(&c->pause, c->not_before_ms);
}

void conn_close(struct conn *c)
{
    end_session(c);
    fail_calls(c);
}

void conn_restart(struct conn *c)
{
    if (c->state == PAUSING)
        return; /* or each of many failed calls would lengthen the pause */
    end_session(c);
    back_off(c);
    conn_open(c);
    fail_calls(c);
}

/* The session failed by itself. why may lie in what end_session frees. */
static void lose(struct conn *c, int err, const char *why) ON_LOOP
{
    struct errbuf eb;

    errbuf_set(&eb, err, "%s", why);
    end_session(c);
    back_off(c);
    conn_open(c);
    unsigned life = c->life;
    fail_calls(c);
    /* A callback that closed or restarted it knows already. */
    if (c->life == life && c->cfg.on_down)
        c->cfg.on_down(c->cfg.arg, err, eb.text);
}

static void on_lost(void *arg, int err, const char *why)
{
    loop_role_assert();
    lose(arg, err, why);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct conn *c = arg;

    (void)fd;
    (void)what;
    assert(c->state == PAUSING);
    c->state = CONNECTING;
    c->reader = reader_new(c->cfg.reply_max_bytes);
    transport_open(c->transport, clock_ms() + c->cfg.connect_timeout_ms);
}

static void set_expiry(struct conn *c, int64_t at_ms)
{
    c->expiry_ms = at_ms;
    if (at_ms == INT64_MAX)
        evtimer_del(&c->expiry);
    else
        add_timer(&c->expiry, at_ms);
}

/*
 * A reply or a request of a hundred megabytes may take longer than a deadline,
 * and would take as long the next time. So as long as bytes move in earnest,
 * deadlines wait.
 */
static bool is_moving(struct conn *c) ON_LOOP
{
    uint64_t all = c->received + c->queued - transport_unsent(c->transport);
    bool moving = all - c->moved >= MOVING_BYTES;

    c->moved = all;
    return moving;
}

/*
 * The timer is only ever moved forward by a call and not by a reply, so it
 * may fire for nothing; looking through all calls happens only then.
 */
static void on_expiry(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct conn *c = arg;
    int64_t first_ms = INT64_MAX;

    (void)fd;
    (void)what;
    for (const struct call *k = STAILQ_FIRST(&c->pending); k;
         k = STAILQ_NEXT(k, link))
        if (k->deadline_ms < first_ms)
            first_ms = k->deadline_ms;
    if (first_ms <= clock_ms() && is_moving(c))
        set_expiry(c, clock_ms() + MOVING_MS);
    else if (first_ms <= clock_ms())
        lose(c, ERR_TIMEOUT, "no answer in time");
    else
        set_expiry(c, first_ms);
}

static void on_written(const void *p, size_t n, void *extra)
{
    (void)p;
    (void)n;
    wire_unref(extra);
}

static void enqueue(struct conn *c, struct wire *w, int64_t deadline_ms,
                    bool blocking, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct call *k = mem_new(sizeof(*k));

    *k = (struct call){.cb = cb,
                       .arg = arg,
                       .deadline_ms = deadline_ms,
                       .sent_us = clock_us(),
                       .offset = c->queued,
                       .blocking = blocking,
                       .behind_blocking = c->blocking > 0};
    STAILQ_INSERT_TAIL(&c->pending, k, link);
    c->blocking += blocking;
    c->queued += w->len;
    transport_write(c->transport, w->bytes, w->len, on_written, wire_ref(w));
    if (deadline_ms < c->expiry_ms)
        set_expiry(c, deadline_ms);
}

int conn_send(struct conn *c, struct wire *w, int64_t deadline_ms,
              bool blocking, conn_reply_cb cb, void *arg)
{
    if (c->state != UP || deadline_ms <= clock_ms())
        return ERR_REFUSED;
    enqueue(c, w, deadline_ms, blocking, cb, arg);
    return 0;
}

int conn_call(struct conn *c, const struct args *a, int64_t deadline_ms,
              bool blocking, conn_reply_cb cb, void *arg)
{
    if (c->state != UP)
        return ERR_REFUSED;
    struct wire *w = wire_new(a);
    if (!w)
        return ERR_REFUSED;
    int rc = conn_send(c, w, deadline_ms, blocking, cb, arg);
    wire_unref(w);
    return rc;
}

static void note_rtt(struct conn *c, int64_t us)
{
    if (us < 1)
        us = 1;
    if (c->rtt_us == 0)
        c->rtt_us = us;
    else
        c->rtt_us += (us - c->rtt_us) / RTT_WEIGHT;
}

/* Whether it answers no call of ours, and was told. */
static bool tell_message(struct conn *c, const struct reply *r) ON_LOOP
{
    const char *channel, *text;
    size_t len;

    if (!c->cfg.on_message || c->state != UP ||
        !reply_str_is(reply_at(r, 0), "message") || reply_len(r) != 3 ||
        !reply_str(reply_at(r, 1), &channel, &len) ||
        !reply_str(reply_at(r, 2), &text, &len))
        return false;
    c->cfg.on_message(c->cfg.arg, channel, text, len);
    return true;
}

static void deliver(struct conn *c, const struct reply *r) ON_LOOP
{
    struct call *k = STAILQ_FIRST(&c->pending);

    if (tell_message(c, r))
        return;
    if (!k) {
        lose(c, ERR_REDIS,
             reply_is_error(r) ? reply_error(r) : "reply to no request");
        return;
    }
    struct call done = *k;
    STAILQ_REMOVE_HEAD(&c->pending, link);
    free(k);
    if (done.blocking)
        c->blocking--;
    else if (!done.behind_blocking)
        note_rtt(c, clock_us() - done.sent_us);
    if (done.cb != NULL)
        done.cb(done.arg, 0, r);
}

static void read_replies(struct conn *c, const char *p, size_t n) ON_LOOP
{
    unsigned life = c->life;

    while (n > 0) {
        size_t part = n < FEED_BYTES ? n : FEED_BYTES;
        const struct reply *r = NULL;
        struct errbuf eb;
        int rc;
        reader_feed(c->reader, p, part);
        while ((rc = reader_next(c->reader, &r, &eb)) == 0 && r) {
            deliver(c, r);
            if (c->life != life)
                return;
        }
        if (rc != 0) {
            lose(c, rc, eb.text);
            return;
        }
        p += part;
        n -= part;
    }
}

static void on_bytes(void *arg, const char *p, size_t n)
{
    loop_role_assert();
    struct conn *c = arg;
    struct reader *reader = c->reader;

    c->received += n;
    c->reading = true;
    read_replies(c, p, n);
    c->reading = false;
    if (c->reader != reader)
        reader_free(reader);
}

static void greet(struct conn *c, const char *const *words,
                  conn_reply_cb cb) ON_LOOP
{
    struct args a = {0};

    for (; *words; words++)
        args_str(&a, *words);
    struct wire *w = wire_new(&a);
    assert(w);
    enqueue(c, w, clock_ms() + c->cfg.connect_timeout_ms, false, cb, c);
    wire_unref(w);
    args_done(&a);
}

/*
 * PING is always sent: Redis answers AUTH and SELECT even while it is loading,
 * but not PING, and whatever does not say PONG is not Redis. It comes before
 * the name, whose errors are ignored, since what Redis says unasked (too many
 * clients, protected mode) looks like the answer to the first request.
 */
static void on_open(void *arg)
{
    loop_role_assert();
    struct conn *c = arg;
    const struct url *u = &c->cfg.url;

    assert(c->state == CONNECTING);
    c->state = GREETING;
    if (u->user[0] != '\0')
        greet(c, (const char *[]){"AUTH", u->user, u->password, NULL}, on_ok);
    else if (u->password[0] != '\0')
        greet(c, (const char *[]){"AUTH", u->password, NULL}, on_ok);
    greet(c, (const char *[]){"PING", NULL}, on_pong);
    if (u->db != 0) {
        char db[12];
        snprintf(db, sizeof(db), "%d", u->db);
        greet(c, (const char *[]){"SELECT", db, NULL}, on_ok);
    }
    if (c->name)
        greet(c, (const char *[]){"CLIENT", "SETNAME", c->name, NULL}, on_name);
}

static void refuse(struct conn *c, const struct reply *r) ON_LOOP
{
    lose(c, ERR_REDIS, reply_is_error(r) ? reply_error(r) : "not a Redis");
}

/* The last answer of the greeting makes it up. */
static void proceed(struct conn *c)
{
    if (!STAILQ_EMPTY(&c->pending))
        return;
    c->state = UP;
    c->up_since_ms = clock_ms();
    if (c->cfg.on_up)
        c->cfg.on_up(c->cfg.arg);
}

/* err means that the session ended, which is being told already. */
static void on_ok(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    if (err != 0)
        return;
    if (reply_str_is(r, "OK"))
        proceed(arg);
    else
        refuse(arg, r);
}

static void on_pong(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    if (err != 0)
        return;
    /* A user without the right to PING was answered by Redis, too. */
    if (reply_str_is(r, "PONG") || reply_error_is(r, "NOPERM"))
        proceed(arg);
    else
        refuse(arg, r);
}

/* A name is a courtesy to people: Redis may not allow it. */
static void on_name(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    (void)r;
    if (err == 0)
        proceed(arg);
}

bool conn_is_up(const struct conn *c)
{
    return c->state == UP;
}

int64_t conn_rtt_us(const struct conn *c)
{
    return c->rtt_us;
}

size_t conn_unsent_bytes(const struct conn *c)
{
    return transport_unsent(c->transport);
}

uint32_t *conn_scripts_loading(struct conn *c)
{
    return &c->scripts_loading;
}
