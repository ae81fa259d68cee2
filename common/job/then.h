#ifndef COMMON_JOB_THEN_H
#define COMMON_JOB_THEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/job/json.h"

/*
 * The member "then" of an envelope: what is to be pushed when the job is done,
 * one envelope or an array of up to THEN_MAX. Their own "then" is carried, so
 * that a chain may be as long as JSON is deep. Any thread.
 */
#define THEN_MAX 100

/* Called for each element, in order; a result other than 0 ends the scan. */
typedef int (*then_cb)(void *arg, struct json_span element);

/*
 * Calls cb for each; returns what it returned last. ERR_INVALID when then is
 * neither an object nor an array, or has more than THEN_MAX elements; cb was
 * then not called.
 */
int then_each(struct json_span then, then_cb cb, void *arg, struct errbuf *eb);

/*
 * Checks what a push checks of each element, and of theirs, THEN_CHECK_DEPTH
 * deep: what lies deeper is checked when its turn comes. ERR_INVALID names
 * the element and the member.
 */
#define THEN_CHECK_DEPTH 32
int then_check(struct json_span then, unsigned depth, struct errbuf *eb);

/* The same of one envelope that is to be pushed as an element of then is. */
int then_check_one(struct json_span element, struct errbuf *eb);

/*
 * Appends an element as the envelope that is to be pushed, once its parent, of
 * this queue, is done: with an id, created_at, and, unless it simply goes to
 * the end of the parent's queue (*ret_ready), the queue that it goes to.
 * ERR_INVALID names the member; out is then as before.
 */
int then_complete(struct json_span element, const char *queue, int64_t now_ms,
                  struct buf *out, bool *ret_ready, struct errbuf *eb);

#endif
