#ifndef PRODUCER_PRIVATE_REDIS_H
#define PRODUCER_PRIVATE_REDIS_H

#include "producer/child.h"
#include "producer/options.h"

/*
 * A redis-server of our own: append-only file, unix socket and perhaps a
 * loopback port, everything in one directory, which it locks.
 */
struct private_redis {
    char *dir;                         /* owned, absolute */
    char *log;                         /* owned: path of its log */
    int lock_fd;                       /* held while it may run; -1: none */
    int port;                          /* 0: none */
    char socket_url[160], tcp_url[64]; /* "" if there is none */
    struct child child;
};

/*
 * Makes and locks o->dir and starts the server there. Returns 0, or the exit
 * status of a failure that was told; private_redis_done in either case.
 */
int private_redis_start(struct private_redis *r, const struct options *o);

/* Kills a server that still runs, and unlocks the directory. */
void private_redis_done(struct private_redis *r);

/* The URL for our own use: the socket, unless its path is too long. */
const char *private_redis_url(const struct private_redis *r);

#endif
