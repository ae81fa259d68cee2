/*
 * Request, checked: what it asks, by whom, and whether that can be right.
 *
 * In this order: the path, the site that sent it, the parts of the path, the
 * token, the body and the query. So who has no token learns nothing of what
 * there is but the paths, which are no secret.
 *
 * Thread: event loop.
 */
#include "producer/serve/request_check.h"

#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/serve/tokens.h"

const char *request_method(struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    default:
        return "CONNECT";
    }
}

static bool take_pair(struct request *r, const char *s, size_t n,
                      struct answer *a)
{
    const char *equals = memchr(s, '=', n);
    size_t name_len = equals ? (size_t)(equals - s) : n;
    struct pair *p = &r->query[r->query_count];
    if (r->query_count == QUERY_MAX) {
        answer_problem(a, 400, "invalid-query", "more than %d names",
                       QUERY_MAX);
        return false;
    }
    p->name = percent_decode(s, name_len, true);
    p->value = equals ? percent_decode(equals + 1, n - name_len - 1, true)
                      : mem_strdup("");
    r->query_count++;
    if (p->name && p->value)
        return true;
    answer_problem(a, 400, "invalid-query",
                   "\"%.*s\": no text in UTF-8, or %% without two digits",
                   (int)n, s);
    return false;
}

static bool take_query(struct request *r, const char *query, struct answer *a)
{
    while (query && *query) {
        size_t n = strcspn(query, "&");
        if (n > 0 && !take_pair(r, query, n, a))
            return false;
        query += n + (query[n] == '&');
    }
    return true;
}

/* Decodes what stands for {names}, and knows what some must look like. */
static bool take_params(struct request *r, struct answer *a)
{
    for (unsigned i = 0; i < r->match.count; i++) {
        const char *raw = r->match.params[i].text;
        size_t n = r->match.params[i].len;
        r->params[i] = percent_decode(raw, n, false);
        if (!r->params[i]) {
            answer_problem(
                a, 400, "invalid-path",
                "\"%.*s\": no text in UTF-8, or %% without two digits", (int)n,
                raw);
            return false;
        }
    }
    const char *queue = request_param(r, "queue");
    const char *id = request_param(r, "id");
    if (queue && !text_is_name(queue, strlen(queue))) {
        answer_problem(a, 400, "invalid-path", "\"%s\" is no name of a queue",
                       queue);
        return false;
    }
    if (id && !text_is_id(id, strlen(id))) {
        answer_problem(a, 400, "invalid-path", "\"%s\" is no id of a job", id);
        return false;
    }
    return true;
}

static const struct {
    const char *name;
    enum body_kind kind;
} types[] = {
    {"application/json", BODY_JSON},
    {"application/x-ndjson", BODY_NDJSON},
    {"application/jsonl", BODY_NDJSON},
    {"application/cloudevents+json", BODY_CLOUDEVENT},
};

static enum body_kind kind_of(const char *type)
{
    size_t n = strcspn(type, "; \t");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strlen(types[i].name) == n &&
            strncasecmp(types[i].name, type, n) == 0)
            return types[i].kind;
    }
    return BODY_NONE;
}

static bool take_body(struct request *r, struct answer *a)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(r->req);
    const char *type = request_header(r, "Content-Type");
    r->body.len = evbuffer_get_length(in);
    r->body.p = r->body.len > 0 ? (const char *)evbuffer_pullup(in, -1) : "";
    if (r->route->bodies == BODY_NONE)
        return true;
    if (r->route->bodies & BODY_ANY) {
        r->kind = BODY_ANY;
        return true;
    }
    r->kind = type ? kind_of(type) : BODY_NONE;
    if (!type && r->body.len == 0)
        r->kind = BODY_JSON;
    if (r->kind & r->route->bodies)
        return true;
    struct buf wanted = {0};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (r->route->bodies & types[i].kind)
            buf_printf(&wanted, "%s%s", wanted.len > 0 ? ", " : "",
                       types[i].name);
    }
    answer_problem(a, 415, "unsupported-media-type",
                   "Content-Type is %.100s; it takes %s",
                   type ? type : "missing", wanted.data);
    answer_header(a, "Accept-Post", "%s", wanted.data);
    buf_done(&wanted);
    return false;
}

static bool check_token(struct request *r, struct answer *a)
{
    const char *header = request_header(r, "Authorization");
    const char *queue = request_param(r, "queue");
    if (!r->serve->tokens || r->route->role == ROLE_NONE)
        return true;
    r->token = tokens_find(r->serve->tokens, header);
    if (!r->token) {
        answer_problem(a, 401, "unauthorized", "%s",
                       header ? "the token is not known"
                              : "Authorization: Bearer TOKEN is missing");
        answer_header(a, "WWW-Authenticate", "Bearer realm=\"belt\"");
        return false;
    }
    if (token_allows(r->token, r->route->role, queue))
        return true;
    answer_problem(a, 403, "forbidden", "the token %s does not allow this%s%s",
                   r->token->name, queue ? " with queue " : "",
                   queue ? queue : "");
    return false;
}

/* ---- who asks ---- */

static bool is_look(const struct request *r)
{
    return strcmp(r->route->method, "GET") == 0;
}

/* Whether a page of another site made a browser send it. */
static bool is_cross_site(const struct request *r)
{
    const char *site = request_header(r, "Sec-Fetch-Site");
    const char *origin = request_header(r, "Origin");
    const char *host = request_header(r, "Host");
    if (site)
        return strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
    if (!origin)
        return false;
    const char *at = strstr(origin, "://");
    return !at || !host || strcasecmp(at + 3, host) != 0;
}

/* A name that is not ours may have been bound to our address by a page that
 * wants to be of our site. */
static bool is_own_host(const char *host)
{
    static const char local[] = "localhost", below[] = ".localhost";
    char name[64];
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (host[0] == '[')
        return true;
    if (n >= sizeof(name))
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    return strcasecmp(name, local) == 0 ||
           name[strspn(name, "0123456789.")] == '\0' ||
           (n > sizeof(below) - 1 &&
            strcasecmp(name + n - (sizeof(below) - 1), below) == 0);
}

static bool check_site(struct request *r, struct answer *a)
{
    const char *host = request_header(r, "Host");
    if (!is_look(r) && is_cross_site(r)) {
        answer_problem(a, 403, "cross-site", "a page of another site sent it");
        return false;
    }
    if (!r->serve->guard_host || !host || is_own_host(host))
        return true;
    answer_problem(a, 421, "misdirected",
                   "without tokens Host has to be localhost or an address, or "
                   "the server started with --insecure");
    return false;
}

bool request_check(struct request *r, struct answer *a)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    match_path(request_method(r->req), path ? path : "", &r->match);
    r->route = r->match.route;
    if (!r->match.known) {
        answer_problem(a, 404, "not-found",
                       "there is no such path; GET /v1/openapi.json has all");
        return false;
    }
    if (!r->route) {
        struct buf methods = {0};
        match_methods(path, &methods);
        answer_problem(a, 405, "method-not-allowed", "it takes %s",
                       methods.data);
        answer_header(a, "Allow", "%s", methods.data);
        buf_done(&methods);
        return false;
    }
    return check_site(r, a) && take_params(r, a) && check_token(r, a) &&
           take_body(r, a) && take_query(r, evhttp_uri_get_query(uri), a);
}
