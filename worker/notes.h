#ifndef WORKER_NOTES_H
#define WORKER_NOTES_H

#include "common/job/unique.h"
#include "worker/lane.h"

/*
 * News of a lane's jobs that run: that one has started, how far it is. They
 * are told to Redis many in one call, once a turn, and nothing waits for the
 * answer. Progress of one job is told five times a second at most, its last
 * word in front of its end. Loop thread only.
 */

/*
 * Whether a lock ends when its job starts. At most once that holds for one
 * until done, too: the job may be lost, and none must outlive it.
 */
bool lane_unlocks_at_start(const struct lane *lane, const struct unique *u);

/* Takes note of news of d, which has a slot of the lane. */
void lane_note(struct lane *lane, struct delivery *d,
               enum note_kind kind) ON_LOOP;

/* Tells what there is to be told now; the lane is up. */
void lane_send_notes(struct lane *lane) ON_LOOP;

/* Tells all of the jobs that run once more: what was told may be lost. */
void lane_note_again(struct lane *lane) ON_LOOP;

/* Forgets what was not told yet. */
void lane_forget_notes(struct lane *lane) ON_LOOP;

void on_note_timer(evutil_socket_t fd, short what, void *arg);

#endif
