/*
 * A Redis behind a fault proxy, and clients of it.
 *
 * Thread: the test's.
 */
#include "tests/faults/proxy_fixture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/unit/unit.h"

struct redis *redis;
struct proxy *proxy;

int proxy_setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    redis = redis_start(NULL);
    proxy = proxy_start(redis, LINKS);
    return 0;
}

int proxy_teardown(void **state)
{
    (void)state;
    proxy_stop(proxy);
    redis_stop(redis);
    return 0;
}

int proxy_heal(void **state)
{
    (void)state;
    proxy_do(proxy, "heal");
    for (unsigned i = 0; i < LINKS; i++)
        proxy_do(proxy, "drop %u", i);
    (void)proxy_ask(proxy, "late");
    redis_do(redis, "FLUSHALL");
    return 0;
}

redisContext *client(unsigned link)
{
    redisContext *c =
        redisConnectUnix(proxy_url(proxy, link) + strlen("unix://"));
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    return c;
}

void send_command(redisContext *c, const char *command)
{
    int done = 0;
    (void)redisAppendCommand(c, command);
    while (done == 0)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
}

void expect_int(redisContext *c, long long n, const char *command)
{
    redisReply *r = redisCommand(c, command);
    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_INTEGER);
    assert_int_equal(r->integer, n);
    freeReplyObject(r);
}

void expect_cut(redisContext *c, const char *command)
{
    assert_null(redisCommand(c, command));
    /* Writing may find it out first. */
    assert_true(
        c->err == REDIS_ERR_EOF ||
        (c->err == REDIS_ERR_IO && (errno == EPIPE || errno == ECONNRESET)));
    redisFree(c);
}

const char *value_of(const char *key)
{
    static char out[64];
    return redis_str(redis, out, sizeof(out), "GET %s", key);
}

bool has_no_client(void *arg)
{
    (void)arg;
    return proxy_ask(proxy, "connections") == 0;
}
