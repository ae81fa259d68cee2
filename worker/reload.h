#ifndef WORKER_RELOAD_H
#define WORKER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/thread.h"
#include "worker/options.h"

/*
 * The configuration of a running worker, and how another one takes its place
 * (SIGHUP): read whole on a thread of its own, and if all of it is right,
 * applied on the loop. What cannot change while the worker runs stays as it
 * was and is named. The old table of handlers lives until what it runs has
 * ended.
 */
struct agent;
struct reload;

/*
 * Takes what o holds. argv is borrowed; it is read again. Main thread, before
 * all others, and reload_free when they have ended.
 */
struct reload *reload_new(int argc, char **argv, struct options *o);
void reload_free(struct reload *r);

/* What holds now; lent until the next reload. Loop thread while it runs. */
const struct worker_config *reload_config(const struct reload *r);

/* The agent begins and ends. reload_start: false when it cannot. */
bool reload_start(struct reload *r, struct agent *a, struct errbuf *eb) ON_LOOP;
void reload_end(struct reload *r) ON_LOOP;

/* Begins to read again, or once more when that is under way. */
void reload_begin(struct reload *r) ON_LOOP;

/* Ends old tables of handlers that nothing runs any more. Now and then. */
void reload_tick(struct reload *r) ON_LOOP;

/* What the last one came to; before the first, that of the start. */
bool reload_went_well(const struct reload *r);
int64_t reload_at_ms(const struct reload *r); /* wall clock */

/* handlers_stop for all tables; no run is under way. Main thread. */
void reload_stop_handlers(struct reload *r) MAY_BLOCK;

#endif
