#ifndef WORKER_LOGS_H
#define WORKER_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "worker/delivery.h"

/*
 * The lines that kept jobs of a lane write: told to Redis a few times a second
 * while they run, and all that is left in front of their end. Until Redis has
 * answered they stay here, and are sent once more after a rebind; the script
 * knows what it has. Loop thread only.
 */
struct lane;

/* Lines of one run on their way. */
struct log_piece {
    STAILQ_ENTRY(log_piece) next;
    char id[ID_MAX_LEN + 1];
    struct log_lines lines; /* owned */
};
STAILQ_HEAD(log_pieces, log_piece);

/* One call of the script, until it is answered. */
struct log_call {
    STAILQ_ENTRY(log_call) next;
    struct lane *lane;
    struct log_pieces pieces; /* owned */
};
STAILQ_HEAD(log_calls, log_call);

struct lane_logs {
    struct delivery_list running; /* those with lines to be told */
    struct log_pieces waiting;    /* owned: to be sent, oldest first */
    struct log_calls calls;       /* owned: sent, oldest first */
    size_t bytes;                 /* of both */
    bool failed_said;
};

void lane_logs_init(struct lane_logs *l);

/* Takes note that there are lines of d, which has a slot of the lane. */
void lane_note_log(struct lane *lane, struct delivery *d) ON_LOOP;

/* The run of d has ended: what is left of its lines is told before its end. */
void lane_log_ended(struct lane *lane, struct delivery *d) ON_LOOP;

/* Tells what there is to be told now, the lane is up; the timer of notes comes
 * for the rest. */
void lane_send_logs(struct lane *lane) ON_LOOP;

/* What was sent and not answered is to be sent again. */
void lane_log_again(struct lane *lane) ON_LOOP;

/* Forgets all lines that were not told yet. */
void lane_forget_logs(struct lane *lane) ON_LOOP;

/* Whether a job may have a log: its news and that expire together. */
bool may_have_log(const struct delivery *d);

#endif
