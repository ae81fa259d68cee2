#ifndef WORKER_CANCEL_H
#define WORKER_CANCEL_H

#include "worker/lane.h"

/*
 * Jobs that somebody cancelled: their ids are marked in a set in Redis, of
 * which a lane has a copy while there are any. Loop thread only.
 */

/* Decides whether a job that came just now has to wait for that set. */
void lane_await_marks(struct lane *lane, struct slot *s) ON_LOOP;

/* Asks for the set if it may have changed, or if jobs wait for it. */
void lane_look_cancelled(struct lane *lane) ON_LOOP;
void on_marks_timer(evutil_socket_t fd, short what, void *arg);

/* Turns the verdict of a run that came back to CANCEL where it must be. */
void lane_judge_cancelled(const struct lane *lane, struct delivery *d) ON_LOOP;

#endif
