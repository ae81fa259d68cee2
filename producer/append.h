#ifndef PRODUCER_APPEND_H
#define PRODUCER_APPEND_H

#include "common/redis/queue.h"

/*
 * A push of many envelopes at half the price: MULTI, one RPUSH of them all,
 * push.lua by EVAL, EXEC. Lua then never sees an envelope; the script counts
 * them, and takes them back from a queue that is too new for us.
 *
 * Not everybody who may push may do it this way, and a MULTI that is refused
 * does not keep the RPUSH behind it from running. So append_probe comes first.
 * Loop thread only.
 */

/*
 * Asks whether this connection may. *ret becomes true when it may, before any
 * later call is answered, and must outlive the calls of c.
 */
void append_probe(struct conn *c, bool *ret) ON_LOOP;

/*
 * Sends 1 to QUEUE_BATCH_MAX envelopes. cb gets the answer for append_result,
 * as of queue_push. refusal must live until then and be given to it. Returns
 * 0, or without calling cb ERR_REFUSED as conn_call, or ERR_NOMEM; then none
 * of them is pushed.
 */
int append_send(struct conn *c, const struct keys *k,
                const struct bytes *envelopes, unsigned n,
                struct errbuf *refusal, conn_reply_cb cb, void *arg) ON_LOOP;

/*
 * The results of queue_push_result, of which ERR_UNKNOWN can also mean an
 * answer that does not tell whether they are there.
 */
int append_result(int err, const struct reply *r, const struct errbuf *refusal,
                  struct push_result *ret, struct errbuf *eb);

#endif
