/*
 * The jobs of a sweep: their envelopes, and what they come to.
 *
 * Thread: the test's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "tests/faults/sweep.h"
#include "tests/unit/unit.h"

enum { PUSH_MAX = 32, PAD = 1500, CHAIN = 3 };

/* The id, if it has one, and the payload; two of three are long. */
static void put_front(struct pair *p, const char *type, struct buf *out)
{
    unsigned serial = p->equal ? 0 : ++p->serial;
    buf_char(out, '{');
    if (!p->equal)
        buf_printf(out, "\"id\":\"%s-%u\",", p->queue, serial);
    buf_printf(out,
               "\"type\":\"%s\",\"payload\":{\"n\":%u,\"pad\":\"%0*u\"},"
               "\"backoff\":{\"kind\":\"fixed\",\"delay\":50}",
               type, serial, serial % 2 == 1 ? PAD : 1, 0U);
}

static void put_chain(struct pair *p, const char *type, struct buf *out)
{
    for (unsigned i = 0; i < CHAIN; i++) {
        if (i > 0)
            buf_str(out, i == 1 ? ",\"then\":" : ",\"then\":[");
        put_front(p, type, out);
    }
    buf_str(out, "}]}}");
}

/* As push_one does it, for what has an id. */
static void put_locked(struct pair *p, const char *type, struct buf *out)
{
    put_front(p, type, out);
    buf_printf(out, ",\"unique\":\"k%u\"}", p->serial);
    if (!p->equal)
        redis_do(p->sweep->redis, "SET belt:{%s}:unique:k%u %s-%u", p->queue,
                 p->serial, p->queue, p->serial);
}

static void put_job(struct pair *p, const char *type, struct buf *out)
{
    if (strcmp(type, "chain") == 0) {
        put_chain(p, type, out);
    } else if (strcmp(type, "locked") == 0) {
        put_locked(p, type, out);
    } else {
        put_front(p, type, out);
        buf_char(out, '}');
    }
}

static void expect_jobs(struct pair *p, const char *type, unsigned n)
{
    if (strcmp(type, "hangs") == 0) {
        p->cancelled += n;
        return;
    }
    bool fails = strcmp(type, "fails") == 0, dies = strcmp(type, "dies") == 0;
    n *= strcmp(type, "chain") == 0 ? CHAIN : 1;
    p->done += dies ? 0 : n;
    p->dead += dies ? n : 0;
    p->retried += fails ? n : 0;
    p->runs += fails ? 2 * n : strcmp(type, "noop") == 0 ? 0 : n;
}

void sweep_cancel(struct pair *p, unsigned n, bool next)
{
    unsigned first = next ? p->serial + 1 : p->serial + 1 - n;
    struct redis *r = p->sweep->redis;
    assert_false(p->equal);
    for (unsigned i = first; i < first + n; i++)
        redis_do(r, "ZADD belt:{%s}:cancelled %lld %s-%u", p->queue,
                 (long long)clock_wall_ms(), p->queue, i);
    redis_do(r, "HINCRBY belt:{%s}:config cancelled_version 1", p->queue);
    redis_do(r, "PUBLISH belt:{%s}:control cancel", p->queue);
}

void sweep_push(struct pair *p, const char *type, unsigned n)
{
    struct buf texts[PUSH_MAX] = {0};
    char key[NAME_BYTES + 8];
    const char *argv[PUSH_MAX + 2] = {"RPUSH", key};
    size_t lens[PUSH_MAX + 2] = {strlen("RPUSH")};
    assert_true(n <= PUSH_MAX);
    (void)snprintf(key, sizeof(key), "belt:{%s}", p->queue);
    lens[1] = strlen(key);
    for (unsigned i = 0; i < n; i++) {
        put_job(p, type, &texts[i]);
        argv[2 + i] = texts[i].data;
        lens[2 + i] = texts[i].len;
    }
    redisReply *r = redis_argv(p->sweep->redis, (int)n + 2, argv, lens);
    if (r->type != REDIS_REPLY_INTEGER)
        fail_msg("queue %s: RPUSH was refused", p->queue);
    freeReplyObject(r);
    for (unsigned i = 0; i < n; i++)
        buf_done(&texts[i]);
    expect_jobs(p, type, n);
}
