#ifndef PRODUCER_SERVE_REQUEST_H
#define PRODUCER_SERVE_REQUEST_H

#include <stdbool.h>

#include "common/base/thread.h"
#include "common/redis/queue.h"
#include "producer/serve/answer.h"
#include "producer/serve/route.h"

/*
 * One request, from its last byte to its answer. Whoever handles it owns it and
 * answers it exactly once; its client may have gone by then, which is no
 * concern of his. What it lends stays until it is answered, and may be read in
 * any thread.
 */
struct request;
struct serve;

struct serve *request_serve(const struct request *r);
const struct route *request_route(const struct request *r);

/* The part of the path that stands for {name}, decoded; never NULL for a name
 * of the route. Of {queue} and {id} it is known that they are valid. */
const char *request_param(const struct request *r, const char *name);

/* The first value of name in the query, decoded; NULL: not there. */
const char *request_query(const struct request *r, const char *name);

/*
 * Answers with 400 (problem "invalid-query") if the query has a name that is
 * not one of these, NULL behind the last, or one twice. Returns whether it is
 * right; if not a is what to answer.
 */
bool request_check_query(const struct request *r, const char *const *names,
                         struct answer *a);

/* A header by its name, in any case of letters; NULL: not there. */
const char *request_header(const struct request *r, const char *name);
/* All of them, as they came. */
void request_each_header(const struct request *r,
                         void (*cb)(void *arg, const char *name,
                                    const char *value),
                         void *arg) ON_LOOP;

/* The body; empty, p not NULL, if there is none. */
struct bytes request_body(const struct request *r);
/* What its Content-Type says it is, one of those of the route. */
enum body_kind request_body_kind(const struct request *r);

/* Who asks, for people: the name of the token, or the address of the other
 * end. For routes with look only. */
const char *request_who(const struct request *r);
/* The name of its token; "": none is needed. */
const char *request_token_name(const struct request *r);
/* Whether the token, if tokens are needed, lets it use this queue. */
bool request_may_use(const struct request *r, const char *queue);
/* Whether it may use all of them: what is about no certain queue. */
bool request_may_use_all(const struct request *r);

/*
 * Makes sure that there is room for an answer of n bytes, before something is
 * done that has to be told. If there is none a is a 503, or a 413. On the loop,
 * as the request comes.
 */
bool request_reserve(struct request *r, size_t n, struct answer *a) ON_LOOP;

/* Answers it; takes what is in a and frees r. */
void request_answer(struct request *r, struct answer *a) ON_LOOP;

/*
 * cb is called once if its client goes before it is answered: somebody who
 * waits for something else may then give up. It has to be answered even so.
 * cb NULL: never mind any longer.
 */
void request_on_gone(struct request *r, void (*cb)(void *arg),
                     void *arg) ON_LOOP;

#endif
