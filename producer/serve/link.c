/*
 * Link: what happens in one connection.
 *
 *     IDLE ─first byte─► READING ─last byte─► HANDLING ─answer─► WRITING
 *       ▲                  │ └────► FAULTY                          │
 *       │                  ▼          │                             │
 *       │               REFUSED ◄─────┘                             │
 *       └──────────────────── written ──────────────────────────────┘
 *
 * evhttp hands its connection to the bufferevent's callbacks as their argument;
 * from there it is taken, once, before anything can have come (link_born).
 *
 * What comes is looked at before evhttp gets it (on_input). A request that is
 * not to be read any further is REFUSED: the callbacks are then ours, the
 * problem is written, and what the client still sends is thrown away for a
 * while, so that a reset does not overtake the answer. What evhttp itself finds
 * wrong it answers in HTML; nothing of that has been written before the turn
 * is over, so it is taken back and said as a problem (FAULTY, link_mend).
 *
 * While a request is handled or answered nothing is read: those behind it wait
 * in the kernel.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "producer/serve/head.h"
#include "producer/serve/metrics.h"
#include "producer/serve/request_priv.h"
#include "producer/serve/server_priv.h"
#include "producer/serve/tokens.h"

/* Of bodies that are larger the token is looked at before they come. */
enum { EARLY_TOKEN_BYTES = 16 * 1024 };

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info,
                     void *arg);
static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info,
                      void *arg);
static void on_close(struct evhttp_connection *evcon, void *arg);
static void on_written(struct evhttp_request *req, void *arg);
static void on_refused_read(struct bufferevent *bev, void *arg);
static void on_refused_write(struct bufferevent *bev, void *arg);
static void on_refused_event(struct bufferevent *bev, short what, void *arg);

/* ---- birth and death ---- */

static void count(struct server *v, int n) ON_LOOP
{
    v->count += n;
    serve_metrics_connections(v->serve->metrics, v->count);
}

struct link *link_new(struct server *v, struct bufferevent *bev)
{
    struct link *l = mem_new(sizeof(*l));
    *l = (struct link){.server = v, .bev = bev, .fd = -1, .state = LINK_NEW};
    l->since_ms = clock_ms();
    bufferevent_incref(bev);
    (void)evbuffer_add_cb(bufferevent_get_input(bev), on_input, l);
    (void)evbuffer_add_cb(bufferevent_get_output(bev), on_output, l);
    TAILQ_INSERT_TAIL(&v->links[LINK_NEW], l, entry);
    count(v, 1);
    return l;
}

void link_move(struct link *l, enum link_state state)
{
    struct server *v = l->server;
    TAILQ_REMOVE(&v->links[l->state], l, entry);
    l->state = state;
    l->since_ms = clock_ms();
    TAILQ_INSERT_TAIL(&v->links[state], l, entry);
}

static void let_go(struct link *l)
{
    l->server->held -= l->held;
    l->held = 0;
}

static void forget(struct link *l) ON_LOOP
{
    struct server *v = l->server;
    TAILQ_REMOVE(&v->links[l->state], l, entry);
    if (l->fd >= 0)
        v->by_fd[l->fd] = NULL;
    count(v, -1);
    let_go(l);
    (void)evbuffer_remove_cb(bufferevent_get_input(l->bev), on_input, l);
    (void)evbuffer_remove_cb(bufferevent_get_output(l->bev), on_output, l);
    (void)bufferevent_decref(l->bev);
    buf_done(&l->part);
    free(l);
}

static void name_fd(struct server *v, struct link *l)
{
    size_t fd = (size_t)bufferevent_getfd(l->bev);
    if (fd >= v->by_fd_cap) {
        size_t cap = fd + 64;
        v->by_fd = mem_resize((void *)v->by_fd, cap * sizeof(struct link *));
        memset((void *)(v->by_fd + v->by_fd_cap), 0,
               (cap - v->by_fd_cap) * sizeof(struct link *));
        v->by_fd_cap = cap;
    }
    l->fd = (int)fd;
    v->by_fd[fd] = l;
}

void link_born(struct link *l)
{
    bufferevent_event_cb on_event;
    void *evcon;
    int one = 1;
    bufferevent_getcb(l->bev, NULL, NULL, &on_event, &evcon);
    if (on_event == NULL || bufferevent_getfd(l->bev) < 0) {
        forget(l);
        return;
    }
    l->evcon = evcon;
    name_fd(l->server, l);
    evhttp_connection_set_closecb(l->evcon, on_close, l);
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    link_move(l, LINK_IDLE);
    if (l->server->stopping)
        link_drop(l);
    else if (l->unwanted)
        link_refuse(l, 503, "overloaded", "too many connections");
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    struct request *r = l->request;
    struct server *v = l->server;
    (void)evcon;
    if (r != NULL) {
        request_lost(r, l->held); /* its body stays as long as it does */
        l->held = 0;
    }
    forget(l);
    if (v->stopping && v->count == 0)
        (void)event_base_loopbreak(v->serve->base);
}

void link_drop(struct link *l)
{
    bufferevent_event_cb on_event;
    void *evcon;
    if (l->request == NULL) {
        evhttp_connection_free(l->evcon);
        return;
    }
    /* That leaves a request that is being handled to who handles it. */
    bufferevent_getcb(l->bev, NULL, NULL, &on_event, &evcon);
    on_event(l->bev, BEV_EVENT_READING | BEV_EVENT_EOF, evcon);
}

int link_fd(const struct link *l)
{
    return l->fd;
}

const char *link_peer(const struct link *l)
{
    char *address;
    ev_uint16_t port;
    evhttp_connection_get_peer(l->evcon, &address, &port);
    return address;
}

/* ---- what comes ---- */

/* Whether a body that is not read yet would be read for nobody. */
static bool lacks_token(const struct link *l, const struct head *h)
{
    const struct tokens *tokens = l->server->serve->tokens;
    char header[512] = "";
    if (tokens == NULL || (!h->chunked && h->body_len <= EARLY_TOKEN_BYTES))
        return false;
    if (h->token == NULL || h->token_len >= sizeof(header))
        return true;
    memcpy(header, h->token, h->token_len);
    return tokens_find(tokens, header) == NULL;
}

static void take_head(struct link *l, const struct head *h) ON_LOOP
{
    const struct options *o = l->server->serve->o;
    int64_t most = h->bulk ? o->max_bulk : o->max_bytes;
    most = most < o->max_pending ? most : o->max_pending;
    l->has_head = true;
    l->chunked = h->chunked;
    buf_clear(&l->part);
    if (h->len > (size_t)o->max_headers)
        link_refuse(l, 431, "headers-too-large", "more than --max-headers");
    else if (h->status != 0)
        link_refuse(l, h->status, h->kind, h->why);
    else if (h->body_len > most)
        link_refuse(l, 413, "body-too-large",
                    h->bulk ? "more than --max-bulk" : "more than --max-body");
    else if (lacks_token(l, h))
        link_refuse(l, 401, "unauthorized",
                    "Authorization: Bearer TOKEN is missing, or not known");
    else if (h->body_len > 0 || h->chunked) /* the limit is by its type */
        evhttp_connection_set_max_body_size(l->evcon, (ev_ssize_t)most);
}

/* The last n bytes of in are new, and more of a head. */
static void look_at_head(struct link *l, struct evbuffer *in, size_t n) ON_LOOP
{
    struct evbuffer_iovec v;
    struct evbuffer_ptr at;
    struct head h;
    size_t len = evbuffer_get_length(in), from = l->part.len;
    if (from == 0 && n == len && evbuffer_peek(in, -1, NULL, &v, 1) == 1 &&
        head_read(v.iov_base, v.iov_len, 0, &h)) {
        take_head(l, &h);
        return;
    }
    buf_reserve(&l->part, n);
    if (evbuffer_ptr_set(in, &at, len - n, EVBUFFER_PTR_SET) != 0)
        return;
    l->part.len +=
        (size_t)evbuffer_copyout_from(in, &at, l->part.data + from, n);
    if (head_read(l->part.data, l->part.len, from, &h))
        take_head(l, &h);
    else if (memchr(l->part.data + from, '\0', l->part.len - from))
        link_refuse(l, 400, "bad-request", "a NUL in the headers");
    else if (l->part.len > (size_t)l->server->serve->o->max_headers)
        link_refuse(l, 431, "headers-too-large", "more than --max-headers");
}

static void take_input(struct link *l, struct evbuffer *in, size_t n) ON_LOOP
{
    struct server *v = l->server;
    link_hold(l, n);
    if (!l->has_head)
        look_at_head(l, in, n);
    if (l->state == LINK_READING && v->held > (size_t)v->serve->o->max_pending)
        link_refuse(l, 503, "overloaded", "too many bytes are held");
}

static void begin_reading(struct link *l) ON_LOOP
{
    l->has_head = l->chunked = false;
    buf_clear(&l->part);
    link_move(l, LINK_READING);
}

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info,
                     void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    if (info->n_added == 0)
        return;
    if (l->state == LINK_IDLE)
        begin_reading(l);
    if (l->state == LINK_READING)
        take_input(l, in, info->n_added);
}

/* Of the answer that is to be written. The buffer is frozen once something has
 * been, and is not read then. */
static int status_written(struct link *l)
{
    char text[] = "HTTP/1.1 000";
    struct evbuffer *out = bufferevent_get_output(l->bev);
    (void)evbuffer_unfreeze(out, 1);
    (void)evbuffer_copyout(out, text, sizeof(text) - 1);
    (void)evbuffer_freeze(out, 1);
    return (int)strtol(text + 9, NULL, 10);
}

/* While a request is read only evhttp writes. */
static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info,
                      void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    (void)out;
    if (info->n_added == 0 || l->state != LINK_READING)
        return;
    if (status_written(l) == 100)
        return; /* it asks for the body */
    link_move(l, LINK_FAULTY);
    event_active(l->server->soon, 0, 0);
}

/* ---- what is refused ---- */

static void drain_output(struct link *l)
{
    struct evbuffer *out = bufferevent_get_output(l->bev);
    (void)evbuffer_unfreeze(out, 1);
    (void)evbuffer_drain(out, evbuffer_get_length(out));
    (void)evbuffer_freeze(out, 1);
}

void link_mend(struct link *l)
{
    int status = status_written(l);
    drain_output(l);
    switch (status) {
    case 413:
        link_refuse(l, 413, "body-too-large",
                    "the body is too large, or its chunks are wrong");
        break;
    case 417:
        link_refuse(l, 417, "expectation-failed",
                    "Expect: 100-continue can be met");
        break;
    case 0:
    case 501:
        link_refuse(l, 501, "method-unknown", "the method is not known");
        break;
    default:
        link_refuse(l, 400, "bad-request", "the request cannot be understood");
    }
}

void link_refuse(struct link *l, int status, const char *kind, const char *why)
{
    struct answer a = {0};
    struct buf text = {0};
    answer_problem(&a, status, kind, "%s", why);
    if (status == 503)
        answer_header(&a, "Retry-After", "1");
    if (status == 401)
        answer_header(&a, "WWW-Authenticate", "Bearer realm=\"belt\"");
    request_refusal(l->server->serve, l, &a, &text);
    link_move(l, LINK_REFUSED);
    if (!l->chunked) /* of chunks evhttp keeps what it has */
        let_go(l);
    bufferevent_setcb(l->bev, on_refused_read, on_refused_write,
                      on_refused_event, l);
    (void)evbuffer_add(bufferevent_get_output(l->bev), text.data, text.len);
    (void)bufferevent_enable(l->bev, EV_READ | EV_WRITE);
    buf_done(&text);
    answer_done(&a);
}

/* The argument may be evhttp's: it calls this one for what it had postponed. */
static void on_refused_read(struct bufferevent *bev, void *arg)
{
    struct evbuffer *in = bufferevent_get_input(bev);
    (void)arg;
    (void)evbuffer_drain(in, evbuffer_get_length(in));
}

static void on_refused_write(struct bufferevent *bev, void *arg)
{
    (void)arg;
    (void)shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_refused_event(struct bufferevent *bev, short what, void *arg)
{
    loop_role_assert();
    (void)bev;
    (void)what;
    link_drop(arg);
}

/* ---- a request ---- */

void link_on_request(struct evhttp_request *req, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    struct link *l = v->by_fd[fd];
    assert(l != NULL && l->evcon == evcon);
    if (!l->has_head) { /* it saw an end where there was none */
        link_refuse(l, 400, "bad-request", "the headers have no end");
        return;
    }
    link_move(l, LINK_HANDLING);
    v->serve->now_ms = clock_wall_ms();
    request_begin(v->serve, l, req);
}

void link_begin(struct link *l, struct request *r)
{
    l->request = r;
}

bool link_may_hold(const struct link *l, size_t n)
{
    const struct server *v = l->server;
    return v->held + n <= (size_t)v->serve->o->max_pending;
}

void link_hold(struct link *l, size_t n)
{
    l->held += n;
    l->server->held += n;
}

void link_answer(struct link *l, struct evhttp_request *req, int status,
                 const char *reason, size_t n)
{
    l->request = NULL;
    link_hold(l, n);
    link_move(l, LINK_WRITING);
    evhttp_request_set_on_complete_cb(req, on_written, l);
    evhttp_send_reply(req, status, reason, NULL);
    (void)bufferevent_disable(l->bev, EV_READ);
    l->left = evbuffer_get_length(bufferevent_get_output(l->bev));
}

static void on_written(struct evhttp_request *req, void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    struct evbuffer *in = bufferevent_get_input(l->bev);
    size_t n = evbuffer_get_length(in);
    (void)req;
    let_go(l);
    if (n == 0 && !l->server->stopping) {
        link_move(l, LINK_IDLE);
        return;
    }
    /* evhttp is not done with it, and would undo what is done here. */
    link_move(l, LINK_NEXT);
    event_active(l->server->soon, 0, 0);
}

void link_next(struct link *l)
{
    struct evbuffer *in = bufferevent_get_input(l->bev);
    size_t n = evbuffer_get_length(in);
    link_move(l, LINK_IDLE);
    if (n == 0 && l->server->stopping) {
        link_drop(l);
    } else if (n > 0) {
        begin_reading(l);
        take_input(l, in, n);
    }
}
