#ifndef COMMON_JOB_JOB_READ_H
#define COMMON_JOB_JOB_READ_H

#include <stdint.h>

#include "common/job/job.h"

/*
 * Reading an envelope in place, shared by job.c and job_write.c only.
 *
 * The members that a rewrite or a push moves have a bit each; what job_read
 * found is a set of them.
 */
#define JOB_HAS_ID 1U
#define JOB_HAS_TYPE 2U
#define JOB_HAS_CREATED_AT 4U
#define JOB_HAS_RECOVERED 8U

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

#endif
