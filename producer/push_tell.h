#ifndef PRODUCER_PUSH_TELL_H
#define PRODUCER_PUSH_TELL_H

#include "common/redis/queue.h"
#include "producer/options.h"

/* What a command says of a push that Redis has answered. Main thread. */

/*
 * Tells that another job has the key, or that this one was there. Returns 0, or
 * the exit status if that was to be an error.
 */
int push_tell_other(const struct options *o, const struct push_one *one,
                    const struct push_one_result *result);

/* Prints the queue/id, or what o says, of the job that is there now. */
void push_print_id(const struct options *o, const struct push_one *one,
                   const struct push_one_result *result);

#endif
