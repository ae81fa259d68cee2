#ifndef PRODUCER_SERVE_JOB_ANSWER_H
#define PRODUCER_SERVE_JOB_ANSWER_H

#include "producer/serve/answer.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"
#include "producer/standing.h"

/*
 * What is answered about one job. Those without ON_LOOP are for any thread.
 */

/* The job that the path of a request names. */
void request_job_name(const struct request *r, struct job_name *ret);

/* 200 with how it stands as of now_ms, the members of belt status -o json and
 * its result; with Retry-After while it has not ended. */
void answer_job(struct answer *a, const struct request *r,
                const struct standing *s, int64_t now_ms);

/* 404: where it was looked for is told. */
void answer_no_job(struct answer *a, const struct request *r);

/* {"queue":…,"id":…,"state":…} */
void answer_job_state(struct answer *a, int status, const struct request *r,
                      const char *state);

/* How long a request asks to wait for the end of its job, by ?wait= or Prefer;
 * 0: not at all. Returns false with a 400 in a. */
bool job_wait_ms(const struct request *r, int64_t *ret_ms, struct answer *a);

/*
 * Takes a request about a job whose news are k, borrowed, and answers it, after
 * one question more to Redis where the news may be older than what they tell
 * of: of a job that is active, or that was due.
 */
void job_tell(struct request *r, const struct kept *k) ON_LOOP;

/* Looks for a job that is not kept, or whose lane has gone. For side threads.
 */
void look_job(struct client *c, const struct request *r, struct answer *a);

/* What Redis or the connection to it said: err and the reply of a call that
 * failed, as an answer. */
void answer_call_failed(struct answer *a, int err, const struct reply *r);

#endif
