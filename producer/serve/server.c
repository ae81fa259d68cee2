/*
 * Server: the port, and how much of us each connection may have.
 *
 * evhttp parses and writes. It bounds the size of what comes, but not the
 * number of connections nor the time that one may take byte by byte. So each
 * connection's bufferevent is made here, and a link kept beside it (link.c).
 * The links of a state are a list, who has been in it longest first, so that
 * one timer finds those whose time is over, whatever their number.
 *
 * Thread: event loop only.
 */
#include "producer/serve/server_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
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

enum {
    BACKLOG = 511,
    NO_FD_REST_MS = 1000,
    REST_MS = 20,            /* without accepting, after one too many */
    EVICT_IDLE_MS = 1000,    /* who has been idle for so long makes room */
    LINGER_MS = 1000,        /* for a refused client to read why */
    WRITTEN_MIN = 64 * 1024, /* of an answer, within --request-timeout */
    SWEEP_MIN_MS = 5,
    SWEEP_MAX_MS = 250
};

/* For on_accept_error, whose argument is evhttp's. */
static struct server *the_server;

static struct bufferevent *on_accept(struct event_base *base, void *arg);
static void on_accept_error(struct evconnlistener *port, void *arg);
static void on_rested(evutil_socket_t fd, short what, void *arg);
static void on_soon(evutil_socket_t fd, short what, void *arg);
static void on_sweep(evutil_socket_t fd, short what, void *arg);

/* ---- birth and death ---- */

static void set_limits(struct server *v)
{
    const struct options *o = v->serve->o;
    /* Behind ours, which come first (link.c). */
    evhttp_set_max_headers_size(v->http, (ev_ssize_t)o->max_headers + 1);
    evhttp_set_max_body_size(v->http, (ev_ssize_t)o->max_bytes);
    /* All, since evhttp says 501 for what it is not to know, and we 405. */
    evhttp_set_allowed_methods(
        v->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                     EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                     EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_default_content_type(v->http, NULL);
    evhttp_set_bevcb(v->http, on_accept, v);
    evhttp_set_gencb(v->http, link_on_request, v);
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
    for (int i = 0; i < LINK_STATES; i++)
        TAILQ_INIT(&v->links[i]);
    address_of(fd, v->address);
    v->http = evhttp_new(s->base);
    v->soon = event_new(s->base, -1, 0, on_soon, v);
    v->sweep = event_new(s->base, -1, EV_PERSIST, on_sweep, v);
    if (!give_port(v, fd) || v->soon == NULL || v->sweep == NULL) {
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
    while ((l = TAILQ_FIRST(&v->links[LINK_IDLE])) != NULL)
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
    if (v->soon != NULL)
        event_free(v->soon);
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

/* Whether there is room for one more: who has long been idle makes some. */
static bool has_room(struct server *v) ON_LOOP
{
    struct link *idle = TAILQ_FIRST(&v->links[LINK_IDLE]);
    if (v->count < v->serve->max_connections)
        return true;
    if (idle == NULL || idle->since_ms > clock_ms() - EVICT_IDLE_MS)
        return false;
    link_drop(idle);
    return v->count < v->serve->max_connections;
}

/*
 * A new connection; evhttp puts its socket into the returned bufferevent. One
 * too many is told so, and others of its kind wait a little: a flood must not
 * keep the loop accepting.
 */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    bool room = has_room(v);
    struct bufferevent *bev =
        bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL)
        return NULL;
    struct link *l = link_new(v, bev);
    l->unwanted = !room;
    if (!room)
        rest(v, REST_MS);
    event_active(v->soon, 0, 0);
    return bev;
}

/* What could not be done inside a callback of evhttp. */
static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    struct link *l;
    (void)fd;
    (void)what;
    while ((l = TAILQ_FIRST(&v->links[LINK_NEW])) != NULL)
        link_born(l);
    while ((l = TAILQ_FIRST(&v->links[LINK_FAULTY])) != NULL)
        link_mend(l);
    while ((l = TAILQ_FIRST(&v->links[LINK_NEXT])) != NULL)
        link_next(l);
}

void server_let_go(struct server *v, size_t n)
{
    v->held -= n;
}

/* ---- time ---- */

/* The one that has been in state since deadline_ms or longer, or NULL. */
static struct link *late(const struct server *v, enum link_state state,
                         int64_t deadline_ms)
{
    struct link *l = TAILQ_FIRST(&v->links[state]);
    return l != NULL && l->since_ms <= deadline_ms ? l : NULL;
}

/* A client that reads its answer may go on, if slowly. */
static void judge_reader(struct link *l) ON_LOOP
{
    size_t left = evbuffer_get_length(bufferevent_get_output(l->bev));
    if (l->left - left < WRITTEN_MIN) {
        link_drop(l);
        return;
    }
    l->left = left;
    link_move(l, LINK_WRITING);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct server *v = arg;
    const struct options *o = v->serve->o;
    int64_t now = clock_ms();
    struct link *l;
    (void)fd;
    (void)what;
    while ((l = late(v, LINK_IDLE, now - o->idle_timeout_ms)) != NULL)
        link_drop(l);
    while ((l = late(v, LINK_READING, now - o->request_timeout_ms)) != NULL)
        link_refuse(l, 408, "timeout", "not complete within --request-timeout");
    while ((l = late(v, LINK_WRITING, now - o->request_timeout_ms)) != NULL)
        judge_reader(l);
    while ((l = late(v, LINK_REFUSED, now - LINGER_MS)) != NULL)
        link_drop(l);
}
