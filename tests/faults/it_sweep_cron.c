/*
 * Claims about every cut around a tick: before a command reaches Redis, behind
 * it, in the middle of its answer, and with the command running long after the
 * connection is gone. However that is, the job of each tick is there once.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { COMMANDS = 4, POINTS = 4, PAIRS = COMMANDS * POINTS };
enum { PATIENCE_MS = 60 * 1000 };

#define YEARLY "{\"spec\":\"0 0 1 1 *\",\"type\":\"t\"}"
#define SKIPS                                                                  \
    "{\"spec\":\"0 0 1 1 *\",\"type\":\"t\",\"overlap\":\"skip\",\"times\":9}"

static const char *const points[] = {"before", "after", "middle", "late"};

/* What a look sends; cron_put, of an entry that is none. */
static const char *const commands[] = {"ZRANGE", "HGET", "tick", "cron_put"};

/* A cut: a worker, a queue and a link of its own. */
struct pair {
    const char *command, *point;
    unsigned link;
    char queue[16];
    struct worker *worker;
    int64_t due_ms;
    long long ticks; /* that have to be there */
};

static struct redis *redis;
static struct proxy *proxy;
static struct pair pairs[PAIRS];

static int start(void **state)
{
    (void)state;
    redis = redis_start(NULL);
    proxy = proxy_start(redis, PAIRS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < PAIRS; i++)
        worker_free(pairs[i].worker);
    proxy_stop(proxy);
    redis_stop(redis);
    return 0;
}

static void fail_pair(const struct pair *p, const char *what)
{
    fail_msg("%s %s: %s; its log: %s", p->point, p->command, what,
             worker_log(p->worker));
}

/* Jobs stay in ready, since the queue is paused. */
static void begin(struct pair *p)
{
    redis_do(redis, "HSET belt:{%s}:config paused 1 version 1", p->queue);
    p->worker =
        worker_exec(redis,
                    (const char *[]){BELT_WORKER_BIN, "-q", p->queue, "-u",
                                     proxy_url(proxy, p->link), "--lease", "3s",
                                     "--handler", "t=builtin:noop", NULL},
                    NULL);
}

static void tick(struct pair *p, const char *entry)
{
    p->due_ms = clock_wall_ms();
    p->ticks++;
    if (entry != NULL)
        redis_do(redis, "HSET belt:{%s}:cron n %s", p->queue, entry);
    redis_do(redis, "ZADD belt:{%s}:cron:due %lld n", p->queue,
             (long long)p->due_ms);
    redis_do(redis, "PUBLISH belt:{%s}:control cron", p->queue);
}

static bool has_ticked(void *arg)
{
    const struct pair *p = arg;
    return queue_stat(redis, p->queue, "ticked") >= p->ticks;
}

static bool has_fired(void *arg)
{
    const struct pair *p = arg;
    return proxy_ask(proxy, "fired %u", p->link) > 0;
}

/* Another one by that name is not due any more. */
static bool is_clean(void *arg)
{
    const struct pair *p = arg;
    return redis_int(redis, "ZCARD belt:{%s}:cron:due", p->queue) == 1;
}

static void expect_once(const struct pair *p)
{
    redisReply *r = redis_cmd(redis, "LRANGE belt:{%s} 0 -1", p->queue);
    char id[64];
    unsigned n = 0;
    (void)snprintf(id, sizeof(id), "{\"id\":\"cron:n:%lld\"",
                   (long long)p->due_ms);
    for (size_t i = 0; i < r->elements; i++)
        n += strncmp(r->element[i]->str, id, strlen(id)) == 0;
    if (n != 1 || (long long)r->elements != p->ticks)
        fail_pair(p, "the job is not there once");
    if (queue_stat(redis, p->queue, "ticked") != p->ticks)
        fail_pair(p, "more ticks were counted than there were");
    freeReplyObject(r);
}

static void each_tick_comes_once_wherever_it_is_cut(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *p = &pairs[i];
        *p = (struct pair){.command = commands[i / POINTS],
                           .point = points[i % POINTS],
                           .link = i};
        (void)snprintf(p->queue, sizeof(p->queue), "q%u", i);
        begin(p);
    }
    for (unsigned i = 0; i < PAIRS; i++)
        assert_true(worker_is_up(pairs[i].worker, 1));
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *p = &pairs[i];
        proxy_do(proxy, "cut %u %s %s 1", i, p->point, p->command);
        if (strcmp(p->command, "cron_put") == 0)
            redis_do(redis, "ZADD belt:{%s}:cron:due 1 gone", p->queue);
        tick(p, i % 2 == 0 ? YEARLY : SKIPS);
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *p = &pairs[i];
        if (!wait_until(has_fired, p, PATIENCE_MS))
            fail_pair(p, "the command never came");
        if (!wait_until(has_ticked, p, PATIENCE_MS) ||
            !wait_until(is_clean, p, PATIENCE_MS))
            fail_pair(p, "the job never came");
        expect_once(p);
    }
    assert_true(proxy_ask(proxy, "late") >= COMMANDS);
    for (unsigned i = 0; i < PAIRS; i++)
        expect_once(&pairs[i]);
}

/* Nothing of it is left: the next tick comes as any other. */
static void the_next_tick_comes_too(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PAIRS; i++) {
        redis_do(redis, "DEL belt:{%s}:unique:cron:n", pairs[i].queue);
        tick(&pairs[i], NULL);
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        if (!wait_until(has_ticked, &pairs[i], PATIENCE_MS))
            fail_pair(&pairs[i], "the next job never came");
        expect_once(&pairs[i]);
        worker_signal(pairs[i].worker, SIGTERM);
    }
    for (unsigned i = 0; i < PAIRS; i++)
        assert_int_equal(worker_wait(pairs[i].worker, PATIENCE_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tick_comes_once_wherever_it_is_cut),
        cmocka_unit_test(the_next_tick_comes_too),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
