#ifndef PRODUCER_REQUEUE_H
#define PRODUCER_REQUEUE_H

#include "producer/select.h"

/*
 * Puts jobs of a set to the end of ready, or, with to, on their way to that
 * queue. Dead jobs begin anew: attempts, crashes, recoveries, times put off
 * and the error go, failures stay as their history. Others go as they are.
 *
 * What cannot be is left and told: a lock that another job holds, in this
 * queue or, as far as that can be seen from here, in the other; an element
 * that is no envelope. What belt.invalid holds is put back with --raw only. A
 * select_act but for to.
 */
int requeue_jobs(struct select *s, const struct selected *jobs, unsigned n,
                 const char *to);

#endif
