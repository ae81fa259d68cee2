/*
 * Server: connections, and how much of us each may have.
 *
 * evhttp parses and writes. It bounds the size of what comes, but not the
 * number of connections nor the time that one may take byte by byte. So each
 * connection's bufferevent is made here, and a link kept beside it:
 *
 *     IDLE ─first byte─► READING ─last byte─► HANDLING ─answer─► WRITING
 *       ▲                                                           │
 *       └──────────────────── written ──────────────────────────────┘
 *
 * The links of a state are a list, who has been in it longest first, so that
 * one timer finds those whose time is over, whatever their number. evhttp hands
 * its connection to the bufferevent's callbacks as their argument; from there
 * it is taken, once, before anything can have come (on_born).
 *
 * Thread: event loop only.
 */
#include "producer/serve/server.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "producer/serve/metrics.h"
#include "producer/serve/request_priv.h"

enum {
    BACKLOG = 511,
    NO_FD_REST_MS = 1000,
    SWEEP_MIN_MS = 5,
    SWEEP_MAX_MS = 500,
    DATE_MAX = 32
};

enum link_state { NEW, IDLE, READING, HANDLING, WRITING, STATES };

TAILQ_HEAD(links, link);

struct link {
    TAILQ_ENTRY(link) entry; /* in the list of its state */
    enum link_state state;
    int64_t since_ms; /* in this state */
    struct server *server;
    struct bufferevent *bev;         /* a reference: evhttp has the other */
    struct evhttp_connection *evcon; /* evhttp's */
    struct request *request;         /* being handled, or NULL */
    int fd;                          /* of bev */
};

struct server {
    struct serve *serve;               /* borrowed */
    struct evhttp *http;               /* owned, with its listener */
    struct evhttp_bound_socket *bound; /* of http */
    struct evconnlistener *port;       /* of bound; NULL: closed */
    struct event *born;                /* owned: there are NEW links */
    struct event *sweep;               /* owned */
    struct links links[STATES];
    struct link **by_fd; /* owned */
    size_t by_fd_cap;
    int64_t count; /* links */
    bool stopping;
    char address[ADDRESS_TEXT_MAX];
    char date[DATE_MAX];
    time_t date_s; /* of date */
};

/* For on_accept_error, whose argument is evhttp's. */
static struct server *the_server;

static struct bufferevent *on_accept(struct event_base *base, void *arg);
static void on_accept_error(struct evconnlistener *port, void *arg);
static void on_rested(evutil_socket_t fd, short what, void *arg);
static void on_born(evutil_socket_t fd, short what, void *arg);
static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info,
                     void *arg);
static void on_request(struct evhttp_request *req, void *arg);
static void on_close(struct evhttp_connection *evcon, void *arg);
static void on_sweep(evutil_socket_t fd, short what, void *arg);

/* ---- birth and death ---- */

static void set_limits(struct server *v)
{
    const struct options *o = v->serve->o;
    evhttp_set_max_headers_size(v->http, (ev_ssize_t)o->max_headers);
    evhttp_set_max_body_size(v->http, (ev_ssize_t)o->max_bytes);
    /* All, since evhttp says 501 for what it is not to know, and we 405. */
    evhttp_set_allowed_methods(
        v->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                     EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                     EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_default_content_type(v->http, NULL);
    evhttp_set_bevcb(v->http, on_accept, v);
    evhttp_set_gencb(v->http, on_request, v);
}

static void start_sweeping(struct server *v)
{
    const struct options *o = v->serve->o;
    int64_t ms = o->request_timeout_ms < o->idle_timeout_ms
                     ? o->request_timeout_ms
                     : o->idle_timeout_ms;
    ms /= 4;
    ms = ms < SWEEP_MIN_MS ? SWEEP_MIN_MS : ms;
    ms = ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : ms;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(v->sweep, &tv);
}

/* The listening socket becomes evhttp's. */
static bool give_port(struct server *v, int fd)
{
    v->port = evconnlistener_new(v->serve->base, NULL, NULL,
                                 LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE,
                                 0, fd);
    if (v->port == NULL) {
        (void)close(fd);
        return false;
    }
    if (v->http != NULL)
        v->bound = evhttp_bind_listener(v->http, v->port);
    if (v->bound != NULL)
        return true;
    evconnlistener_free(v->port);
    v->port = NULL;
    return false;
}

struct server *server_new(struct serve *s, const struct address *at,
                          struct errbuf *eb)
{
    int fd = address_listen(at, BACKLOG);
    if (fd < 0) {
        (void)errbuf_set(eb, ERR_SYSTEM, "listen at %s: %s", s->o->listen,
                         strerror(errno));
        return NULL;
    }
    struct server *v = mem_new(sizeof(*v));
    v->serve = s;
    the_server = v;
    for (int i = 0; i < STATES; i++)
        TAILQ_INIT(&v->links[i]);
    address_of(fd, v->address);
    v->http = evhttp_new(s->base);
    v->born = event_new(s->base, -1, 0, on_born, v);
    v->sweep = event_new(s->base, -1, EV_PERSIST, on_sweep, v);
    if (!give_port(v, fd) || v->born == NULL || v->sweep == NULL) {
        (void)errbuf_set(eb, ERR_NOMEM, "listen at %s: %s", s->o->listen,
                         err_str(ERR_NOMEM));
        server_free(v);
        return NULL;
    }
    evconnlistener_set_error_cb(v->port, on_accept_error);
    set_limits(v);
    start_sweeping(v);
    return v;
}

void server_address(const struct server *v, char out[ADDRESS_TEXT_MAX])
{
    memcpy(out, v->address, ADDRESS_TEXT_MAX);
}

static void close_port(struct server *v)
{
    if (v->port == NULL)
        return;
    evhttp_del_accept_socket(v->http, v->bound);
    v->port = NULL;
    if (strncmp(v->address, "unix:", 5) == 0)
        (void)unlink(v->address + 5);
}

void server_stop(struct server *v)
{
    struct link *l;
    v->stopping = true;
    close_port(v);
    while ((l = TAILQ_FIRST(&v->links[IDLE])) != NULL)
        link_drop(l);
}

bool server_is_stopping(const struct server *v)
{
    return v->stopping;
}

bool server_is_empty(const struct server *v)
{
    return v->count == 0;
}

void server_free(struct server *v)
{
    if (v == NULL)
        return;
    if (v->http != NULL) {
        close_port(v);
        evhttp_free(v->http);
    }
    assert(v->count == 0);
    if (v->born != NULL)
        event_free(v->born);
    if (v->sweep != NULL)
        event_free(v->sweep);
    free((void *)v->by_fd);
    free(v);
}

const char *server_date(struct server *v)
{
    time_t now = (time_t)(v->serve->now_ms / 1000);
    struct tm tm;
    if (now != v->date_s) {
        v->date_s = now;
        (void)gmtime_r(&now, &tm);
        (void)strftime(v->date, sizeof(v->date), "%a, %d %b %Y %H:%M:%S GMT",
                       &tm);
    }
    return v->date;
}

/* ---- accepting ---- */

/* Accepts nothing for a while; those who knock wait in the backlog. */
static void rest(struct server *v, int64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    if (v->port != NULL &&
        event_base_once(v->serve->base, -1, EV_TIMEOUT, on_rested, v, &tv) == 0)
        (void)evconnlistener_disable(v->port);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    (void)fd;
    (void)what;
    if (v->port != NULL)
        (void)evconnlistener_enable(v->port);
}

/* No descriptor is free, say: the port stays readable and would spin. */
static void on_accept_error(struct evconnlistener *port, void *arg)
{
    loop_role_assert();
    struct server *v = the_server;
    (void)port; /* arg is of evhttp */
    (void)arg;
    LOG_WARN("accept", F_STR("error", strerror(errno)),
             F_STR("so", "trying again in a second"));
    rest(v, NO_FD_REST_MS);
}

static void move(struct link *l, enum link_state state)
{
    struct server *v = l->server;
    TAILQ_REMOVE(&v->links[l->state], l, entry);
    l->state = state;
    l->since_ms = clock_ms();
    TAILQ_INSERT_TAIL(&v->links[state], l, entry);
}

static void count(struct server *v, int n) ON_LOOP
{
    v->count += n;
    serve_metrics_connections(v->serve->metrics, v->count);
}

static void forget(struct link *l) ON_LOOP
{
    struct server *v = l->server;
    TAILQ_REMOVE(&v->links[l->state], l, entry);
    if (l->fd >= 0)
        v->by_fd[l->fd] = NULL;
    count(v, -1);
    (void)evbuffer_remove_cb(bufferevent_get_input(l->bev), on_input, l);
    (void)bufferevent_decref(l->bev);
    free(l);
}

/* A new connection; evhttp puts its socket into the returned bufferevent. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    struct bufferevent *bev =
        bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL)
        return NULL;
    struct link *l = mem_new(sizeof(*l));
    *l = (struct link){.server = v, .bev = bev, .fd = -1, .state = NEW};
    bufferevent_incref(bev);
    (void)evbuffer_add_cb(bufferevent_get_input(bev), on_input, l);
    TAILQ_INSERT_TAIL(&v->links[NEW], l, entry);
    count(v, 1);
    event_active(v->born, 0, 0);
    return bev;
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

/* evhttp has made its part of new connections, or could not. */
static void on_born(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    struct link *l;
    int one = 1;
    (void)fd;
    (void)what;
    while ((l = TAILQ_FIRST(&v->links[NEW])) != NULL) {
        bufferevent_event_cb on_event;
        void *evcon;
        bufferevent_getcb(l->bev, NULL, NULL, &on_event, &evcon);
        if (on_event == NULL || bufferevent_getfd(l->bev) < 0) {
            forget(l);
            continue;
        }
        l->evcon = evcon;
        name_fd(v, l);
        evhttp_connection_set_closecb(l->evcon, on_close, l);
        (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        move(l, IDLE);
    }
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    struct request *r = l->request;
    struct serve *s = l->server->serve;
    (void)evcon;
    forget(l);
    if (r != NULL)
        request_lost(r);
    if (server_is_stopping(s->server) && server_is_empty(s->server))
        (void)event_base_loopbreak(s->base);
}

/* ---- a request ---- */

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info,
                     void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    (void)in;
    if (info->n_added > 0 && l->state == IDLE)
        move(l, READING);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    struct link *l = v->by_fd[fd];
    assert(l != NULL && l->evcon == evcon);
    move(l, HANDLING);
    v->serve->now_ms = clock_wall_ms();
    request_begin(v->serve, l, req);
}

static void on_written(struct evhttp_request *req, void *arg)
{
    loop_role_assert();
    struct link *l = arg;
    (void)req;
    move(l, evbuffer_get_length(bufferevent_get_input(l->bev)) > 0 ? READING
                                                                   : IDLE);
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

void link_begin(struct link *l, struct request *r)
{
    l->request = r;
}

void link_answering(struct link *l, struct evhttp_request *req)
{
    l->request = NULL;
    move(l, WRITING);
    evhttp_request_set_on_complete_cb(req, on_written, l);
}

void link_drop(struct link *l)
{
    bufferevent_event_cb on_event;
    void *evcon;
    /* evhttp leaves a request that is being handled to who handles it. */
    bufferevent_getcb(l->bev, NULL, NULL, &on_event, &evcon);
    on_event(l->bev, BEV_EVENT_READING | BEV_EVENT_EOF, evcon);
}

/* ---- time ---- */

static void drop_late(struct server *v, enum link_state state,
                      int64_t deadline_ms) ON_LOOP
{
    struct link *l;
    while ((l = TAILQ_FIRST(&v->links[state])) != NULL &&
           l->since_ms <= deadline_ms)
        link_drop(l);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    const struct options *o = v->serve->o;
    int64_t now = clock_ms();
    (void)fd;
    (void)what;
    drop_late(v, IDLE, now - o->idle_timeout_ms);
    drop_late(v, READING, now - o->request_timeout_ms);
    drop_late(v, WRITING, now - o->request_timeout_ms);
}
