#ifndef COMMON_JOB_UNIQUE_H
#define COMMON_JOB_UNIQUE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/job/json.h"

/*
 * The member "unique" of an envelope: which lock a push takes, and when it
 * ends. "KEY", or an object:
 *
 *     {"key":"KEY","until":"done"|"started"|"time","ttl":ms,
 *      "on_conflict":"skip"|"replace"|"error"}
 *
 * until done: the lock ends in the step that ends the job, however it ends;
 * started: when the job starts, at the latest when it ends; time: ttl after
 * the push, whatever becomes of the job. Any thread.
 */
#define UNIQUE_KEY_MAX_LEN 128

enum unique_until { UNIQUE_DONE, UNIQUE_STARTED, UNIQUE_TIME };
enum unique_conflict { UNIQUE_SKIP, UNIQUE_REPLACE, UNIQUE_ERROR };

struct unique {
    char key[UNIQUE_KEY_MAX_LEN + 1]; /* UTF-8, no control characters */
    enum unique_until until;
    enum unique_conflict on_conflict;
    int64_t ttl_ms; /* of until time; else 0 */
};

/* Reads it; value is valid JSON. ERR_INVALID names what is wrong. */
int unique_parse(struct json_span value, struct unique *ret, struct errbuf *eb);

/*
 * Whether a job with this member, which may be absent, has a lock that ends
 * with it; then *ret is read. What is unreadable took none.
 */
bool unique_ends_with_job(struct json_span value, struct unique *ret);

#endif
