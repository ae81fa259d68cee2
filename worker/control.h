#ifndef WORKER_CONTROL_H
#define WORKER_CONTROL_H

#include "common/base/thread.h"

/*
 * The worker's ear for the control channels of its queues (docs/PROTOCOL.md):
 * one connection, whatever the number of lanes. Loop thread only.
 */
struct agent;
struct control;
struct lane;

/* Begins to connect. Returns owned; lanes that the agent has are heard. */
struct control *control_start(struct agent *a) ON_LOOP;
/* NULL is a no-op. */
void control_free(struct control *c) ON_LOOP;

/* Hears a lane that the agent got later. NULL: nobody listens, a no-op. */
void control_add(struct control *c, const struct lane *lane) ON_LOOP;

#endif
