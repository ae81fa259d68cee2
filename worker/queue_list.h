#ifndef WORKER_QUEUE_LIST_H
#define WORKER_QUEUE_LIST_H

#include "common/base/err.h"
#include "worker/agent.h"

enum { QUEUES_MAX = LANES_MAX, QUEUE_WEIGHT_MAX = 1000 };

/* Whether it is the name of a queue, or a pattern of names. */
int queue_list_name(const char *name, bool *ret_pattern, struct errbuf *eb);

/* Adds one, if there is room; weight 0: none was given. */
int queue_list_put(struct worker_config *cfg, const char *name, bool pattern,
                   int64_t weight, struct errbuf *eb);

/*
 * Adds the queues of a list to cfg, whose queues have room for QUEUES_MAX.
 * A weight anywhere makes the whole weighted; an entry with one of *?[ is a
 * pattern. ERR_INVALID names the queue.
 */
int queue_list_add(struct worker_config *cfg, const char *list,
                   struct errbuf *eb);

#endif
