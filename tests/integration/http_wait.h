#ifndef TESTS_INTEGRATION_HTTP_WAIT_H
#define TESTS_INTEGRATION_HTTP_WAIT_H

#include "tests/integration/http_fixture.h"

/*
 * Requests that wait for jobs of the queue q, and what is done to the jobs
 * meanwhile. What fails here fails the test.
 */

/* For cmocka: a Redis that keeps what it has over a restart, and a server with
 * these flags. */
int wait_start_with(void **state, const char *const *flags);
int wait_start(void **state); /* no flags */

/* HSET of news: "state active type t"; and with what is told of them. */
void wait_hash(struct web *f, const char *id, const char *fields);
void wait_tell(struct web *f, const char *id, const char *state,
               const char *fields);

/* How often Redis was sent a command: "hmget". Waits until it is n. */
long long wait_calls(struct web *f, const char *command);
void wait_for_calls(struct web *f, const char *command, long long n);

/* Who is subscribed to the channel of a job. Waits until it is n. */
long long wait_subscribers(struct web *f, const char *id);
void wait_for_subscribers(struct web *f, const char *id, long long n);

/* Sends the request: a connection. The second returns when it is heard. */
int wait_ask(struct web *f, const char *id, const char *query,
             const char *headers);
int wait_ask_and_await(struct web *f, const char *id);

/* Takes the answer, which has this status and this text in its body. */
void wait_answered(int fd, int status, const char *text);

#endif
