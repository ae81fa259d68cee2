#ifndef TESTS_FAULTS_PROXY_H
#define TESTS_FAULTS_PROXY_H

#include <stdint.h>

#include "tests/support/redis.h"

/*
 * Handle of the fault proxy (proxy_main.c), a program of its own between
 * clients and Redis, which knows enough of the protocol to hurt a connection
 * at a chosen command. It listens on links, unix sockets 0 to n-1 in the
 * directory of the test's Redis, so that each worker can have one of its own.
 * Bytes are passed on unchanged or not at all: nothing is duplicated or
 * reordered within a connection.
 *
 * Rules are lines of words, answered "ok" or a number; links and counters
 * begin at 0. A command is named as in the protocol (BLMOVE, LPOP), those of
 * CLIENT, SCRIPT and CONFIG with their second word (CLIENT|UNBLOCK; CLIENT is
 * all of them), a script by its verb (fetch, settle …), and * is any.
 *
 *   cut LINK POINT COMMAND NTH [BYTES]   once, at the NTH such command (from
 *                                   1) seen on the link from now on; POINT is
 *       before   cut before the command reaches Redis
 *       after    it runs; cut before one byte of its reply is passed on
 *       middle   cut after BYTES of its reply (default: half of it); a reply
 *                that is not longer is passed on, and the rule is over
 *       late     cut the client, and let the command run only when `late` is
 *                said; the proxy keeps the connection to Redis till then
 *   chance LINK POINT COMMAND PERMILLE SEED   the same at random, until heal
 *   late                            runs what is held back, and what came
 *                                   behind it on its connection; answers how
 *                                   many, when Redis is through with them
 *   delay MS [c2s|s2c]              that way or each, for what comes from now
 *   split BYTES                     pass on at most so many at a time; 0: off
 *   stall LINK c2s|s2c|both         half-open: pass on nothing that way, close
 *                                   nothing; new connections too; until heal
 *   drop LINK                       cut all connections of the link now
 *   heal                            forget all rules, delays and stalls; what
 *                                   was stalled is cut; what is held back
 *                                   stays so
 *   fired [LINK]                    how many cuts rules have made so far
 *   seen COMMAND [LINK]             how many such commands were passed on
 *   fenced [LINK]                   how many of the commands that ran late
 *                                   were answered FENCED
 *   connections                     how many clients have one now
 *
 * What was passed on before a cut still arrives; replies that had not come by
 * then are lost. A rule whose command got no
 * reply, because its connection was lost otherwise, waits for the next one.
 */
struct proxy;

/* Starts it with so many links and waits until it answers. Returns owned. */
struct proxy *proxy_start(struct redis *r, unsigned links);

/* unix:// URL of a link, lent until proxy_stop. */
const char *proxy_url(const struct proxy *p, unsigned link);

/* Its process, for signals. */
pid_t proxy_pid(const struct proxy *p);

/* Says one line; ends the test if the answer is no "ok", or no number. */
void proxy_do(struct proxy *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int64_t proxy_ask(struct proxy *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Ends it, waits, frees. NULL is a no-op. */
void proxy_stop(struct proxy *p);

#endif
