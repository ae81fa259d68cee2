#ifndef PRODUCER_PUSH_WAIT_H
#define PRODUCER_PUSH_WAIT_H

#include "common/redis/queue.h"
#include "producer/await.h"
#include "producer/client.h"

/*
 * belt push --wait: what is around the push, so that no end is missed however
 * soon it comes. Main thread.
 */
#define PUSH_WAIT_KEEP_MS 3600000 /* unless --keep says */

/* Returns 0, or the exit status of flags that do not go together, told. */
int push_wait_check(const struct options *o);

/*
 * Before the push of the job id: subscribes to its end, if o->wait. Returns as
 * await_new; NULL in *ret if there is nothing to wait for.
 */
int push_wait_begin(const struct options *o, struct client *client,
                    const char *id, struct await **ret);

/*
 * Behind the push: waits for the job, or, if another one holds its unique key,
 * for that one; prints its end. Takes w. Returns the exit status.
 */
int push_wait_end(const struct options *o, struct client *client,
                  struct await *w, const struct push_one_result *pushed);

#endif
