#ifndef PRODUCER_SERVE_REQUEST_PRIV_H
#define PRODUCER_SERVE_REQUEST_PRIV_H

#include "producer/serve/request.h"
#include "producer/serve/server.h"

/*
 * How a request comes about: between link.c and request.c only.
 */
struct evhttp_request;

/* Begins what evhttp has read to its end. Returns owned by whoever is to
 * answer it; it may have been answered before this returns. */
void request_begin(struct serve *s, struct link *l,
                   struct evhttp_request *req) ON_LOOP;

/* The link is no more; of its bytes r holds so many. */
void request_lost(struct request *r, size_t held) ON_LOOP;

/* Writes the whole answer to what was never a request, which is noted. */
void request_refusal(struct serve *s, const struct link *l,
                     const struct answer *a, struct buf *out) ON_LOOP;

#endif
