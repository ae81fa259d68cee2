#ifndef WORKER_LISTEN_H
#define WORKER_LISTEN_H

#include "common/base/address.h"
#include "common/base/err.h"
#include "common/base/thread.h"
#include "worker/delivery.h"

/*
 * The worker's HTTP endpoint: GET and HEAD of
 *
 *     /livez    200 while the event loop turns: that it answers is the proof;
 *               503 while progress is lacking (worker/watchdog.h)
 *     /readyz   200, or 503 and a line for each reason: not running (quiet,
 *               draining), a lane that is not bound to its queue, a handler
 *               that could not be started when it was last tried
 *     /metrics  numbers for Prometheus (worker/metrics.h)
 *
 * It needs no password and shows no payload, id or error text. An address
 * that others can reach is used only when it is written out.
 *
 * One request a connection. Strangers may hold up to 32 connections for 10 s
 * each and nothing else.
 */
struct listen;
struct agent;

/* Parses an address with a port (common/base/address.h): no path, no fd. */
int listen_parse(const char *text, struct address *ret, struct errbuf *eb);

/*
 * Answers requests at a->cfg->listen from now on, and logs the address.
 * Returns owned, or NULL with a text that names the address.
 */
struct listen *listen_start(struct agent *a, struct errbuf *eb) ON_LOOP;

/* Takes note of how the run of a handler went. l may be NULL. */
void listen_note(struct listen *l, const struct delivery *d) ON_LOOP;

/* There is another table of handlers. l may be NULL. */
void listen_forget_handlers(struct listen *l) ON_LOOP;

/* Ends it, after the loop and before its base. NULL is a no-op. */
void listen_free(struct listen *l) ON_LOOP;

#endif
