/*
 * Feed: what producers do in a battle, and what they were told.
 *
 * A producer that was told "done" has a promise; one that was told nothing
 * has none, but its job may be there. The audit needs to know which is which,
 * so a push that did not end well counts as unknown as a whole.
 *
 * Thread: the test's.
 */
#include "tests/faults/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/support/worker.h"

enum {
    ANSWER_MS = 5000, /* a Redis that is silent for longer is away */
    CLI_MS = 60000,
    EQUAL_ONE_IN = 10
};

/* Sebastiano Vigna's splitmix64: any seed is a good one. */
uint64_t seeded_below(uint64_t *state, uint64_t n)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return z % n;
}

void feed_init(struct feed *f, struct redis *r, const struct kind *kinds,
               uint64_t seed)
{
    *f = (struct feed){.r = r, .kinds = kinds, .random = seed};
}

static void disconnect(struct feed *f)
{
    if (f->link != NULL)
        redisFree(f->link);
    f->link = NULL;
}

void feed_done(struct feed *f)
{
    disconnect(f);
    free(f->outcome);
}

static bool connected(struct feed *f)
{
    const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
    if (f->link != NULL)
        return true;
    f->link = redisConnectUnixWithTimeout(redis_url(f->r) + strlen("unix://"),
                                          patience);
    if (f->link == NULL || f->link->err != 0 ||
        redisSetTimeout(f->link, patience) != REDIS_OK) {
        disconnect(f);
        return false;
    }
    return true;
}

long long feed_backlog(struct feed *f)
{
    long long n = -1;
    redisReply *reply = NULL;
    if (connected(f))
        reply = redisCommand(f->link, "LLEN belt:{q}");
    if (reply == NULL)
        disconnect(f);
    else if (reply->type == REDIS_REPLY_INTEGER)
        n = reply->integer;
    freeReplyObject(reply);
    return n;
}

/* ---- jobs ---- */

static uint64_t next_serial(struct feed *f)
{
    if (++f->serials >= f->room) {
        f->room = f->room > 0 ? 2 * f->room : 1024;
        f->outcome = mem_resize(f->outcome, f->room);
    }
    f->outcome[f->serials] = PUSH_UNKNOWN;
    return f->serials;
}

static const char *pick_kind(struct feed *f)
{
    uint64_t at = seeded_below(&f->random, 100);
    const struct kind *k = f->kinds;
    while (k[1].what != NULL && at >= k->percent) {
        at -= k->percent;
        k++;
    }
    return k->what;
}

/* The envelope of a new job; serial 0 is one of the equal ones. */
static void write_job(uint64_t serial, const char *what, bool with_id,
                      struct buf *out)
{
    buf_str(out, "{");
    if (with_id)
        buf_printf(out, "\"id\":\"b%llu\",", (unsigned long long)serial);
    buf_str(out, "\"type\":\"battle\",\"backoff\":{\"kind\":\"fixed\","
                 "\"delay\":30}");
    if (serial % 8 == 1)
        buf_str(out, ",\"keep\":3600000");
    buf_printf(out, ",\"payload\":{\"n\":%llu,\"do\":\"%s\"}}",
               (unsigned long long)serial, what);
}

static void settle_push(struct feed *f, uint64_t serial, enum outcome outcome)
{
    size_t *sum = outcome == PUSH_ACKED ? &f->acked : &f->unknown;
    ++*sum;
    if (serial != 0)
        f->outcome[serial] = (uint8_t)outcome;
    else if (outcome == PUSH_ACKED)
        f->equal_acked++;
    else
        f->equal_unknown++;
}

/* ---- plain RPUSH, pipelined ---- */

static enum outcome read_outcome(struct feed *f)
{
    redisReply *reply = NULL;
    enum outcome outcome = PUSH_UNKNOWN;
    if (f->link == NULL)
        return outcome;
    if (redisGetReply(f->link, (void **)&reply) != REDIS_OK)
        disconnect(f);
    else if (reply->type == REDIS_REPLY_INTEGER)
        outcome = PUSH_ACKED;
    freeReplyObject(reply);
    return outcome;
}

void feed_one(struct feed *f, const char *what)
{
    struct buf job = {0};
    uint64_t serial = next_serial(f);
    write_job(serial, what, false, &job);
    if (connected(f))
        (void)redisAppendCommand(f->link, "RPUSH belt:{q} %b", job.data,
                                 job.len);
    settle_push(f, serial, read_outcome(f));
    buf_done(&job);
}

static void push_raw(struct feed *f, unsigned n)
{
    uint64_t serials[1000];
    struct buf job = {0};
    for (unsigned i = 0; i < n; i++) {
        bool equal = seeded_below(&f->random, EQUAL_ONE_IN) == 0;
        serials[i] = equal ? 0 : next_serial(f);
        buf_clear(&job);
        write_job(serials[i], equal ? "ok" : pick_kind(f), false, &job);
        (void)redisAppendCommand(f->link, "RPUSH belt:{q} %b", job.data,
                                 job.len);
    }
    buf_done(&job);
    for (unsigned i = 0; i < n; i++)
        settle_push(f, serials[i], read_outcome(f));
}

/* ---- belt push ---- */

static void push_cli(struct feed *f, unsigned n)
{
    char *path = mem_printf("%s/feed.ndjson", redis_dir(f->r));
    const char *argv[] = {BELT_BIN,        "push",     "-q", "q", "-u",
                          redis_url(f->r), "--ndjson", path, NULL};
    FILE *file = fopen(path, "we");
    struct buf job = {0};
    uint64_t first = f->serials + 1;
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    for (unsigned i = 0; i < n; i++) {
        buf_clear(&job);
        write_job(next_serial(f), pick_kind(f), true, &job);
        (void)fprintf(file, "%s\n", job.data);
    }
    buf_done(&job);
    (void)fclose(file);
    struct worker *push = worker_exec(f->r, argv, NULL);
    int rc = worker_wait(push, CLI_MS);
    for (unsigned i = 0; i < n; i++)
        settle_push(f, first + i, rc == 0 ? PUSH_ACKED : PUSH_UNKNOWN);
    (void)unlink(worker_log(push));
    worker_free(push);
    free(path);
}

void feed_push(struct feed *f, unsigned n)
{
    if (seeded_below(&f->random, 3) == 0)
        push_cli(f, n);
    else if (connected(f))
        push_raw(f, n < 1000 ? n : 1000);
}
