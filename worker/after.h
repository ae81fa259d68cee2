#ifndef WORKER_AFTER_H
#define WORKER_AFTER_H

#include "worker/lane.h"

/* Jobs with "after": see after.c. Loop thread only. */

/* Whether s, which was judged and may run, has another job to ask for. */
bool lane_waits_for_other(const struct lane *lane, struct slot *s) ON_LOOP;

/* Asks; s is in the ledger and STAMPING until the answer comes. */
void lane_ask_other(struct lane *lane, struct slot *s) ON_LOOP;

/* In intake.c: s, STAMPING, has its answer. */
void lane_judge_again(struct lane *lane, struct slot *s) ON_LOOP;

#endif
