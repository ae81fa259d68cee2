#ifndef PRODUCER_SERVE_PULSE_H
#define PRODUCER_SERVE_PULSE_H

#include "common/base/thread.h"

/*
 * What the service manager is told of belt serve (common/base/notify.h): READY
 * when it listens, whether Redis is there or not; STATUS with both; STOPPING;
 * and a sign of life from a timer of the loop, so that it turns is the proof.
 */
struct pulse;
struct serve;

/* It listens. Returns owned, or NULL where nobody wants to hear of it. */
struct pulse *pulse_start(const struct serve *s) ON_LOOP;
void pulse_free(struct pulse *p) ON_LOOP; /* NULL is a no-op, also below */

/* It ends, in drain_ms at the latest. */
void pulse_stopping(struct pulse *p, int64_t drain_ms) ON_LOOP;

#endif
