#ifndef PRODUCER_SERVE_SERVER_H
#define PRODUCER_SERVE_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/address.h"
#include "common/base/err.h"
#include "common/base/thread.h"
#include "producer/serve/serve.h"

/*
 * Connections of HTTP, and how much of us each may have: evhttp parses and
 * writes, and here is what it lacks. A link is one of them. It holds at most
 * one request at a time; those that came behind it wait in its buffers.
 */
struct server;
struct link;
struct request;
struct evhttp_request;

/* Listens. Returns owned, or NULL with a text that names the address. */
struct server *server_new(struct serve *s, const struct address *at,
                          struct errbuf *eb) ON_LOOP;

/* Where it listens, with the port that it got. */
void server_address(const struct server *v, char out[ADDRESS_TEXT_MAX]);

/* Closes the port and what is idle; from now on each answer is the last of its
 * connection. */
void server_stop(struct server *v) ON_LOOP;
/* Any thread. */
bool server_is_stopping(const struct server *v);
/* Whether no connection is left. */
bool server_is_empty(const struct server *v);

/* Requests must have been answered. NULL is a no-op. */
void server_free(struct server *v) ON_LOOP;

/* ---- for request.c ---- */

/* The value of a Date header, lent for this turn. */
const char *server_date(struct server *v) ON_LOOP;

int link_fd(const struct link *l);
/* The numeric address of the other end, lent as long as l is there. */
const char *link_peer(const struct link *l);

/* r is handled from now on, and told with request_lost if l goes. */
void link_begin(struct link *l, struct request *r) ON_LOOP;
/* Whether n bytes more can be held until they are written. */
bool link_may_hold(const struct link *l, size_t n) ON_LOOP;
/* Holds them until its next answer is written. */
void link_hold(struct link *l, size_t n) ON_LOOP;
/* Writes what req was given; of its body n bytes are not held yet. */
void link_answer(struct link *l, struct evhttp_request *req, int status,
                 const char *reason, size_t n) ON_LOOP;
/* Closes it at once; its request is told. */
void link_drop(struct link *l) ON_LOOP;
/* What a request that lost its link has held is free again. */
void server_let_go(struct server *v, size_t n) ON_LOOP;

#endif
