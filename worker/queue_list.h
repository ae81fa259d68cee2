#ifndef WORKER_QUEUE_LIST_H
#define WORKER_QUEUE_LIST_H

#include "common/base/err.h"
#include "worker/agent.h"

enum { QUEUES_MAX = LANES_MAX };

/*
 * Adds the queues of a list to cfg, whose queues have room for QUEUES_MAX.
 * A weight anywhere makes the whole weighted; an entry with one of *?[ is a
 * pattern. ERR_INVALID names the queue.
 */
int queue_list_add(struct worker_config *cfg, const char *list,
                   struct errbuf *eb);

#endif
