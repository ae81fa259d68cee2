#ifndef COMMON_JOB_JOB_READ_H
#define COMMON_JOB_JOB_READ_H

#include <stdint.h>

#include "common/job/job.h"

/*
 * Reading an envelope in place, shared by job.c, job_write.c and then.c only.
 *
 * The members that a rewrite or a push moves have a bit each; what job_read
 * found is a set of them.
 */
#define JOB_HAS_ID 1U
#define JOB_HAS_TYPE 2U
#define JOB_HAS_CREATED_AT 4U
#define JOB_HAS_RECOVERED 8U
#define JOB_HAS_QUEUE 16U

/*
 * Checks an envelope and fills in everything of job except raw and raw_len;
 * spans point into text. A missing type is no error here: type is then "".
 * ret_has, which may be NULL, gets the names that occur, be it with null.
 */
int job_read(const char *text, size_t len, struct job *job, unsigned *ret_has,
             struct errbuf *eb);

/* The JOB_HAS_ bit of a member's name, or 0. */
unsigned job_member_bit(struct json_span name);

/* 0, or ERR_INVALID with a text. */
int job_check_id(const char *id, size_t len, struct errbuf *eb);
int job_check_type(const char *type, size_t len, struct errbuf *eb);

/*
 * Checks what a push checks and a worker leaves until it needs it. depth is
 * that of then_check: of the envelope among those of "then", 0 if it is none.
 */
int job_check_pushed(const struct job *job, const char *default_type,
                     unsigned depth, struct errbuf *eb);

/*
 * As job_complete for an element of "then" that is about to be pushed, of any
 * size: what its own "then" says is not checked before its turn. A queue takes
 * the place of its member "queue"; NULL leaves that.
 */
int job_complete_follower(const char *raw, size_t len, const char *queue,
                          int64_t now_ms, struct buf *out, struct errbuf *eb);

#endif
