/*
 * Session: one client's connection and the one to Redis that goes with it.
 *
 *     from ─read─► in ─(ripe after the delay)─judge─► out ─write─► to
 *
 * Bytes stay in `in` until they are due and it is known what is to happen to
 * the command or reply that they are part of; what is in `out` was passed on
 * and is written even if the connection is cut behind it. Replies belong to
 * commands in their order, so what is to happen to a reply waits in a queue
 * with one entry for each command that was passed on.
 *
 * A command that is to run late stays in `in`: its session loses its client
 * and is held until it is told to run.
 *
 * Thread: the proxy's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/faults/proxy_hub.h"
#include "tests/faults/proxy_sock.h"

enum {
    READ_BYTES = 256 * 1024,
    OUT_HIGH = 1024 * 1024, /* no more is read until this is written */
    PIECES = 64             /* of split writes in one turn */
};

enum direction { C2S, S2C };

/* Bytes that were read in one go, and when they are due. */
struct batch {
    TAILQ_ENTRY(batch) link;
    int64_t due_ms;
    size_t len;
};

TAILQ_HEAD(batches, batch);

struct pipe {
    struct session *session; /* borrowed */
    enum direction direction;
    int from, to; /* of the session */
    struct event *readable, *writable, *ripen;
    bool reading, writing; /* whether the events are on */
    bool eof;

    struct evbuffer *in, *out;
    struct batches unripe;
    size_t ripe;      /* bytes at the front of in that are due */
    size_t scanned;   /* of those, known and kept back */
    struct resp resp; /* of the value that begins in */
};

struct awaited {
    STAILQ_ENTRY(awaited) link;
    struct verdict verdict;
};

struct session {
    LIST_ENTRY(session) link;
    struct link *on; /* borrowed */
    int client, server;
    struct pipe pipes[2];
    STAILQ_HEAD(, awaited) awaited; /* one for each reply to come */
    bool judged;                    /* the command that is being read */
    struct verdict verdict;         /* on it */
    char name[COMMAND_NAME_MAX];

    bool ending;  /* closes when all that was passed on is written */
    bool broken;  /* closes now */
    bool held;    /* has lost its client, and has a command to run */
    bool running; /* and was told to run it */
    bool answered;
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_ripe(evutil_socket_t fd, short what, void *arg);

/* ---- birth and death ---- */

static void pipe_init(struct session *s, enum direction d, int from, int to)
{
    struct event_base *base = s->on->hub->base;
    struct pipe *p = &s->pipes[d];
    *p = (struct pipe){.session = s, .direction = d, .from = from, .to = to};
    p->in = evbuffer_new();
    p->out = evbuffer_new();
    p->readable = event_new(base, from, EV_READ | EV_PERSIST, on_readable, p);
    p->writable = event_new(base, to, EV_WRITE | EV_PERSIST, on_writable, p);
    p->ripen = event_new(base, -1, 0, on_ripe, p);
    TAILQ_INIT(&p->unripe);
}

static void pipe_done(struct pipe *p)
{
    event_free(p->readable);
    event_free(p->writable);
    event_free(p->ripen);
    evbuffer_free(p->in);
    evbuffer_free(p->out);
    while (!TAILQ_EMPTY(&p->unripe)) {
        struct batch *b = TAILQ_FIRST(&p->unripe);
        TAILQ_REMOVE(&p->unripe, b, link);
        free(b);
    }
}

void session_begin(struct link *l, int client)
{
    int server = sock_connect(l->hub->upstream, SOCK_NONBLOCK);
    if (server < 0) {
        (void)close(client);
        return;
    }
    struct session *s = mem_new(sizeof(*s));
    s->on = l;
    s->client = client;
    s->server = server;
    STAILQ_INIT(&s->awaited);
    pipe_init(s, C2S, client, server);
    pipe_init(s, S2C, server, client);
    LIST_INSERT_HEAD(&l->hub->sessions, s, link);
    session_turn(s);
}

/* Their rules wait for the next one. */
static void await_nothing(struct session *s)
{
    while (!STAILQ_EMPTY(&s->awaited)) {
        struct awaited *a = STAILQ_FIRST(&s->awaited);
        STAILQ_REMOVE_HEAD(&s->awaited, link);
        rules_missed(&a->verdict);
        free(a);
    }
    rules_missed(&s->verdict);
    s->verdict = (struct verdict){.point = POINT_NONE};
}

void session_free(struct session *s)
{
    struct hub *hub = s->on->hub;
    bool ran = s->running;
    await_nothing(s);
    LIST_REMOVE(s, link);
    pipe_done(&s->pipes[C2S]);
    pipe_done(&s->pipes[S2C]);
    if (s->client >= 0)
        (void)close(s->client);
    (void)close(s->server);
    free(s);
    if (ran)
        hub_late_ran(hub);
}

const struct link *session_link(const struct session *s)
{
    return s->on;
}

struct session *session_next(struct session *s)
{
    return LIST_NEXT(s, link);
}

bool session_is_held(const struct session *s)
{
    return s->held;
}

/* ---- judging ---- */

/* Passes on the first n bytes of what is kept back. */
static void pass(struct pipe *p, size_t n)
{
    (void)evbuffer_remove_buffer(p->in, p->out, n);
    p->ripe -= n;
    p->scanned -= n;
}

/* Scans on; true when there was something to scan. */
static bool scan(struct pipe *p)
{
    struct evbuffer_ptr at;
    struct evbuffer_iovec v;
    if (p->scanned == p->ripe || p->resp.done ||
        evbuffer_ptr_set(p->in, &at, p->scanned, EVBUFFER_PTR_SET) != 0 ||
        evbuffer_peek(p->in, -1, &at, &v, 1) < 1)
        return false;
    size_t n = p->ripe - p->scanned;
    p->scanned +=
        resp_scan(&p->resp, v.iov_base, n < v.iov_len ? n : v.iov_len);
    p->session->broken = p->session->broken || p->resp.bad;
    return true;
}

static void cut(struct session *s)
{
    rules_fired(s->on->hub->rules, s->on->number, &s->verdict);
    s->verdict = (struct verdict){.point = POINT_NONE};
    s->judged = false;
    s->ending = true;
}

/* Its client goes, and the command stays. */
static void hold(struct session *s)
{
    struct pipe *back = &s->pipes[S2C];
    rules_fired(s->on->hub->rules, s->on->number, &s->verdict);
    s->verdict = (struct verdict){.point = POINT_NONE};
    s->judged = false;
    s->held = true;
    (void)evbuffer_write(back->out, s->client);
    (void)evbuffer_drain(back->out, evbuffer_get_length(back->out));
    (void)event_del(s->pipes[C2S].readable);
    (void)event_del(back->writable);
    s->pipes[C2S].reading = back->writing = false;
    (void)close(s->client);
    s->client = -1;
    await_nothing(s);
}

/* The command goes on to Redis, and so there will be a reply. */
static void pass_command(struct session *s)
{
    struct awaited *a = mem_new(sizeof(*a));
    a->verdict = s->verdict;
    s->verdict = (struct verdict){.point = POINT_NONE};
    STAILQ_INSERT_TAIL(&s->awaited, a, link);
    rules_passed(s->on->hub->rules, s->on->number, s->name);
}

void session_forget(struct session *s)
{
    struct awaited *a;
    STAILQ_FOREACH(a, &s->awaited, link)
    {
        a->verdict = (struct verdict){.point = POINT_NONE};
    }
    if (s->judged && s->verdict.point == POINT_LATE) {
        s->verdict = (struct verdict){.point = POINT_NONE};
        pass_command(s);
    }
}

static void judge_command(struct session *s)
{
    struct rules *rules = s->on->hub->rules;
    command_name(&s->pipes[C2S].resp, s->name);
    s->verdict = rules_judge(rules, s->on->number, s->name);
    s->judged = true;
    if (s->verdict.point == POINT_BEFORE)
        cut(s);
    else if (s->verdict.point != POINT_LATE)
        pass_command(s);
}

static void judge_c2s(struct session *s)
{
    struct pipe *p = &s->pipes[C2S];
    while (!s->ending && !s->broken && !s->held && scan(p)) {
        if (!s->judged && resp_words_known(&p->resp))
            judge_command(s);
        if (s->ending)
            return;
        bool late = s->verdict.point == POINT_LATE;
        if (s->judged && !late)
            pass(p, p->scanned);
        if (!p->resp.done)
            continue;
        if (late) {
            hold(s);
            return;
        }
        p->resp = (struct resp){0};
        s->judged = false;
    }
}

/* Passes on what is to come of a reply that is all there, and cuts. */
static void cut_reply(struct session *s, struct verdict v)
{
    struct pipe *p = &s->pipes[S2C];
    size_t n = v.point == POINT_AFTER ? 0
               : v.bytes < 0          ? p->scanned / 2
                                      : (size_t)v.bytes;
    pass(p, n);
    rules_fired(s->on->hub->rules, s->on->number, &v);
    s->ending = true;
}

static void judge_s2c(struct session *s)
{
    struct pipe *p = &s->pipes[S2C];
    while (!s->ending && !s->broken && scan(p)) {
        struct awaited *a = STAILQ_FIRST(&s->awaited);
        bool whole = a == NULL || a->verdict.point == POINT_NONE;
        if (whole)
            pass(p, p->scanned);
        if (!p->resp.done)
            continue;
        p->resp = (struct resp){0};
        if (a == NULL) /* said unasked */
            continue;
        struct verdict v = a->verdict;
        STAILQ_REMOVE_HEAD(&s->awaited, link);
        free(a);
        if (whole)
            continue;
        if (v.point == POINT_MIDDLE && v.bytes >= (int64_t)p->scanned) {
            rules_over(&v); /* it has no such place */
            pass(p, p->scanned);
        } else {
            cut_reply(s, v);
        }
    }
}

/* What comes back has no reader any more; only its beginning is looked at. */
static void judge_late_reply(struct session *s)
{
    struct pipe *p = &s->pipes[S2C];
    p->ripe = evbuffer_get_length(p->in);
    while (s->running && !s->answered && scan(p)) {
        s->answered = p->resp.done;
        s->on->fenced +=
            s->answered && strcmp(p->resp.words[0].text, "FENCED") == 0;
    }
    (void)evbuffer_drain(p->in, p->ripe);
    p->ripe = p->scanned = 0;
}

static void judge(struct pipe *p)
{
    struct session *s = p->session;
    if (p->direction == C2S)
        judge_c2s(s);
    else if (s->held)
        judge_late_reply(s);
    else
        judge_s2c(s);
    /* The end comes behind what was read before it. */
    if (p->eof && p->ripe == evbuffer_get_length(p->in) &&
        !(s->held && p->direction == C2S))
        s->ending = true;
}

void session_run_late(struct session *s)
{
    struct pipe *p = &s->pipes[C2S];
    s->running = true;
    s->pipes[S2C].resp = (struct resp){0};
    rules_passed(s->on->hub->rules, s->on->number, s->name);
    /* With what was behind it in the stream: Redis would have read that. */
    (void)evbuffer_add_buffer(p->out, p->in);
    session_turn(s);
}

/* ---- carrying ---- */

static void ripen(struct pipe *p)
{
    int64_t now = clock_ms();
    struct batch *b;
    while ((b = TAILQ_FIRST(&p->unripe)) != NULL && b->due_ms <= now) {
        p->ripe += b->len;
        TAILQ_REMOVE(&p->unripe, b, link);
        free(b);
    }
    if (b != NULL) {
        int64_t ms = b->due_ms - now;
        struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                             .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
        (void)event_add(p->ripen, &tv);
    }
}

static void came(struct pipe *p, size_t n)
{
    int64_t delay = p->session->on->hub->delay_ms[p->direction];
    if (delay == 0 && TAILQ_EMPTY(&p->unripe)) {
        p->ripe += n;
        return;
    }
    struct batch *b = mem_new(sizeof(*b));
    const struct batch *last = TAILQ_LAST(&p->unripe, batches);
    b->due_ms = clock_ms() + delay;
    if (last != NULL && b->due_ms < last->due_ms)
        b->due_ms = last->due_ms; /* a shorter delay overtakes nothing */
    b->len = n;
    TAILQ_INSERT_TAIL(&p->unripe, b, link);
    ripen(p);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct pipe *p = arg;
    struct session *s = p->session;
    (void)what;
    int n = evbuffer_read(p->in, fd, READ_BYTES);
    if (n > 0)
        came(p, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        p->eof = true;
    judge(p);
    session_turn(s);
}

static void on_ripe(evutil_socket_t fd, short what, void *arg)
{
    struct pipe *p = arg;
    (void)fd;
    (void)what;
    ripen(p);
    judge(p);
    session_turn(p->session);
}

/* Writes what it can; false when nobody will take it. */
static bool write_out(struct pipe *p)
{
    size_t split = p->session->on->hub->split;
    for (unsigned i = 0; i < PIECES && evbuffer_get_length(p->out) > 0; i++) {
        int n = evbuffer_write_atmost(p->out, p->to,
                                      split > 0 ? (ev_ssize_t)split : -1);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
    }
    return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct pipe *p = arg;
    struct session *s = p->session;
    (void)fd;
    (void)what;
    if (!write_out(p)) {
        (void)evbuffer_drain(p->out, evbuffer_get_length(p->out));
        s->broken = true;
    }
    session_turn(s);
}

/* ---- turns ---- */

static void set_event(struct event *e, bool on, bool *is_on)
{
    if (on && !*is_on)
        (void)event_add(e, NULL);
    else if (!on && *is_on)
        (void)event_del(e);
    *is_on = on;
}

static void turn_pipe(struct pipe *p)
{
    const struct session *s = p->session;
    bool stalled = s->on->stalled[p->direction] && !s->held;
    bool no_source = p->direction == C2S && s->held;
    bool no_sink = p->direction == S2C && s->held;
    size_t waiting = evbuffer_get_length(p->out);
    set_event(p->readable,
              !stalled && !no_source && !s->ending && !p->eof &&
                  waiting < OUT_HIGH,
              &p->reading);
    set_event(p->writable, !stalled && !no_sink && waiting > 0, &p->writing);
}

void session_turn(struct session *s)
{
    bool stalled = s->on->stalled[C2S] || s->on->stalled[S2C];
    size_t to_redis = evbuffer_get_length(s->pipes[C2S].out);
    size_t to_client = evbuffer_get_length(s->pipes[S2C].out);
    bool ended = s->broken || (s->ending && to_redis + to_client == 0);
    /* Half-open: whatever happened to it, the other side does not know. */
    if (ended && (!stalled || s->held)) {
        session_free(s);
        return;
    }
    if (s->running && to_redis == 0)
        (void)shutdown(s->server, SHUT_WR); /* it answers, and closes */
    turn_pipe(&s->pipes[C2S]);
    turn_pipe(&s->pipes[S2C]);
}
