#ifndef COMMON_REDIS_RESOLVER_H
#define COMMON_REDIS_RESOLVER_H

#include "common/base/thread.h"

struct addrinfo;
struct event_base;

/*
 * Host names to addresses without blocking the loop, for transport.c. One
 * look-up at a time. Loop thread only.
 */
struct resolver;

/* why is NULL and ai lent until it returns, or ai is NULL and why says why. */
typedef void (*resolver_cb)(void *arg, const struct addrinfo *ai,
                            const char *why);

/* Returns an owned resolver. */
struct resolver *resolver_new(struct event_base *base) ON_LOOP;

/* Cancels; the memory goes with a later turn, or the end, of the loop. */
void resolver_free(struct resolver *r) ON_LOOP; /* NULL is a no-op */

/*
 * Calls cb once, perhaps from inside. An address needs no look-up; names come
 * from /etc/hosts and the name servers of /etc/resolv.conf.
 */
void resolver_look_up(struct resolver *r, const char *host, int port,
                      resolver_cb cb, void *arg) ON_LOOP;

/* Forgets the look-up: cb is not called. */
void resolver_cancel(struct resolver *r) ON_LOOP;

#endif
