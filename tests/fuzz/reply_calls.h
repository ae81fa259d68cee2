#ifndef TESTS_FUZZ_REPLY_CALLS_H
#define TESTS_FUZZ_REPLY_CALLS_H

#include "common/redis/queue.h"

/*
 * The calls of fuzz_reply: each verb of a queue, as workers and producers send
 * it, and what must hold for whatever it is answered.
 */
enum { CALL_KINDS = 28, CALL_PLAIN = 0 };

/*
 * Sends a call of kind % CALL_KINDS. A plain one is GET marker. Contract of
 * conn_call.
 */
int call_send(struct conn *c, unsigned kind, const char *marker,
              conn_reply_cb cb, void *arg) ON_LOOP;

/*
 * Lets every verb read the answer, and looks at all that it makes of it.
 * Returns the bytes of all its texts.
 */
size_t call_read(int err, const struct reply *r);

#endif
