#ifndef COMMON_REDIS_QUEUE_PRIV_H
#define COMMON_REDIS_QUEUE_PRIV_H

#include "common/redis/queue.h"
#include "common/redis/script.h"

/* What the files of the verbs share. Loop thread only. */

/* Sends what script_args began, and frees a. */
int queue_send(struct conn *c, enum script s, struct args *a, conn_reply_cb cb,
               void *arg) ON_LOOP;

/* What all answers have in common: errors, and the state in front. */
int queue_check(int err, const struct reply *r, const char *verb,
                struct errbuf *eb);
/* The same for answers that must begin with OK. */
int queue_check_ok(int err, const struct reply *r, const char *verb,
                   struct errbuf *eb);
/* For the answer { "FORMAT", format of the queue }: ERR_INVALID. */
int queue_format_refused(const struct reply *r, const char *verb,
                         struct errbuf *eb);
int queue_unexpected(const char *verb, struct errbuf *eb);

/* Element i, if it is a number from 0 to QUEUE_COUNT_MAX. */
bool queue_count_at(const struct reply *r, size_t i, int64_t *ret);

/*
 * Element i, if it is a number, cut to QUEUE_WAIT_MAX_MS on both sides: what
 * people put into a sorted set may be due at any time.
 */
bool queue_wait_at(const struct reply *r, size_t i, int64_t *ret_ms);

/* Lends element i, if it is bytes. */
bool queue_bytes_at(const struct reply *r, size_t i, struct bytes *ret);

#endif
