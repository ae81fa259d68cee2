#ifndef PRODUCER_ELEMENT_H
#define PRODUCER_ELEMENT_H

#include "common/job/job.h"
#include "common/redis/queue.h"

/*
 * The job that an element is, owned, or NULL with the reason in eb: no valid
 * envelope, or one without a type.
 */
struct job *job_of(struct bytes element, struct errbuf *eb);

#endif
