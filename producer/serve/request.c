/*
 * Request: from its last byte to its answer.
 *
 *     begun ─► checked ─► handled, by its route ─► answered
 *                └─ what is wrong with it ──────────────┘
 *
 * The link and evhttp's connection may go at any time; evhttp then leaves its
 * request to us (request_lost), and frees it when it is answered into the void.
 * What the handlers read was made before they began, so that side threads may
 * read it while the loop loses the link.
 *
 * Headers that every answer has are one text: evhttp copies and formats each
 * header that it is given, and would look up the date each time.
 *
 * Thread: event loop, but for what request.h lends.
 */
#include "producer/serve/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/serve/metrics.h"
#include "producer/serve/request_check.h"
#include "producer/serve/request_priv.h"
#include "producer/serve/side.h"
#include "producer/serve/tokens.h"

enum {
    SMALL_BODY = 1024,       /* is copied; larger ones change owners */
    SMALL_ANSWER = 16 * 1024 /* is always answered */
};

static void on_peer_closed(evutil_socket_t fd, short what, void *arg);
static void on_body_sent(const void *data, size_t len, void *arg);

/* ---- what is lent ---- */

struct serve *request_serve(const struct request *r)
{
    return r->serve;
}

const struct route *request_route(const struct request *r)
{
    return r->route;
}

const char *request_param(const struct request *r, const char *name)
{
    size_t n = strlen(name);
    for (unsigned i = 0; i < r->match.count; i++) {
        if (r->match.params[i].name_len == n &&
            memcmp(r->match.params[i].name, name, n) == 0)
            return r->params[i];
    }
    return NULL;
}

const char *request_query(const struct request *r, const char *name)
{
    for (unsigned i = 0; i < r->query_count; i++) {
        if (strcmp(r->query[i].name, name) == 0)
            return r->query[i].value;
    }
    return NULL;
}

static void say_unknown_name(const char *name, const char *const *known,
                             struct answer *a)
{
    struct buf list = {0};
    for (; *known; known++)
        buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", *known);
    answer_problem(a, 400, "invalid-query", "%s: not a name of this query%s%s",
                   name, list.len > 0 ? ", which may have " : "",
                   list.len > 0 ? list.data : "");
    buf_done(&list);
}

bool request_check_query(const struct request *r, const char *const *names,
                         struct answer *a)
{
    for (unsigned i = 0; i < r->query_count; i++) {
        const char *name = r->query[i].name;
        const char *const *known = names;
        while (*known && strcmp(*known, name) != 0)
            known++;
        if (!*known) {
            say_unknown_name(name, names, a);
            return false;
        }
        if (request_query(r, name) != r->query[i].value) {
            answer_problem(a, 400, "invalid-query", "%s: given twice", name);
            return false;
        }
    }
    return true;
}

const char *request_header(const struct request *r, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(r->req), name);
}

void request_each_header(const struct request *r,
                         void (*cb)(void *arg, const char *name,
                                    const char *value),
                         void *arg)
{
    const struct evkeyval *h;
    TAILQ_FOREACH(h, evhttp_request_get_input_headers(r->req), next)
    {
        cb(arg, h->key, h->value);
    }
}

struct bytes request_body(const struct request *r)
{
    return r->body;
}

enum body_kind request_body_kind(const struct request *r)
{
    return r->kind;
}

const char *request_who(const struct request *r)
{
    return r->who;
}

const char *request_token_name(const struct request *r)
{
    return r->token ? r->token->name : "";
}

bool request_may_use(const struct request *r, const char *queue)
{
    return r->serve->tokens == NULL ||
           token_allows(r->token, r->route->role, queue);
}

bool request_may_use_all(const struct request *r)
{
    return r->serve->tokens == NULL ||
           (r->token != NULL && r->token->queues[0] == '\0');
}

/* ---- its beginning ---- */

static void make_id(char out[REQUEST_ID_MAX + 1])
{
    static uint64_t count, start;
    if (start == 0)
        evutil_secure_rng_get_bytes(&start, sizeof(start));
    (void)snprintf(out, REQUEST_ID_MAX + 1, "%08llx-%llx",
                   (unsigned long long)start & 0xffffffff,
                   (unsigned long long)++count);
}

/* The client's own id of the request if it is harmless, else one of ours. */
static void take_id(struct request *r)
{
    const char *given = request_header(r, "X-Request-Id");
    size_t n = given ? strlen(given) : 0;
    if (n > 0 && n <= REQUEST_ID_MAX && text_is_id(given, n))
        memcpy(r->id, given, n + 1);
    else
        make_id(r->id);
}

/* The link may go while a side thread is at it. */
static void run_aside(struct request *r) ON_LOOP
{
    (void)snprintf(r->who, sizeof(r->who), "%s",
                   r->token ? r->token->name : link_peer(r->link));
    side_run(r->serve->side, r);
}

void request_begin(struct serve *s, struct link *l, struct evhttp_request *req)
{
    struct request *r = mem_new(sizeof(*r));
    struct answer a = {0};
    r->serve = s;
    r->link = l;
    r->req = req;
    r->began_us = clock_us();
    link_begin(l, r);
    take_id(r);
    if (!request_check(r, &a))
        request_answer(r, &a);
    else if (r->route->handle)
        r->route->handle(r);
    else
        run_aside(r);
}

/* ---- its link ---- */

static void forget_gone(struct request *r)
{
    if (r->gone_event)
        event_free(r->gone_event);
    r->gone_event = NULL;
    r->gone = NULL;
}

void request_lost(struct request *r, size_t held)
{
    void (*gone)(void *arg) = r->gone;
    r->link = NULL;
    r->held = held;
    forget_gone(r);
    if (gone)
        gone(r->gone_arg);
}

static void on_peer_closed(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct request *r = arg;
    (void)fd;
    (void)what;
    link_drop(r->link);
}

/* While a request is handled nothing is read, so the end would not be seen. */
void request_on_gone(struct request *r, void (*cb)(void *arg), void *arg)
{
    forget_gone(r);
    if (!cb)
        return;
    r->gone = cb;
    r->gone_arg = arg;
    if (!r->link)
        return;
    r->gone_event = event_new(r->serve->base, link_fd(r->link), EV_CLOSED,
                              on_peer_closed, r);
    (void)event_add(r->gone_event, NULL);
}

/* ---- its answer ---- */

/* A header without the copy and the check of evhttp_add_header; takes value. */
static void put_header(struct evkeyvalq *headers, const char *name, char *value)
{
    struct evkeyval *h = mem_new(sizeof(*h));
    h->key = mem_strdup(name);
    h->value = value;
    TAILQ_INSERT_TAIL(headers, h, next);
}

#define SECURITY_HEADERS                                                       \
    "X-Content-Type-Options: nosniff\r\n"                                      \
    "Cache-Control: no-store\r\n"                                              \
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                            \
    "Referrer-Policy: no-referrer\r\n"

/* What follows "Date: ": all headers but Content-Length and Connection. */
static void write_headers(struct serve *s, const struct answer *a,
                          const char *id, struct buf *out) ON_LOOP
{
    buf_reserve(out, 512);
    buf_str(out, server_date(s->server));
    buf_str(out, "\r\n" SECURITY_HEADERS "X-Request-Id: ");
    buf_str(out, id);
    for (unsigned i = 0; i < a->header_count; i++) {
        buf_str(out, "\r\n");
        buf_str(out, a->headers[i].name);
        buf_str(out, ": ");
        buf_str(out, a->headers[i].value);
    }
    if (a->status != 204 && a->status != 304) {
        buf_str(out, "\r\nContent-Type: ");
        buf_str(out, a->content_type ? a->content_type : "application/json");
    }
}

static void put_headers(struct request *r, const struct answer *a,
                        size_t length) ON_LOOP
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(r->req);
    struct buf all = {0};
    char number[INT_TEXT_MAX];
    write_headers(r->serve, a, r->id, &all);
    put_header(out, "Date", buf_take(&all));
    if (a->status != 204 && a->status != 304) {
        text_format_int((int64_t)length, number);
        put_header(out, "Content-Length", mem_strdup(number));
    }
    if (server_is_stopping(r->serve->server))
        put_header(out, "Connection", mem_strdup("close"));
}

static void on_body_sent(const void *data, size_t len, void *arg)
{
    (void)data;
    (void)len;
    free(arg);
}

static void put_body(struct request *r, struct answer *a)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(r->req);
    size_t n = a->body.len;
    if (n == 0 || evhttp_request_get_command(r->req) == EVHTTP_REQ_HEAD)
        return;
    if (n <= SMALL_BODY) {
        (void)evbuffer_add(out, a->body.data, n);
        return;
    }
    char *data = buf_take(&a->body);
    if (evbuffer_add_reference(out, data, n, on_body_sent, data) != 0)
        free(data);
}

static bool is_health(const struct request *r)
{
    return r->route && (r->route->handle == serve_livez ||
                        r->route->handle == serve_readyz);
}

static void log_access(const struct request *r, int status, size_t length,
                       int64_t us)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->req);
    bool head = evhttp_request_get_command(r->req) == EVHTTP_REQ_HEAD;
    LOG_INFO("http", F_STR("method", head ? "HEAD" : request_method(r->req)),
             F_STR("path", uri ? evhttp_uri_get_path(uri) : ""),
             F_INT("status", status), F_INT("us", us),
             F_INT("in", (int64_t)r->body.len), F_INT("out", (int64_t)length),
             F_STR("peer", r->link ? link_peer(r->link) : "gone"),
             F_STR("token", r->token ? r->token->name : ""),
             F_STR("request", r->id));
}

static void free_request(struct request *r)
{
    forget_gone(r);
    for (unsigned i = 0; i < MATCH_PARAMS_MAX; i++)
        free(r->params[i]);
    for (unsigned i = 0; i < r->query_count; i++) {
        free(r->query[i].name);
        free(r->query[i].value);
    }
    free(r);
}

bool request_reserve(struct request *r, size_t n, struct answer *a)
{
    const struct options *o = r->serve->o;
    if (r->body.len + n > (size_t)o->max_pending) {
        answer_problem(a, 413, "body-too-large",
                       "%zu bytes, and up to %zu of the answer, are more than "
                       "--max-pending",
                       r->body.len, n);
        return false;
    }
    if (!link_may_hold(r->link, n)) {
        answer_problem(a, 503, "overloaded", "too many bytes are held");
        answer_header(a, "Retry-After", "1");
        return false;
    }
    link_hold(r->link, n);
    r->reserved = n;
    return true;
}

void request_answer(struct request *r, struct answer *a)
{
    struct serve *s = r->serve;
    if (a->status == 0)
        answer_problem(a, 500, "internal", "nothing was answered");
    if (r->link && r->reserved == 0 && a->body.len > SMALL_ANSWER &&
        !link_may_hold(r->link, a->body.len)) {
        answer_problem(a, 503, "overloaded", "too many bytes are held");
        answer_header(a, "Retry-After", "1");
    }
    size_t length = a->body.len;
    int64_t us = clock_us() - r->began_us;
    serve_metrics_count(s->metrics, r->route, a->status, us);
    if (s->o->access_log && !is_health(r))
        log_access(r, a->status, length, us);
    if (r->link) {
        put_headers(r, a, length);
        put_body(r, a);
        link_answer(r->link, r->req, a->status, answer_phrase(a->status),
                    length > r->reserved ? length - r->reserved : 0);
    } else {
        server_let_go(s->server, r->held);
        evhttp_send_reply(r->req, a->status, answer_phrase(a->status), NULL);
    }
    answer_done(a);
    free_request(r);
}

void request_refusal(struct serve *s, const struct link *l,
                     const struct answer *a, struct buf *out)
{
    char id[REQUEST_ID_MAX + 1];
    s->now_ms = clock_wall_ms();
    make_id(id);
    serve_metrics_count(s->metrics, NULL, a->status, 0);
    if (s->o->access_log)
        LOG_INFO("http.refused", F_INT("status", a->status),
                 F_STR("peer", link_peer(l)), F_STR("request", id));
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: ", a->status,
               answer_phrase(a->status));
    write_headers(s, a, id, out);
    buf_printf(out, "\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
               a->body.len);
    buf_append(out, a->body.data, a->body.len);
}
