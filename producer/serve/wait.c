/*
 * Waits: requests that wait for the end of a job.
 *
 *     subscribed ──► look ──► published ──► look ──► it has ended: answered
 *                     ▲  │
 *                     │  └ it has not, and the time is over: answered too
 *                     └ subscribed anew after a loss
 *
 * Nothing is concluded from a message but that a look is due; so none is missed
 * between the first look of a request and its subscription, or while the
 * connection was lost. What is looked at is on the connection of all; if that
 * is lost, or nothing can be heard (refused by the ACL, or no connection), it
 * is looked again every second, for as long as that lasts. A PING now and then
 * finds a connection on which nothing comes any more.
 *
 * A channel goes with the last request that waits for it, once no call is under
 * way that will come back to it; another one for the same job may stand in the
 * tree by then. Redis answers in order, so it ends up subscribed.
 *
 * Thread: loop.
 */
#include "producer/serve/wait.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "producer/serve/job_answer.h"
#include "producer/serve/metrics.h"
#include "producer/serve/side.h"

enum {
    SUBSCRIBE_TIMEOUT_MS = 30000,
    TICK_MS = 1000,
    REFUSED_MS = 30000 /* then it is tried whether it still is */
};

struct channel;

struct waiter {
    TAILQ_ENTRY(waiter) link;
    struct channel *channel; /* borrowed */
    struct request *request; /* owned */
    struct event *timer;     /* owned: its time is over */
    bool late;               /* whatever the next look says is the answer */
};

struct channel {
    TAILQ_ENTRY(channel) link;
    struct waits *waits; /* borrowed */
    TAILQ_HEAD(, waiter) waiters;
    unsigned calls; /* under way, that come back to it */
    bool asked;     /* a look is one of them */
    bool due;       /* another one is to follow */
    bool gone;      /* nobody waits: it is in no list any more */
    char key[];
};

struct waits {
    struct serve *serve; /* borrowed */
    struct conn *conn;   /* owned: subscribed to all channels */
    void *tree;          /* of tsearch(3): the channels by key */
    TAILQ_HEAD(, channel) channels;
    struct event *tick; /* owned: while looks are due, or nothing is heard */
    struct event *ping; /* owned */
    bool pinged;        /* and not answered yet */
    size_t count;       /* of requests */
    bool refused;       /* Redis does not let us subscribe */
    bool stopped;
    int64_t refused_until_ms;
};

static void on_up(void *arg);
static void on_down(void *arg, int err, const char *why);
static void on_message(void *arg, const char *channel, const char *text,
                       size_t len);
static void on_subscribed(void *arg, int err, const struct reply *r);
static void on_hash(void *arg, int err, const struct reply *r);
static void on_late(evutil_socket_t fd, short what, void *arg);
static void on_gone(void *arg);
static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_ping(evutil_socket_t fd, short what, void *arg);
static void on_pong(void *arg, int err, const struct reply *r);
static void look(struct channel *ch) ON_LOOP;

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct channel *)a)->key,
                  ((const struct channel *)b)->key);
}

/* The key of the tree is a channel; so is what is looked for. */
static struct channel *find(struct waits *w, const char *key)
{
    struct channel *like = mem_new(sizeof(*like) + strlen(key) + 1);

    memcpy(like->key, key, strlen(key) + 1);
    struct channel **found = (struct channel **)tfind(like, &w->tree, compare);
    free(like);
    return found ? *found : NULL;
}

static void set_timer(struct event *timer, int64_t ms)
{
    const struct timeval tv = {.tv_sec = ms / 1000,
                               .tv_usec = ms % 1000 * 1000};

    evtimer_add(timer, &tv);
}

static void set_tick(struct waits *w)
{
    if (!evtimer_pending(w->tick, NULL))
        set_timer(w->tick, TICK_MS);
}

struct waits *waits_new(struct serve *s)
{
    struct waits *w = mem_new(sizeof(*w));
    struct conn_config cfg = {
        .url = s->url,
        .name = "belt-serve",
        .connect_timeout_ms = s->o->connect_timeout_ms,
        .on_up = on_up,
        .on_down = on_down,
        .on_message = on_message,
        .arg = w,
    };

    w->serve = s;
    TAILQ_INIT(&w->channels);
    w->conn = conn_new(s->base, &cfg);
    w->tick = evtimer_new(s->base, on_tick, w);
    w->ping = event_new(s->base, -1, EV_PERSIST, on_ping, w);
    set_timer(w->ping, s->o->redis_timeout_ms);
    explicit_bzero(&cfg.url, sizeof(cfg.url));
    return w;
}

/* ---- channels ---- */

/* cb NULL: nobody needs to know. */
static void say(struct channel *ch, const char *verb, conn_reply_cb cb) ON_LOOP
{
    struct args a = {0};

    args_str(&a, verb);
    args_str(&a, ch->key);
    int rc = conn_call(ch->waits->conn, &a, clock_ms() + SUBSCRIBE_TIMEOUT_MS,
                       false, cb, ch);
    ch->calls += rc == 0 && cb;
    args_done(&a);
}

static struct channel *open_channel(struct waits *w, const char *key) ON_LOOP
{
    struct channel *ch = mem_new(sizeof(*ch) + strlen(key) + 1);

    ch->waits = w;
    TAILQ_INIT(&ch->waiters);
    memcpy(ch->key, key, strlen(key) + 1);
    if (!tsearch(ch, &w->tree, compare))
        abort(); /* no memory for a node */
    TAILQ_INSERT_TAIL(&w->channels, ch, link);
    if (!w->refused)
        conn_open(w->conn);
    if (conn_is_up(w->conn))
        say(ch, "SUBSCRIBE", on_subscribed);
    else
        set_tick(w);
    return ch;
}

/* After what may have been the last waiter, or the last call. */
static void close_channel(struct channel *ch) ON_LOOP
{
    struct waits *w = ch->waits;

    if (!TAILQ_EMPTY(&ch->waiters))
        return;
    if (!ch->gone) {
        ch->gone = true;
        tdelete(ch, &w->tree, compare);
        TAILQ_REMOVE(&w->channels, ch, link);
        say(ch, "UNSUBSCRIBE", NULL);
    }
    if (ch->calls == 0)
        free(ch);
}

/* ---- waiters ---- */

static void set_count(struct waits *w, size_t n) ON_LOOP
{
    w->count = n;
    serve_metrics_waits(w->serve->metrics, (int64_t)n);
}

/* Ends the wait; returns its request, to be answered. The channel stays. */
static struct request *leave(struct waiter *waiter) ON_LOOP
{
    struct channel *ch = waiter->channel;
    struct request *r = waiter->request;

    TAILQ_REMOVE(&ch->waiters, waiter, link);
    set_count(ch->waits, ch->waits->count - 1);
    event_free(waiter->timer);
    request_on_gone(r, NULL, NULL);
    free(waiter);
    return r;
}

/* Answers those that are late, with all all of them. */
static void fail_waiters(struct channel *ch, bool all, int err,
                         const struct reply *r) ON_LOOP
{
    for (struct waiter *waiter = TAILQ_FIRST(&ch->waiters), *next; waiter;
         waiter = next) {
        struct answer a = {0};
        next = TAILQ_NEXT(waiter, link);
        if (!all && !waiter->late)
            continue;
        answer_call_failed(&a, err, r);
        request_answer(leave(waiter), &a);
    }
}

void waits_free(struct waits *w)
{
    loop_role_assert();
    if (!w)
        return;
    for (struct channel *ch = TAILQ_FIRST(&w->channels), *next; ch; ch = next) {
        next = TAILQ_NEXT(ch, link);
        fail_waiters(ch, true, ERR_CLOSED, NULL);
        close_channel(ch);
    }
    conn_free(w->conn);
    event_free(w->tick);
    event_free(w->ping);
    free(w);
}

void waits_add(struct waits *w, struct request *r, int64_t ms)
{
    loop_role_assert();
    struct job_name name;
    struct answer a = {0};
    struct keys keys;
    char key[KEY_MAX];

    if (w->count >= (size_t)w->serve->o->max_waits) {
        answer_problem(&a, 503, "overloaded",
                       "%zu requests wait for a job already (--max-waits)",
                       w->count);
        answer_header(&a, "Retry-After", "1");
        request_answer(r, &a);
        return;
    }
    request_job_name(r, &name);
    keys_init(&keys, w->serve->ns, name.queue);
    (void)keys_job(&keys, name.id, key); /* a valid id fits */
    struct channel *ch = find(w, key);
    bool shared = ch != NULL;
    if (!ch)
        ch = open_channel(w, key);
    struct waiter *waiter = mem_new(sizeof(*waiter));
    waiter->channel = ch;
    waiter->request = r;
    waiter->late = w->stopped;
    waiter->timer = evtimer_new(w->serve->base, on_late, waiter);
    set_timer(waiter->timer, ms);
    request_on_gone(r, on_gone, waiter);
    TAILQ_INSERT_TAIL(&ch->waiters, waiter, link);
    set_count(w, w->count + 1);
    if (shared || w->stopped)
        look(ch);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct waiter *waiter = arg;

    (void)fd;
    (void)what;
    waiter->late = true;
    look(waiter->channel);
}

static void on_gone(void *arg)
{
    loop_role_assert();
    struct waiter *waiter = arg;
    struct channel *ch = waiter->channel;
    struct answer a = {0};

    answer_problem(&a, 503, "internal", "the client has gone");
    request_answer(leave(waiter), &a);
    close_channel(ch);
}

void waits_stop(struct waits *w)
{
    loop_role_assert();
    w->stopped = true;
    for (struct channel *ch = TAILQ_FIRST(&w->channels), *next; ch; ch = next) {
        struct waiter *waiter;
        next = TAILQ_NEXT(ch, link);
        TAILQ_FOREACH(waiter, &ch->waiters, link)
        waiter->late = true;
        look(ch);
    }
}

/* ---- looks ---- */

/* May close the channel, if it cannot be looked at. */
static void look(struct channel *ch)
{
    struct waits *w = ch->waits;
    struct args a = {0};

    ch->due = ch->asked;
    if (ch->asked)
        return;
    kept_args(ch->key, &a);
    int rc = conn_call(w->serve->conn, &a,
                       clock_ms() + w->serve->o->redis_timeout_ms, false,
                       on_hash, ch);
    args_done(&a);
    if (rc == 0) {
        ch->asked = true;
        ch->calls++;
        return;
    }
    ch->due = true;
    set_tick(w);
    fail_waiters(ch, false, rc, NULL);
    close_channel(ch);
}

/* How the job stands, for those whom it concerns. */
static void tell(struct channel *ch, const struct kept *k) ON_LOOP
{
    struct serve *s = ch->waits->serve;
    bool kept = k->values[KEPT_state] != NULL, over = !kept || kept_is_over(k);

    for (struct waiter *waiter = TAILQ_FIRST(&ch->waiters), *next; waiter;
         waiter = next) {
        next = TAILQ_NEXT(waiter, link);
        if (!over && !waiter->late)
            continue;
        struct request *r = leave(waiter);
        if (kept)
            job_tell(r, k);
        else
            side_look(s->side, r, look_job);
    }
}

static void on_hash(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct channel *ch = arg;
    struct kept k = {0};

    bool failed = err != 0 || reply_is_error(r);
    bool passes =
        err != 0 || client_error_status(reply_error(r)) == EX_TEMPFAIL;
    ch->asked = false;
    if (failed && passes) { /* again soon, for those who have time */
        ch->due = true;
        set_tick(ch->waits);
        fail_waiters(ch, false, err, r);
    } else if (failed) {
        fail_waiters(ch, true, 0, r);
    } else {
        kept_read(&k, r);
        tell(ch, &k);
        kept_done(&k);
    }
    ch->calls--;
    if (!failed && ch->due && !TAILQ_EMPTY(&ch->waiters))
        look(ch);
    else
        close_channel(ch);
}

/* ---- what makes us look ---- */

static void on_up(void *arg)
{
    loop_role_assert();
    struct waits *w = arg;
    struct channel *ch;

    w->refused = false;
    TAILQ_FOREACH(ch, &w->channels, link)
    say(ch, "SUBSCRIBE", on_subscribed);
}

static void on_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    struct waits *w = arg;

    (void)err;
    LOG_WARN("waits_lost", F_STR("why", why),
             F_INT("waits", (int64_t)w->count));
    set_tick(w);
}

static void on_subscribed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct channel *ch = arg;
    struct waits *w = ch->waits;

    ch->calls--;
    if (err == 0 && reply_is_error(r) && !w->refused) {
        LOG_WARN("waits_refused", F_STR("why", reply_error(r)));
        w->refused = true;
        w->refused_until_ms = clock_ms() + REFUSED_MS;
        conn_close(w->conn);
        set_tick(w);
    }
    if (err == 0 && !ch->gone)
        look(ch);
    else
        close_channel(ch);
}

static void on_message(void *arg, const char *channel, const char *text,
                       size_t len)
{
    loop_role_assert();
    struct channel *ch = find(arg, channel);

    (void)text;
    (void)len;
    if (ch)
        look(ch);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct waits *w = arg;

    (void)fd;
    (void)what;
    if (w->refused && clock_ms() >= w->refused_until_ms)
        conn_open(w->conn);
    bool deaf = !conn_is_up(w->conn);
    for (struct channel *ch = TAILQ_FIRST(&w->channels), *next; ch; ch = next) {
        next = TAILQ_NEXT(ch, link);
        if (conn_is_up(w->serve->conn) && (deaf || ch->due))
            look(ch);
        else if (ch->due)
            set_tick(w);
    }
    if (deaf && !TAILQ_EMPTY(&w->channels))
        set_tick(w);
}

/* Not answered in time it ends the session, and all are subscribed anew. */
static void on_ping(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct waits *w = arg;
    int64_t deadline_ms = clock_ms() + w->serve->o->redis_timeout_ms;
    struct args a = {0};

    (void)fd;
    (void)what;
    if (w->pinged || TAILQ_EMPTY(&w->channels))
        return;
    args_str(&a, "PING");
    w->pinged = conn_call(w->conn, &a, deadline_ms, false, on_pong, w) == 0;
    args_done(&a);
}

static void on_pong(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct waits *w = arg;

    (void)err;
    (void)r;
    w->pinged = false;
}
