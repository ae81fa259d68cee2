#ifndef PRODUCER_SERVE_WAIT_H
#define PRODUCER_SERVE_WAIT_H

#include "common/base/thread.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"

/*
 * Requests that wait for the end of a job. All of them share a connection that
 * is subscribed to the channels of their jobs, one subscription for each job,
 * so a wait costs memory and a timer, but no thread and no polling. Loop thread
 * only.
 */
struct waits;

/* Returns owned; connects when somebody waits. */
struct waits *waits_new(struct serve *s) ON_LOOP;
/* Who still waits is answered with 503. The connection of the serve is closed
 * by then. NULL is a no-op. */
void waits_free(struct waits *w) ON_LOOP;

/*
 * Takes a request about a kept job that had not ended, and answers it when it
 * has, or with how it stands then after ms, or at once if its client goes. With
 * 503 if too many wait.
 */
void waits_add(struct waits *w, struct request *r, int64_t ms) ON_LOOP;

/* All are answered now, with how their jobs stand; and whoever comes later. */
void waits_stop(struct waits *w) ON_LOOP;

#endif
