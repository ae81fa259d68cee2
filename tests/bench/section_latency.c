/*
 * Latency: from the push of a job to the start of its handler in a worker that
 * has nothing to do, against a bare client that waits in BLMOVE.
 *
 * The worker is the real agent, in a process of its own. The linker puts
 * __wrap_handler_run in the place of handler_run (--wrap): it writes down the
 * time, wakes us, and goes on to the real one. Both wait at the same Redis;
 * each push goes to one of them in turn, after both were seen to be blocked
 * again and some milliseconds have passed.
 *
 * Thread: main; __wrap_handler_run in a pool thread of the worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/bench/bench.h"
#include "worker/agent.h"
#include "worker/guard.h"
#include "worker/handler.h"
#include "worker/options.h"
#include "worker/reload.h"

enum {
    PUSHES = 1000, /* to each, in a round */
    BYTES = 200,
    WAIT_S = 20, /* then something is broken */
    PAUSE_MIN_US = 1000,
    PAUSE_MAX_US = 5000
};

static const char queue[] = "bench", bare_queue[] = "bare";

/* When it was there, written by the process that got the job. */
static struct arrival {
    int64_t at_us;
    sem_t there;
} * arrival; /* shared */

static void arrived(int64_t now_us)
{
    arrival->at_us = now_us;
    sem_post(&arrival->there);
}

void __real_handler_run(struct delivery *d, int cancel_fd);
void __wrap_handler_run(struct delivery *d, int cancel_fd);

void __wrap_handler_run(struct delivery *d, int cancel_fd)
{
    arrived(clock_us());
    __real_handler_run(d, cancel_fd);
}

static void be_worker(void *arg)
{
    struct bench *b = arg;
    char url[128],
        words[][32] = {"belt-worker",    "-q",          "bench", "--handler",
                       "*=builtin:noop", "--log-level", "warn",  "-u"};
    char *argv[] = {words[0], words[1], words[2], words[3], words[4],
                    words[5], words[6], words[7], url,      NULL};
    struct options o;
    struct agent_end end;
    struct errbuf eb;

    snprintf(url, sizeof(url), "%s", redis_url(b->redis));
    if (options_parse(9, argv, &o, &eb) != 0 ||
        guard_start(o.config.threads, &eb) != 0)
        bench_fail("worker: %s", eb.text);
    log_setup(o.log_level, o.log_format);
    struct reload *reload = reload_new(9, argv, &o);
    if (agent_run(reload, &end) != 0)
        bench_fail("worker: it did not end in order");
    guard_stop();
    reload_free(reload);
}

static void be_bare(void *arg)
{
    struct bench *b = arg;
    redisContext *c = bench_connect(b);

    for (;;) {
        redisReply *r = redisCommand(
            c, "BLMOVE belt:{%s} belt:{%s}:active:bare LEFT RIGHT 0",
            bare_queue, bare_queue);
        int64_t now_us = clock_us();
        if (r == NULL || r->type != REDIS_REPLY_STRING)
            bench_fail("BLMOVE: %s", c->errstr);
        arrived(now_us);
        freeReplyObject(r);
        r = redisCommand(c, "DEL belt:{%s}:active:bare", bare_queue);
        freeReplyObject(r);
    }
}

static void pause_us(long us)
{
    struct timespec t = {.tv_nsec = us * 1000};

    nanosleep(&t, NULL);
}

/* Until both wait in BLMOVE. */
static void wait_until_idle(struct bench *b)
{
    int64_t deadline_ms = clock_ms() + WAIT_S * 1000;

    while (bench_info(b, "clients", "blocked_clients") < 2) {
        if (clock_ms() > deadline_ms)
            bench_fail("latency: nobody waits for jobs");
        pause_us(200);
    }
}

/* Returns microseconds. */
static double push_one(redisContext *c, const char *to, struct envelope *e,
                       int64_t n)
{
    struct timespec deadline;
    int64_t begin_us;

    envelope_set(e, n);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_S;
    begin_us = clock_us();
    redisReply *r = redisCommand(c, "RPUSH belt:{%s} %b", to, e->text, e->len);
    while (sem_timedwait(&arrival->there, &deadline) != 0)
        if (errno != EINTR)
            bench_fail("latency: a job did not arrive");
    if (r == NULL || r->type != REDIS_REPLY_INTEGER)
        bench_fail("RPUSH: %s", c->errstr);
    freeReplyObject(r);
    return (double)(arrival->at_us - begin_us);
}

static void push_all(struct bench *b, int n, double *belt, double *bare)
{
    redisContext *c = bench_connect(b);
    struct envelope e;

    envelope_init(&e, BYTES);
    for (int i = 0; i < 2 * n; i++) {
        bool to_belt = ((unsigned)i + b->round) % 2 != 0;
        wait_until_idle(b);
        pause_us(PAUSE_MIN_US + random() % (PAUSE_MAX_US - PAUSE_MIN_US + 1));
        if (to_belt)
            belt[i / 2] = push_one(c, queue, &e, i);
        else
            bare[i / 2] = push_one(c, bare_queue, &e, i);
    }
    wait_until_idle(b);
    envelope_done(&e);
    redisFree(c);
}

static void run_round(struct bench *b)
{
    static const struct {
        struct figure figure;
        double share;
    } quantiles[] = {
        {{"push to handler start p50", "us", "BLMOVE", GOAL_RATIO_MAX, 2}, 0.5},
        {{"push to handler start p99", "us", "BLMOVE", GOAL_RATIO_MAX, 5},
         0.99},
        {{.name = "push to handler start max",
          .unit = "us",
          .against = "BLMOVE"},
         1}};
    static double belt[PUSHES], bare[PUSHES];
    int n = bench_times(b, PUSHES);
    pid_t worker = bench_fork(be_worker, b), client = bench_fork(be_bare, b);

    push_all(b, n, belt, bare);
    bench_join(worker, SIGTERM);
    bench_join(client, SIGKILL);
    bench_expect_done(b, queue, n, -1);
    for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++)
        bench_record(b, &quantiles[q].figure,
                     bench_quantile(belt, (size_t)n, quantiles[q].share),
                     bench_quantile(bare, (size_t)n, quantiles[q].share));
}

static void setup(struct bench *b)
{
    (void)b;
    arrival = bench_shared(sizeof(*arrival));
    if (sem_init(&arrival->there, 1, 0) != 0)
        bench_fail("sem_init: %s", strerror(errno));
}

const struct section section_latency = {
    .name = "latency",
    .about = "one job to a worker that waits",
    .setup = setup,
    .round = run_round,
};
