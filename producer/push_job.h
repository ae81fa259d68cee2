#ifndef PRODUCER_PUSH_JOB_H
#define PRODUCER_PUSH_JOB_H

#include "common/job/job.h"
#include "common/redis/queue.h"
#include "producer/client.h"
#include "producer/push_options.h"

/*
 * One job on its way into a queue. It has four outcomes: done, held (another
 * job has its unique key), refused, unknown. One thread at a time, that of the
 * client.
 */

/*
 * Appends the envelope of spec with these options, both as of now, to out, and
 * says in *ret what a push needs to know of it, front and id excepted. It
 * borrows from all of them. Fails as job_build.
 */
int push_job_build(struct job_spec *spec, const struct push_options *options,
                   size_t max_bytes, struct buf *out, struct push_one *ret,
                   struct errbuf *eb);

/* Whether it needs push_one, which alone heeds these. */
bool push_job_is_one(const struct push_one *p);

struct push_outcome {
    int err;                       /* 0: Redis has answered it with result */
    struct push_one_result result; /* of 0 and ERR_FULL */
};

/*
 * Sends it, with the name of its queue in front, and turns the loop until it
 * is answered. Returns 0, or the status of a failure that was told; then
 * ret->err says which: that of queue_push_one_result.
 */
int push_job(struct client *c, const struct keys *k, const struct push_one *one,
             struct push_outcome *ret);

#endif
