#ifndef PRODUCER_SERVE_REQUEST_CHECK_H
#define PRODUCER_SERVE_REQUEST_CHECK_H

#include "producer/serve/match.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"

/*
 * What a request is made of, and whether it may be handled: between request.c
 * and request_check.c only. Loop thread.
 */
struct event;
struct evhttp_request;
struct link;
struct token;

enum { QUERY_MAX = 32, REQUEST_ID_MAX = 64, WHO_MAX = 80 };

struct pair {
    char *name, *value; /* owned */
};

struct request {
    struct serve *serve;        /* borrowed */
    struct link *link;          /* borrowed; NULL: gone */
    struct evhttp_request *req; /* evhttp's until it is answered */
    const struct route *route;  /* NULL: none is for it */
    const struct token *token;  /* NULL: none */
    int64_t began_us;
    struct bytes body;
    enum body_kind kind;
    struct match match;
    char *params[MATCH_PARAMS_MAX]; /* owned */
    struct pair query[QUERY_MAX];
    unsigned query_count;
    char id[REQUEST_ID_MAX + 1];
    char who[WHO_MAX]; /* of a request that goes to a side thread */
    void (*gone)(void *arg);
    void *gone_arg;
    struct event *gone_event; /* owned */
    size_t held;              /* bytes that its link left to it */
    size_t reserved;          /* bytes of its answer that are held already */
};

/* The method that routes have for that of req: HEAD is GET. */
const char *request_method(struct evhttp_request *req);

/*
 * Finds the route of a request that came to its end, decodes what it asks and
 * takes its body. Returns whether it may be handled; if not a says why.
 */
bool request_check(struct request *r, struct answer *a) ON_LOOP;

#endif
