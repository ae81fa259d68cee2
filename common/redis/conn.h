#ifndef COMMON_REDIS_CONN_H
#define COMMON_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/thread.h"
#include "common/redis/reply.h"
#include "common/redis/url.h"

struct event_base;

/*
 * A connection to Redis: transport.h carries the bytes, hiredis' reader and our
 * args.c speak RESP2 (redis.io/docs/reference/protocol-spec).
 *
 * It resolves, connects, sends AUTH, SELECT and CLIENT SETNAME, and is then
 * up. Calls are pipelined and answered in order. When the connection is lost,
 * or a call's deadline passes (after which the stream cannot be trusted), it
 * is closed, every pending call fails with a reason, on_down is called, and
 * unless the owner closed it, it is connected again after a jittered,
 * growing pause. A call is never sent twice, NOSCRIPT excepted (script.h).
 *
 * What lies below the stream of bytes (TLS) or chooses the address (Sentinel,
 * Cluster) belongs here, out of sight of callers. Loop thread only.
 */
struct conn;

struct conn_config {
    struct url url;
    const char *name;           /* CLIENT SETNAME, copied; NULL: none */
    int64_t connect_timeout_ms; /* 0: 5 s */
    int64_t reconnect_max_ms;   /* 0: 3 s; pauses grow from 50 ms to this */
    size_t reply_max_bytes;     /* 0: 512 MiB; more kills the connection */

    /*
     * on_up: ready for calls. on_down: lost, refused or timed out; err and
     * why say what; called for each failed attempt to connect as well, after
     * the pending calls have failed. Both may make calls and use
     * conn_open/conn_close, not conn_free.
     */
    void (*on_up)(void *arg);
    void (*on_down)(void *arg, int err, const char *why);
    /*
     * What is published on a channel, both lent for the call; may do what the
     * others may. With it the connection may be sent SUBSCRIBE, one channel a
     * call, as that is answered once for each; a session's subscriptions end
     * with it, so on_up is the place for them. NULL: what nobody asked for
     * ends the session.
     */
    void (*on_message)(void *arg, const char *channel, const char *text,
                       size_t len);
    void *arg;
};

/* Returns an owned connection, closed. */
struct conn *conn_new(struct event_base *base,
                      const struct conn_config *cfg) ON_LOOP;

/* Fails pending calls like conn_close. NULL is a no-op. */
void conn_free(struct conn *c) ON_LOOP;

/*
 * Connects, now and again after each loss; calls nothing back from inside. A
 * no-op while it does. After a failure not before the pause is over.
 */
void conn_open(struct conn *c) ON_LOOP;

/*
 * Closes; stays closed until conn_open. Pending calls fail with ERR_UNKNOWN
 * (ERR_REFUSED if not one byte of them was handed to the kernel), their
 * callbacks run before this returns, on_down does not. (From the callback of
 * a failed call: they run when that one has returned.)
 */
void conn_close(struct conn *c) ON_LOOP;

/*
 * Closes, then connects again with the usual pause; on_down is not called. A
 * no-op while the pause lasts, so each of many failed calls may ask for it.
 */
void conn_restart(struct conn *c) ON_LOOP;

bool conn_is_up(const struct conn *c) ON_LOOP;

/* Smoothed time of recent non-blocking calls in microseconds; 0: unknown. */
int64_t conn_rtt_us(const struct conn *c) ON_LOOP;

/* Bytes that wait to be written. For back-pressure of bulk senders. */
size_t conn_unsent_bytes(const struct conn *c) ON_LOOP;

/*
 * The arguments of one command: pointers that must live until conn_call
 * returns. Numbers are kept inside. Start with {0}, reuse with args_clear.
 */
struct args {
    const char **argv;
    size_t *lens;
    int argc, cap;
    char *nums; /* arena of formatted numbers, fixed-size cells */
    int nums_len, nums_cap;
};

void args_clear(struct args *a);
void args_done(struct args *a);
void args_str(struct args *a, const char *s); /* borrowed until the call */
void args_mem(struct args *a, const char *p, size_t n);
void args_int(struct args *a, int64_t n);

/*
 * err 0: r is the reply, which may be an error of Redis. ERR_REFUSED: not
 * executed. ERR_UNKNOWN: it may have been executed, now or later. ERR_TIMEOUT
 * is reported as ERR_UNKNOWN too. r is NULL unless err is 0.
 */
typedef void (*conn_reply_cb)(void *arg, int err, const struct reply *r);

#define CONN_TIMEOUT_DEFAULT_MS 5000

/*
 * Sends a command; cb (or NULL) is called exactly once, later, never from
 * inside.
 * deadline_ms is absolute. blocking says that the command may wait in Redis,
 * so that its time is no round trip. Returns 0, or ERR_REFUSED when the
 * connection is not up, the deadline is past or the command exceeds 512 MiB;
 * then cb is not called. cb may use all but conn_free.
 */
int conn_call(struct conn *c, const struct args *a, int64_t deadline_ms,
              bool blocking, conn_reply_cb cb, void *arg) ON_LOOP;

#endif
