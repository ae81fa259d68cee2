#ifndef PRODUCER_SERVE_SERVE_H
#define PRODUCER_SERVE_SERVE_H

#include <stdint.h>

#include "common/base/thread.h"
#include "common/redis/conn.h"
#include "producer/options.h"

/*
 * belt serve: the HTTP side of Belt (docs/HTTP.md, DESIGN.md beside this file).
 * One loop with one connection to Redis, on which all pushes travel, and a few
 * side threads with a connection each for what has to look around.
 */
struct event_base;
struct server;
struct side;
struct tokens;
struct pushes;
struct waits;
struct serve_metrics;

struct serve {
    const struct options *o; /* borrowed; the limits are in it */
    const char *ns;          /* of the keys; borrowed from o */
    struct url url;          /* of Redis, for connections of one's own */
    struct event_base *base; /* owned, as all of these */
    struct conn *conn;
    struct server *server; /* server.h: connections, requests, stop */
    struct side *side;     /* side.h: side threads */
    struct tokens *tokens; /* tokens.h; NULL: nobody needs one */
    struct pushes *pushes; /* push.h: what is to be pushed this turn */
    struct waits *waits;   /* wait.h: who waits for the end of a job */
    struct serve_metrics *metrics;
    int64_t max_connections; /* as o says, or as descriptors allow */
    bool guard_host;         /* only names of this host are asked for */
    int64_t now_ms; /* wall clock when the last request came; the loop's */
    char away[256]; /* why Redis is away, for people; "": it is not known */
};

/* Serves until a signal says stop. Returns an exit status that was told. */
int serve_run(const struct options *o);

/* Whether Redis answers; if not a is a 503 that says so, with Retry-After. */
struct answer;
bool serve_has_redis(const struct serve *s, struct answer *a) ON_LOOP;

#endif
