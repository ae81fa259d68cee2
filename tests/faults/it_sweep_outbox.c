/*
 * Claims about what follows a job in other queues: wherever the connection is
 * cut between its settle and the last step of the relay, whoever dies there,
 * and though Redis is killed: it arrives, once, and in order.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60 * 1000, CUTS_MAX = 48, NAME_BYTES = 24 };

/* The steps of a relay that brings on three jobs: one, then two. */
static const struct {
    const char *command;
    unsigned nth;
    bool kill_too; /* at once, before the lane is back */
} steps[] = {
    {"settle", 1, true},    {"LRANGE", 1, true},   {"SADD", 1, false},
    {"push_one", 1, true},  {"LREM", 1, true},     {"LRANGE", 2, false},
    {"push_one", 2, false}, {"push_one", 3, true}, {"LREM", 3, true}};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static const char *const points[] = {"before", "after", "middle", "late"};
enum { POINTS = sizeof(points) / sizeof(points[0]) };

struct cut {
    const char *command, *point;
    bool kills;
    unsigned link;
    char queue[NAME_BYTES]; /* others: with r and s behind it */
    struct worker *worker, *next;
};

static struct redis *redis;
static struct proxy *proxy;
static struct cut cuts[CUTS_MAX];
static unsigned count;

static int over(void **state)
{
    (void)state;
    for (unsigned i = 0; i < count; i++) {
        worker_free(cuts[i].worker);
        worker_free(cuts[i].next);
        cuts[i].worker = cuts[i].next = NULL;
    }
    count = 0;
    proxy_stop(proxy);
    proxy = NULL;
    redis_stop(redis);
    redis = NULL;
    return 0;
}

static struct worker *worker(const char *url, const char *queue)
{
    return worker_exec(redis,
                       (const char *[]){BELT_WORKER_BIN, "-u", url, "-q", queue,
                                        "--lease", "3s", "--handler",
                                        "t=builtin:noop", NULL},
                       (const char *[]){"BELT_HOST=one", NULL});
}

static void fail_cut(const struct cut *c, const char *what)
{
    redisReply *left =
        redis_cmd(redis, "LRANGE belt:{%s}:outbox 0 -1", c->queue);
    fail_msg("%s %s%s: %s (queue %s, %zu in outbox, log %s)", c->point,
             c->command, c->kills ? ", killed" : "", what, c->queue,
             left->elements, worker_log(c->worker));
}

static void await(struct cut *c, wait_cond cond, const char *what)
{
    if (!wait_until(cond, c, PATIENCE_MS))
        fail_cut(c, what);
}

/* ---- steps ---- */

static void add(unsigned step, unsigned point, bool kills)
{
    struct cut *c = &cuts[count];
    assert_true(count < CUTS_MAX);
    *c = (struct cut){.command = steps[step].command,
                      .point = points[point],
                      .kills = kills,
                      .link = count};
    (void)snprintf(c->queue, sizeof(c->queue), "q%u", count++);
}

static bool is_idle(void *arg)
{
    const struct cut *c = arg;
    return proxy_ask(proxy, "seen BLMOVE %u", c->link) > 0;
}

static void push(const struct cut *c)
{
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "{\"id\":\"a\",\"type\":\"t\",\"then\":[{\"type\":\"t\","
                   "\"queue\":\"%sr\",\"payload\":1},{\"type\":\"t\",\"queue\":"
                   "\"%ss\",\"payload\":2},{\"type\":\"t\",\"queue\":\"%sr\","
                   "\"payload\":3}]}",
                   c->queue, c->queue, c->queue);
    redis_do(redis, "RPUSH belt:{%s} %s", c->queue, text);
}

static bool has_fired(void *arg)
{
    const struct cut *c = arg;
    return proxy_ask(proxy, "fired %u", c->link) > 0;
}

static bool has_ended(void *arg)
{
    const struct cut *c = arg;
    return worker_has_ended(c->worker);
}

/* Another one of its host, past the proxy. */
static void replace(struct cut *c)
{
    worker_signal(c->worker, SIGKILL);
    await(c, has_ended, "cannot be killed");
    c->next = worker(redis_url(redis), c->queue);
}

static bool is_over(void *arg)
{
    const struct cut *c = arg;
    return redis_int(redis, "LLEN belt:{%sr}", c->queue) >= 2 &&
           redis_int(redis, "LLEN belt:{%ss}", c->queue) >= 1 &&
           redis_int(redis, "EXISTS belt:{%s}:outbox", c->queue) == 0 &&
           queue_at_rest(redis, c->queue, 0);
}

static void expect_payload(const struct cut *c, const char *other, int i,
                           const char *payload)
{
    char got[512];
    (void)redis_str(redis, got, sizeof(got), "LINDEX belt:{%s%s} %d", c->queue,
                    other, i);
    if (strstr(got, payload) == NULL)
        fail_cut(c, got);
}

static void audit(struct cut *c)
{
    if (redis_int(redis, "LLEN belt:{%sr}", c->queue) != 2 ||
        redis_int(redis, "LLEN belt:{%ss}", c->queue) != 1 ||
        redis_int(redis, "HINCRBY belt:{%sr}:stats pushed 0", c->queue) != 2 ||
        redis_int(redis, "HINCRBY belt:{%s}:stats done 0", c->queue) != 1)
        fail_cut(c, "not once");
    expect_payload(c, "r", 0, "\"payload\":1");
    expect_payload(c, "r", 1, "\"payload\":3");
    expect_payload(c, "s", 0, "\"payload\":2");
    if (redis_int(redis, "SISMEMBER belt:queues %sr", c->queue) != 1)
        fail_cut(c, "its queue is not known");
}

static void stop(struct cut *c)
{
    struct worker *w = c->kills ? c->next : c->worker;
    worker_signal(w, SIGTERM);
    if (worker_wait(w, PATIENCE_MS) != 0)
        fail_cut(c, "does not end in peace");
}

static void what_follows_arrives_once_whatever_is_cut(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        for (unsigned p = 0; p < POINTS; p++)
            add(i, p, false);
        if (steps[i].kill_too) {
            add(i, 0, true);
            add(i, 1, true);
        }
    }
    redis = redis_start(NULL);
    proxy = proxy_start(redis, count);
    for (unsigned i = 0; i < count; i++)
        cuts[i].worker = worker(proxy_url(proxy, cuts[i].link), cuts[i].queue);
    for (unsigned i = 0, step = 0, n = 0; i < count; i++) {
        await(&cuts[i], is_idle, "it does not wait for jobs");
        proxy_do(proxy, "cut %u %s %s %u", cuts[i].link, cuts[i].point,
                 cuts[i].command, steps[step].nth);
        if (++n == POINTS + (steps[step].kill_too ? 2 : 0)) {
            step++;
            n = 0;
        }
    }
    for (unsigned i = 0; i < count; i++)
        push(&cuts[i]);
    for (unsigned i = 0; i < count; i++) {
        await(&cuts[i], has_fired, "the command never came");
        if (cuts[i].kills)
            replace(&cuts[i]);
    }
    for (unsigned i = 0; i < count; i++)
        await(&cuts[i], is_over, "nothing arrives");
    (void)proxy_ask(proxy, "late");
    for (unsigned i = 0; i < count; i++)
        audit(&cuts[i]);
    for (unsigned i = 0; i < count; i++)
        stop(&cuts[i]);
    for (unsigned i = 0; i < count; i++)
        audit(&cuts[i]);
}

/* ---- Redis is killed ---- */

enum { JOBS = 300 };

static bool some_have_arrived(void *arg)
{
    (void)arg;
    return redis_int(redis, "LLEN belt:{r}") > 20;
}

static bool all_have_arrived(void *arg)
{
    (void)arg;
    return redis_int(redis, "LLEN belt:{r}") >= JOBS &&
           redis_int(redis, "EXISTS belt:{q}:outbox") == 0;
}

static void expect_each_once(void)
{
    redisReply *all = redis_cmd(redis, "LRANGE belt:{r} 0 -1");
    bool seen[JOBS] = {false};
    assert_int_equal(all->elements, JOBS);
    for (size_t i = 0; i < all->elements; i++) {
        const char *at = strstr(all->element[i]->str, "\"payload\":");
        assert_non_null(at);
        int n = atoi(at + strlen("\"payload\":"));
        assert_in_range(n, 0, JOBS - 1);
        assert_false(seen[n]);
        seen[n] = true;
    }
    freeReplyObject(all);
}

static void what_follows_outlives_redis(void **state)
{
    static const struct redis_opts opts = {.appendonly = true,
                                           .conf = "appendfsync always"};
    (void)state;
    redis = redis_start(&opts);
    count = 1;
    cuts[0] = (struct cut){.worker = worker(redis_url(redis), "q")};
    for (int i = 0; i < JOBS; i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "{\"id\":\"%d\",\"type\":\"t\",\"then\":{\"type\":\"t\","
                       "\"queue\":\"r\",\"payload\":%d}}",
                       i, i);
        redis_do(redis, "RPUSH belt:{q} %s", text);
    }
    assert_true(wait_until(some_have_arrived, NULL, PATIENCE_MS));
    redis_kill9(redis);
    redis_restart(redis);
    assert_true(wait_until(all_have_arrived, NULL, PATIENCE_MS));
    assert_true(queue_at_rest(redis, "q", PATIENCE_MS));
    expect_each_once();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_follows_arrives_once_whatever_is_cut,
                                  over),
        cmocka_unit_test_teardown(what_follows_outlives_redis, over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
