#ifndef PRODUCER_SERVE_REQUEST_PRIV_H
#define PRODUCER_SERVE_REQUEST_PRIV_H

#include "producer/serve/request.h"
#include "producer/serve/server.h"

/*
 * How a request comes about: between server.c, route.c and request.c only.
 */
struct evhttp_request;

/* Begins what evhttp has read to its end. Returns owned by whoever is to
 * answer it; it may have been answered before this returns. */
void request_begin(struct serve *s, struct link *l,
                   struct evhttp_request *req) ON_LOOP;

/* The link is no more. */
void request_lost(struct request *r) ON_LOOP;

#endif
