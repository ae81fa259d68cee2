#ifndef TESTS_FAULTS_PROXY_FIXTURE_H
#define TESTS_FAULTS_PROXY_FIXTURE_H

#include <stdbool.h>

#include <hiredis/hiredis.h>

#include "tests/faults/proxy.h"
#include "tests/support/redis.h"

/* A Redis behind a fault proxy, and clients of it, for the proxy's tests. */
enum { LINKS = 3, PATIENCE_MS = 30000 };

extern struct redis *redis;
extern struct proxy *proxy;

/* cmocka: for the group, and after each test. */
int proxy_setup(void **state);
int proxy_teardown(void **state);
int proxy_heal(void **state);

/* Returns an owned client that is connected to the link. */
redisContext *client(unsigned link);

/* Sends without waiting for an answer. */
void send_command(redisContext *c, const char *command);

/* The answer is this number; there is none, since the connection is cut. The
 * latter frees c. */
void expect_int(redisContext *c, long long n, const char *command);
void expect_cut(redisContext *c, const char *command);

/* Straight from Redis. Lent until the next call. */
const char *value_of(const char *key);

/* For wait_until; arg is NULL. */
bool has_no_client(void *arg);

#endif
