/*
 * Waiting: until jobs have ended.
 *
 *     subscribed ──► look at all ──► published ──► look at that one ──► over
 *                        ▲  lost, and made again; every 30 s, in case a
 *                        └─ message was lost; every second if not allowed
 *
 * Nothing is concluded from a message but that a look is due, so it does no
 * harm when one is lost, late, or a stranger's. (Only of a hash that is gone by
 * then it is believed how the job ended.) A hash that is not there at the first
 * look belongs to a job that is not kept; later it was removed, or its time was
 * over.
 *
 * Thread: that of the client.
 */
#include "producer/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/kept.h"
#include "producer/subscribe.h"

enum {
    TICK_MS = 1000,
    SAFETY_MS = 30000,
    CALL_TIMEOUT_MS = 30000,
    AWAY_MAX_MS = 60000 /* then Redis is given up */
};

struct entry {
    struct waiting *w; /* borrowed */
    struct job_name name;
    char key[KEY_MAX], log[KEY_MAX];
    bool seen;      /* its hash was there */
    bool asked;     /* a look is under way */
    bool due;       /* and another one is to follow */
    bool ended;     /* and told */
    char state[16]; /* the last end that was published, or "" */
};

struct waiting {
    struct waiting_events events;
    struct client *client;             /* borrowed */
    struct subscription *subscription; /* owned */
    struct event *tick;                /* owned */
    const char **channels;             /* owned, of the entries' keys */
    struct entry *entries;             /* owned */
    size_t count, left;                /* left: not ended yet */

    bool runs;     /* not only subscribed */
    bool expected; /* hashes that are not there yet will be */
    bool any;      /* the first end is enough */
    bool ready;    /* subscribed to all */
    bool refused;  /* not allowed to subscribe */
    bool told_lost;
    int64_t up_at_ms;      /* when both connections were last there */
    int64_t look_at_ms;    /* when all are looked at next */
    int64_t give_up_at_ms; /* timeout; INT64_MAX: none */
    bool over;
    int status; /* once over, or of the last job that ended */
    bool negative;
    char why[512]; /* of the last loss */
};

static void on_ready(void *arg);
static void on_refused(void *arg, const char *why);
static void on_lost(void *arg, const char *why);
static void on_message(void *arg, size_t i, const char *text, size_t len);
static void on_change(void *arg, bool up);
static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_hash(void *arg, int err, const struct reply *r);
static void look_at(struct entry *e) ON_LOOP;
static void look_at_all(struct waiting *w) ON_LOOP;

static void set_tick(struct waiting *w)
{
    int64_t ms = w->give_up_at_ms - clock_ms();

    ms = ms < 0 ? 0 : ms > TICK_MS ? TICK_MS : ms;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(w->tick, &tv);
}

static int begin(struct waiting *w) ON_LOOP;

static int begin(struct waiting *w)
{
    struct subscription_events events = {.on_ready = on_ready,
                                         .on_refused = on_refused,
                                         .on_lost = on_lost,
                                         .on_message = on_message,
                                         .arg = w};

    w->subscription =
        subscription_new(w->client, w->channels,
                         w->events.on_log ? 2 * w->count : w->count, &events);
    set_tick(w);
    while (!w->ready && !w->refused && !w->over)
        client_turn(w->client, true);
    return w->over ? w->status : 0;
}

int waiting_new(struct client *client, const char *ns,
                const struct job_name *names, size_t n, int64_t timeout_ms,
                const struct waiting_events *events, struct waiting **ret)
{
    struct waiting *w = mem_new(sizeof(*w));
    struct keys keys;

    loop_role_assert();
    w->events = *events;
    w->client = client;
    w->count = w->left = n;
    w->entries = mem_new(n * sizeof(*w->entries));
    w->channels = mem_new(2 * n * sizeof(*w->channels));
    for (size_t i = 0; i < n; i++) {
        struct entry *e = &w->entries[i];
        e->w = w;
        e->name = names[i];
        keys_init(&keys, ns, names[i].queue);
        (void)keys_job(&keys, names[i].id, e->key); /* a valid id fits */
        (void)keys_log(&keys, names[i].id, e->log);
        w->channels[i] = e->key;
        w->channels[n + i] = e->log;
    }
    client_last(client, on_change, w);
    w->tick = evtimer_new(client_base(client), on_tick, w);
    w->up_at_ms = clock_ms();
    w->look_at_ms = w->give_up_at_ms = INT64_MAX;
    if (timeout_ms > 0)
        w->give_up_at_ms = w->up_at_ms + timeout_ms;
    int status = begin(w);
    if (status == 0)
        *ret = w;
    else
        waiting_free(w);
    return status;
}

void waiting_free(struct waiting *w)
{
    loop_role_assert();
    if (!w)
        return;
    for (size_t i = 0; i < w->count; i++) {
        if (w->entries[i].asked)
            client_drop(w->client); /* the answers are for what goes now */
    }
    client_last(w->client, NULL, NULL);
    subscription_free(w->subscription);
    event_free(w->tick);
    free((void *)w->channels);
    free(w->entries);
    free(w);
}

void waiting_expect(struct waiting *w)
{
    w->expected = true;
}

int waiting_run(struct waiting *w, bool any)
{
    loop_role_assert();
    w->any = any;
    w->runs = true;
    look_at_all(w);
    while (!w->over)
        client_turn(w->client, true);
    return w->status;
}

static void end(struct waiting *w, int status)
{
    w->over = true;
    w->status = status;
}

void waiting_stop(struct waiting *w, int status)
{
    end(w, status);
}

/* ---- looks ---- */

static void look_at(struct entry *e)
{
    struct waiting *w = e->w;
    struct args a = {0};

    if (e->ended || w->over)
        return;
    e->due = e->asked;
    if (e->asked)
        return;
    kept_args(e->key, &a);
    /* While it is away: all are looked at when it is back. */
    e->asked = conn_call(client_conn(w->client), &a,
                         clock_ms() + CALL_TIMEOUT_MS, false, on_hash, e) == 0;
    args_done(&a);
}

static void look_at_all(struct waiting *w)
{
    w->look_at_ms = clock_ms() + (w->refused ? TICK_MS : SAFETY_MS);
    for (size_t i = 0; i < w->count && !w->over; i++) {
        look_at(&w->entries[i]);
        if (w->events.on_log)
            w->events.on_log(w->events.arg, i, NULL, 0);
    }
}

static void take_end(struct entry *e, const struct kept *k)
{
    struct waiting *w = e->w;
    int status = kept_exit_status(k);

    e->ended = true;
    w->left--;
    w->negative |= !kept_is(k, "done");
    if (!w->events.on_end(w->events.arg, (size_t)(e - w->entries), k))
        end(w, EX_IOERR); /* told at the end */
    else if (w->any || w->count == 1)
        end(w, status);
    else if (w->left == 0)
        end(w, w->negative ? 1 : EX_OK);
}

/* Its hash is not there. */
static void take_absence(struct entry *e, struct kept *k)
{
    struct waiting *w = e->w;

    if (e->state[0] != '\0') {
        k->values[KEPT_state] = mem_strdup(e->state);
        k->lens[KEPT_state] = strlen(e->state);
        take_end(e, k);
        return;
    }
    if (w->expected && !e->seen)
        return;
    w->events.on_absent(w->events.arg, (size_t)(e - w->entries), e->seen);
    e->ended = true;
    w->left--;
    w->negative = true;
    if (w->left == 0)
        end(w, 1);
}

static void on_hash(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct entry *e = arg;
    struct waiting *w = e->w;
    struct kept k = {0};

    e->asked = false;
    if (err != 0 || w->over)
        return; /* lost: looked at when it is back */
    if (reply_is_error(r)) {
        int status = client_error_status(reply_error(r));
        if (status == EX_TEMPFAIL) /* it passes */
            w->look_at_ms = clock_ms() + TICK_MS;
        else
            end(w, client_tell(w->client, status, "%s: %s", e->key,
                               reply_error(r)));
        return;
    }
    kept_read(&k, r);
    if (!k.values[KEPT_state])
        take_absence(e, &k);
    else
        e->seen = true;
    if (!e->ended && kept_is_over(&k))
        take_end(e, &k);
    kept_done(&k);
    if (e->due)
        look_at(e);
}

/* ---- what makes us look ---- */

static void on_ready(void *arg)
{
    loop_role_assert();
    struct waiting *w = arg;

    w->ready = true;
    w->told_lost = false;
    if (w->runs)
        look_at_all(w);
}

static void on_refused(void *arg, const char *why)
{
    loop_role_assert();
    struct waiting *w = arg;

    w->refused = true;
    (void)client_tell(w->client, 0, "%s: looking every second instead", why);
    if (w->runs)
        look_at_all(w);
}

static void on_message(void *arg, size_t i, const char *text, size_t len)
{
    loop_role_assert();
    struct waiting *w = arg;

    if (i >= w->count) {
        if (w->runs && !w->over)
            w->events.on_log(w->events.arg, i - w->count, text, len);
        return;
    }
    struct entry *e = &w->entries[i];
    struct kept k = {.values[KEPT_state] = mem_dup(text, len)};

    if (kept_is_over(&k) && len < sizeof(e->state))
        memcpy(e->state, k.values[KEPT_state], len + 1);
    else
        e->state[0] = '\0';
    kept_done(&k);
    if (w->runs)
        look_at(e);
}

static void note_loss(struct waiting *w, const char *why)
{
    snprintf(w->why, sizeof(w->why), "%s", why);
    if (!w->told_lost)
        (void)client_tell(w->client, 0, "%s: connection lost: %s; trying again",
                          client_url(w->client), why);
    w->told_lost = true;
}

static void on_lost(void *arg, const char *why)
{
    loop_role_assert();
    struct waiting *w = arg;

    w->ready = false;
    note_loss(w, why);
}

static void on_change(void *arg, bool up)
{
    loop_role_assert();
    struct waiting *w = arg;

    if (!up) {
        note_loss(w, client_down_why(w->client));
        return;
    }
    w->told_lost = false;
    if (w->runs)
        look_at_all(w);
}

static int time_out(const struct waiting *w)
{
    char text[JOB_NAME_TEXT_MAX];

    if (w->count > 1)
        return client_tell(w->client, WAITING_TIMED_OUT,
                           "timed out: %zu jobs are left", w->left);
    return client_tell(w->client, WAITING_TIMED_OUT, "%s: timed out",
                       job_name_format(&w->entries[0].name, text));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct waiting *w = arg;
    int64_t now_ms = clock_ms();

    (void)fd;
    (void)what;
    if (conn_is_up(client_conn(w->client)) && (w->ready || w->refused))
        w->up_at_ms = now_ms;
    if (now_ms >= w->give_up_at_ms)
        end(w, time_out(w));
    else if (now_ms - w->up_at_ms > AWAY_MAX_MS)
        end(w, client_tell(w->client, EX_UNAVAILABLE, "%s: %s",
                           client_url(w->client), w->why));
    else if (now_ms >= w->look_at_ms)
        look_at_all(w);
    set_tick(w);
}
