#ifndef TESTS_SUPPORT_REDIS_H
#define TESTS_SUPPORT_REDIS_H

#include <stdbool.h>
#include <sys/types.h>

#include <hiredis/hiredis.h>

/*
 * A redis-server of a test's own: in a temporary directory, on a unix socket,
 * without persistence unless asked for. It ends with the test, however that
 * ends; the directory goes on every orderly exit. BELT_TEST_REDIS names
 * another server program than redis-server.
 *
 * Whatever fails here ends the program with a message: no test can go on.
 */
struct redis;

struct redis_opts {
    bool tcp; /* listen on a free port of 127.0.0.1 too */
    bool appendonly;
    const char *conf;       /* more lines for the configuration; NULL: none */
    const char *const *env; /* "NAME=value", the last is NULL; NULL: none */
};

/* Returns an owned server that answers. opts may be NULL. */
struct redis *redis_start(const struct redis_opts *opts);
void redis_stop(struct redis *r); /* NULL is a no-op; removes the directory */

/* Ends the server and keeps the directory; redis_restart starts it there. */
void redis_kill9(struct redis *r);
void redis_shutdown(struct redis *r); /* in order: SIGTERM, and waits */
void redis_restart(struct redis *r);

/* Lent until redis_stop. The URL is of the socket, or of the port. */
const char *redis_url(const struct redis *r);
const char *redis_tcp_url(const struct redis *r); /* "" without tcp */
const char *redis_dir(const struct redis *r);
pid_t redis_pid(const struct redis *r); /* 0: it does not run */

/*
 * A client that waits for its answers. redis_cmd returns an owned reply, for
 * freeReplyObject; errors of Redis are replies. The others free it, and end
 * the test on an answer of another kind. redis_str copies into out and returns
 * it, "(nil)" for nil.
 */
redisReply *redis_cmd(struct redis *r, const char *fmt, ...);
redisReply *redis_argv(struct redis *r, int argc, const char **argv,
                       const size_t *lens);
/* The same; NULL if the connection is lost before the answer. */
redisReply *redis_try_argv(struct redis *r, int argc, const char **argv,
                           const size_t *lens);
long long redis_int(struct redis *r, const char *fmt, ...);
const char *redis_str(struct redis *r, char *out, size_t size, const char *fmt,
                      ...);
void redis_do(struct redis *r, const char *fmt, ...); /* must not fail */

#endif
