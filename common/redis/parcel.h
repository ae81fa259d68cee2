#ifndef COMMON_REDIS_PARCEL_H
#define COMMON_REDIS_PARCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/job/job.h"
#include "common/job/unique.h"

/*
 * An element of an outbox: an envelope, and the queue that it is for. What
 * lies there may have come from anybody. Any thread.
 */
struct parcel {
    char *raw; /* owned: the element as it is */
    size_t len;
    struct job *job; /* owned; NULL: not read, or no envelope */
    char queue[NAME_MAX_LEN + 1];
    struct unique unique; /* if the job has one */
};

/*
 * Reads raw. ERR_INVALID or ERR_TOO_BIG when it cannot be delivered anywhere;
 * job is NULL then. What has no id gets a fresh one.
 */
int parcel_read(struct parcel *p, int64_t now_ms, struct errbuf *eb);
void parcel_done(struct parcel *p);

/* Appends the envelope as the other queue is to have it. */
void parcel_write(const struct parcel *p, struct buf *out);

/*
 * Whether it may go when another job has its lock: it is new, and its push
 * would have been skipped. A job that had a life before must not end so.
 */
bool parcel_may_be_dropped(const struct parcel *p);

/* Append what is put into dead instead. */
void parcel_write_held(const struct parcel *p, const char *holder,
                       int64_t now_ms, struct buf *out);
void parcel_write_invalid(const struct parcel *p, const char *why,
                          int64_t now_ms, struct buf *out);

#endif
