/*
 * Listen: the worker's HTTP endpoint.
 *
 * evhttp parses and answers. It bounds the size of what comes, but neither
 * the number of connections nor the time that one may take byte by byte, and
 * it does not tell when one has ended that never became a request. So each
 * connection's bufferevent is made here and a reference to it kept: evhttp
 * has let go of it when it has taken its callbacks off. The socket is closed
 * with the last reference (BEV_OPT_CLOSE_ON_FREE), so its number cannot have
 * become another's when the time is up and it is shut down here.
 *
 *     accepted ──request──► answered ──► closed
 *        └──10 s, or one too many──► shut down; evhttp sees the end
 *
 * Every answer ends its connection: what may follow in it is not read.
 *
 * Thread: event loop only.
 */
#include "worker/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/prom.h"
#include "worker/health.h"
#include "worker/lane.h"
#include "worker/metrics.h"
#include "worker/watchdog.h"

enum {
    CLIENTS_MAX = 32,
    BACKLOG = 64,
    REQUEST_MS = 10000, /* from accept to the last byte of the answer */
    REST_MS = 20,       /* without accepting, after one too many */
    NO_FD_REST_MS = 1000,
    LET_GO_MS = 1000, /* within which evhttp sees that a socket is shut */
    HEADER_MAX = 8 * 1024,
    BODY_MAX = 1024,       /* read, so that a 405 arrives, and ignored */
    UNREAD_MAX = 16 * 1024 /* more than evhttp takes before it complains */
};

struct client {
    struct client *next;
    struct listen *listen;
    struct bufferevent *bev; /* a reference: evhttp has the other */
    struct event *timer;     /* owned */
};

struct listen {
    struct agent *agent;         /* borrowed */
    struct evhttp *http;         /* owned, with its listener */
    struct evconnlistener *port; /* of http */
    struct client *clients;      /* owned */
    unsigned client_count;
    struct health health;
    struct tally runs;
};

static struct bufferevent *on_accept(struct event_base *base, void *arg);
static void on_accept_error(struct evconnlistener *port, void *arg);
static void on_rested(evutil_socket_t fd, short what, void *arg);
static void on_time_up(evutil_socket_t fd, short what, void *arg);
static void on_request(struct evhttp_request *req, void *arg);
static void on_close(struct evhttp_connection *conn, void *arg);

/* ---- the address ---- */

int listen_parse(const char *text, struct address *ret, struct errbuf *eb)
{
    if (strlen(text) > LISTEN_MAX_LEN)
        return errbuf_set(eb, ERR_INVALID, "an address of more than %d bytes",
                          LISTEN_MAX_LEN);
    int rc = address_parse(text, ret, eb);
    if (rc == 0 && (ret->fd >= 0 || ret->sa.ss_family == AF_UNIX))
        return errbuf_set(eb, ERR_INVALID, "\"%s\" is no address with a port",
                          text);
    return rc;
}

static void log_address(int fd)
{
    char text[ADDRESS_TEXT_MAX];
    address_of(fd, text);
    LOG_INFO("listen", F_STR("addr", text));
}

/* ---- birth and death ---- */

static void set_limits(struct listen *l)
{
    evhttp_set_max_headers_size(l->http, HEADER_MAX);
    evhttp_set_max_body_size(l->http, BODY_MAX);
    /* All, since evhttp says 501 for what it is not to know, and we 405. */
    evhttp_set_allowed_methods(
        l->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                     EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                     EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_bevcb(l->http, on_accept, l);
    evhttp_set_gencb(l->http, on_request, l);
}

struct listen *listen_start(struct agent *a, struct errbuf *eb)
{
    const char *text = a->cfg->listen;
    struct address at;
    if (listen_parse(text, &at, eb) != 0) {
        (void)errbuf_wrap(eb, ERR_INVALID, "listen");
        return NULL;
    }
    int fd = address_listen(&at, BACKLOG);
    if (fd < 0) {
        (void)errbuf_set(eb, ERR_SYSTEM, "listen at %s: %s", text,
                         strerror(errno));
        return NULL;
    }
    struct listen *l = mem_new(sizeof(*l));
    l->agent = a;
    l->http = evhttp_new(a->base);
    l->port = evconnlistener_new(a->base, NULL, NULL,
                                 LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE,
                                 0, fd);
    if (l->port == NULL)
        (void)close(fd);
    if (l->http == NULL || l->port == NULL ||
        evhttp_bind_listener(l->http, l->port) == NULL) {
        if (l->port != NULL)
            evconnlistener_free(l->port);
        (void)errbuf_set(eb, ERR_NOMEM, "listen at %s: %s", text,
                         err_str(ERR_NOMEM));
        listen_free(l);
        return NULL;
    }
    evconnlistener_set_error_cb(l->port, on_accept_error);
    set_limits(l);
    log_address(fd);
    return l;
}

static void forget(struct client *c) ON_LOOP;

void listen_free(struct listen *l)
{
    if (l == NULL)
        return;
    if (l->http != NULL)
        evhttp_free(l->http);
    while (l->clients != NULL)
        forget(l->clients);
    health_done(&l->health);
    tally_done(&l->runs);
    free(l);
}

/* ---- connections ---- */

static void forget(struct client *c)
{
    struct client **p = &c->listen->clients;
    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    c->listen->client_count--;
    event_free(c->timer);
    (void)bufferevent_decref(c->bev);
    free(c);
}

/* evhttp always has a callback for errors on what is its own. */
static bool let_go(const struct client *c)
{
    bufferevent_event_cb on_event;
    bufferevent_getcb(c->bev, NULL, NULL, &on_event, NULL);
    return on_event == NULL;
}

static void forget_ended(struct listen *l) ON_LOOP;

static void forget_ended(struct listen *l)
{
    struct client *next;
    for (struct client *c = l->clients; c != NULL; c = next) {
        next = c->next;
        if (let_go(c))
            forget(c);
    }
}

/* Accepts nothing for a while; those who knock wait in the backlog. */
static void rest(struct evconnlistener *port, int64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    if (event_base_once(evconnlistener_get_base(port), -1, EV_TIMEOUT,
                        on_rested, port, &tv) == 0)
        (void)evconnlistener_disable(port);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(arg);
}

/* No descriptor is free, say: the port stays readable and would spin. */
static void on_accept_error(struct evconnlistener *port, void *arg)
{
    loop_role_assert();
    (void)arg;
    LOG_WARN("accept", F_STR("error", strerror(errno)),
             F_STR("so", "trying again in a second"));
    rest(port, NO_FD_REST_MS);
}

/*
 * A new connection; evhttp puts its socket into the returned bufferevent. One
 * too many is shut down in the next turn, before anything of it is read, and
 * others of its kind wait a little: a flood must not keep the loop accepting.
 */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    loop_role_assert();
    struct listen *l = arg;
    struct bufferevent *bev =
        bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL)
        return NULL;
    forget_ended(l);
    struct client *c = mem_new(sizeof(*c));
    bool full = l->client_count >= CLIENTS_MAX;
    *c = (struct client){.next = l->clients, .listen = l, .bev = bev};
    c->timer = event_new(base, -1, 0, on_time_up, c);
    bufferevent_incref(bev);
    /* evhttp goes on reading, and keeps what it reads, while it writes. */
    bufferevent_setwatermark(bev, EV_READ, 0, UNREAD_MAX);
    l->clients = c;
    l->client_count++;
    timer_in(c->timer, full ? 0 : REQUEST_MS);
    if (full)
        rest(l->port, REST_MS);
    return bev;
}

static void on_time_up(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct client *c = arg;
    (void)fd;
    (void)what;
    if (let_go(c)) {
        forget(c);
        return;
    }
    (void)shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
    timer_in(c->timer, LET_GO_MS);
}

static void on_close(struct evhttp_connection *conn, void *arg)
{
    loop_role_assert();
    (void)conn;
    forget(arg);
}

/* ---- what is said ---- */

void listen_note(struct listen *l, const struct delivery *d)
{
    if (l != NULL && d->handler != NULL)
        tally_note(&l->runs, handler_pattern(d->handler), &d->outcome);
    /* What an old table ran says nothing of the handlers that are now. */
    if (l != NULL && d->handlers == l->agent->cfg->handlers)
        health_note(&l->health, d);
}

void listen_forget_handlers(struct listen *l)
{
    if (l != NULL)
        health_done(&l->health);
}

/* Each writes its body and returns the status. */
static int write_live(struct listen *l, struct buf *out)
{
    loop_role_assert();
    const char *queue = watchdog_lacks(l->agent->watchdog);
    if (queue != NULL) {
        buf_printf(out, "queue %s: jobs wait and none comes\n", queue);
        return 503;
    }
    buf_str(out, "alive\n");
    return 200;
}

static int write_ready(struct listen *l, struct buf *out)
{
    loop_role_assert();
    if (!health_ready(&l->health, l->agent, out))
        return 503;
    buf_str(out, "ready\n");
    return 200;
}

static int write_metrics(struct listen *l, struct buf *out)
{
    loop_role_assert();
    metrics_write(l->agent, l->health.broken_count, &l->runs, out);
    return 200;
}

struct route {
    const char *path, *content_type;
    int (*write)(struct listen *l, struct buf *out);
};

#define PLAIN "text/plain; charset=utf-8"
static const struct route routes[] = {
    {"/livez", PLAIN, write_live},
    {"/readyz", PLAIN, write_ready},
    {"/metrics", PROM_CONTENT_TYPE, write_metrics},
};

static const struct route *find_route(struct evhttp_request *req)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (path != NULL && strcmp(routes[i].path, path) == 0)
            return &routes[i];
    }
    return NULL;
}

static const char *reason(int status)
{
    return status == 200   ? "OK"
           : status == 404 ? "Not Found"
           : status == 405 ? "Method Not Allowed"
                           : "Service Unavailable";
}

static void answer(struct evhttp_request *req, int status, const char *type,
                   const struct buf *body)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    char length[24];
    (void)snprintf(length, sizeof(length), "%zu", body->len);
    (void)evhttp_add_header(h, "Content-Type", type);
    (void)evhttp_add_header(h, "Content-Length", length);
    (void)evhttp_add_header(h, "X-Content-Type-Options", "nosniff");
    (void)evhttp_add_header(h, "Cache-Control", "no-store");
    (void)evhttp_add_header(h, "Connection", "close");
    if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
        (void)evbuffer_add(out, body->data, body->len);
    evhttp_send_reply(req, status, reason(status), NULL);
}

static void watch_close(struct listen *l, struct evhttp_request *req)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(req);
    for (struct client *c = l->clients; c != NULL; c = c->next) {
        if (c->bev == evhttp_connection_get_bufferevent(conn)) {
            evhttp_connection_set_closecb(conn, on_close, c);
            return;
        }
    }
}

static void on_request(struct evhttp_request *req, void *arg)
{
    loop_role_assert();
    struct listen *l = arg;
    const struct route *r = find_route(req);
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    struct buf body = {0};
    int status;
    watch_close(l, req);
    if (r == NULL) {
        buf_str(&body, "not found: there are /livez, /readyz, /metrics\n");
        status = 404;
    } else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Allow",
                                "GET, HEAD");
        buf_str(&body, "only GET and HEAD\n");
        status = 405;
    } else {
        status = r->write(l, &body);
    }
    answer(req, status, r != NULL && status != 405 ? r->content_type : PLAIN,
           &body);
    buf_done(&body);
}
