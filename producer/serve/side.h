#ifndef PRODUCER_SERVE_SIDE_H
#define PRODUCER_SERVE_SIDE_H

#include "common/base/thread.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"

/*
 * Side threads: requests that ask Redis more than one thing, or look through
 * many jobs, are answered there, by the same code as the commands of belt, a
 * connection for each thread. They come through a bounded channel; when it is
 * full, or Redis is away, a request is answered with 503 at once.
 */
struct side;

/* Returns owned side threads, as many as can be started, or NULL: none can.
 * None of them connects before it has to. */
struct side *side_new(struct serve *s) ON_LOOP;
/* Whether a thread is at something. */
bool side_is_busy(const struct side *side) ON_LOOP;
/* Waits for what is under way; the rest is answered with 503. */
void side_free(struct side *side) ON_LOOP;

/* Takes a request of a route with look, and has it answered. */
void side_run(struct side *side, struct request *r) ON_LOOP;

/* The same, by this in place of its route's: a loop's handler may find that it
 * cannot answer alone. */
void side_look(struct side *side, struct request *r,
               void (*look)(struct client *c, const struct request *r,
                            struct answer *a)) ON_LOOP;

#endif
