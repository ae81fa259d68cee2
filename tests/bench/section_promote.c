/*
 * Promotion: how late a job is that was to run later, and what a million of
 * them that are due at once do to everybody else.
 *
 * Late: each job is due at a random instant and pushed at a random one before;
 * the worker that waits for it says when it has started it (the news of a kept
 * job, in whole ms). Beside it, on the same Redis, a bare client sleeps until
 * the instants of its own jobs and moves each by ZPOPMIN and RPUSH. Meanwhile a
 * second worker runs no-op jobs of another queue as fast as it can.
 *
 * At once: a client asks for PONG once in a while, as long as a worker runs a
 * million no-op jobs that are due, and as long as it runs as many that are
 * ready. Redis' slow log has each call of promote.
 *
 * Thread: main.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/redis/script.h"
#include "tests/bench/bench.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum {
    LATE = 500,        /* jobs of each kind in a round */
    EVERY_MS = 6,      /* on the average, one is pushed */
    AHEAD_MS = 1000,   /* is due at most so long after that */
    LOAD = 100000,     /* no-op jobs that wait at least */
    LOAD_PUSH = 20000, /* pushed at once */
    MILLION = 1000000, /* due at once */
    FILL = 10000,      /* of them, put there at once */
    PROBES = 100000,   /* at most */
    PROBE_US = 500,    /* between two */
    WAIT_MS = 10 * 60 * 1000,
    SLOWLOG = 100000,
    BYTES = 200
};

static const char queue[] = "bench", bare[] = "bare", load[] = "load";

static void sleep_until(int64_t wall_ms)
{
    int64_t ms = wall_ms - clock_wall_ms();
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    if (ms > 0)
        nanosleep(&t, NULL);
}

/* Takes one reply, which must be no error; owned. */
static redisReply *take(redisContext *c)
{
    void *reply = NULL;

    if (redisGetReply(c, &reply) != REDIS_OK)
        bench_fail("promote: %s", c->errstr);
    redisReply *r = reply;
    if (r->type == REDIS_REPLY_ERROR)
        bench_fail("promote: %s", r->str);
    return r;
}

/* ---- late ---- */

/* Instants of the bare client's jobs, ascending, and how late each was. */
static struct bare_jobs {
    int64_t due_ms[LATE];
    double late_ms[LATE];
    int n;
} * bare_jobs; /* shared */

static void be_bare(void *arg)
{
    struct bench *b = arg;
    redisContext *c = bench_connect(b);

    for (int i = 0; i < bare_jobs->n; i++) {
        sleep_until(bare_jobs->due_ms[i]);
        redisAppendCommand(c, "ZPOPMIN belt:{%s}:scheduled", bare);
        redisAppendCommand(c, "RPUSH belt:{%s} x", bare);
        freeReplyObject(take(c));
        freeReplyObject(take(c));
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        bare_jobs->late_ms[i] =
            (double)(t.tv_sec * 1000 - bare_jobs->due_ms[i]) +
            (double)t.tv_nsec / 1e6;
    }
    redisFree(c);
}

/* Keeps the other worker busy until it is killed. */
static void be_feeder(void *arg)
{
    redisContext *c = bench_connect(arg);
    struct envelope e;

    envelope_init(&e, BYTES);
    for (int64_t n = 0;;) {
        redisAppendCommand(c, "LLEN belt:{%s}", load);
        if (bench_reply_int(c) >= LOAD) {
            sleep_until(clock_wall_ms() + 5);
            continue;
        }
        for (int i = 0; i < LOAD_PUSH; i++) {
            envelope_set(&e, n++ % 90000000);
            redisAppendCommand(c, "RPUSH belt:{%s} %b", load, e.text, e.len);
            if (i >= PIPELINE)
                (void)bench_reply_int(c);
        }
        for (int i = 0; i < PIPELINE; i++)
            (void)bench_reply_int(c);
    }
}

static void push_later(redisContext *c, int n, int64_t due_ms)
{
    char envelope[160], id[32], due[32], created[32], key[8][64];
    static const char *const names[] = {"",          ":config",    ":stats",
                                        ":stats:0",  ":scheduled", ":control",
                                        ":job:none", ":job:"};
    snprintf(id, sizeof(id), "j%d", n);
    for (int i = 0; i < 8; i++)
        snprintf(key[i], sizeof(key[i]), "belt:{%s}%s%s", queue, names[i],
                 i == 7 ? id : "");
    snprintf(envelope, sizeof(envelope),
             "{\"id\":\"%s\",\"type\":\"x\",\"keep\":600000}", id);
    snprintf(due, sizeof(due), "%lld", (long long)due_ms);
    snprintf(created, sizeof(created), "%lld", (long long)clock_wall_ms());
    const char *argv[] = {"EVAL",   script_source(SCRIPT_push_one),
                          "9",      key[0],
                          key[1],   key[2],
                          key[3],   key[4],
                          key[6],   key[6],
                          key[6],   key[7],
                          "0",      "1",
                          envelope, id,
                          due,      "0",
                          "",       "skip",
                          "0",      "1",
                          "x",      created,
                          key[5]};
    redisAppendCommandArgv(c, sizeof(argv) / sizeof(argv[0]), argv, NULL);
    redisReply *r = take(c);
    if (r->elements < 1 || strcmp(r->element[0]->str, "OK") != 0)
        bench_fail("promote: push_one refused a job");
    freeReplyObject(r);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void plan_bare(struct bench *b, int n, int64_t begin_ms)
{
    bare_jobs->n = n;
    for (int i = 0; i < n; i++)
        bare_jobs->due_ms[i] = begin_ms + random() % (n * EVERY_MS + 1);
    qsort(bare_jobs->due_ms, (size_t)n, sizeof(int64_t), ascending);
    for (int i = 0; i < n; i++)
        redis_do(b->redis, "ZADD belt:{%s}:scheduled %lld x%d", bare,
                 (long long)bare_jobs->due_ms[i], i);
}

static bool are_done(void *arg)
{
    const struct bench *b = arg;

    return queue_stat(b->redis, queue, "done") >= bench_times(b, LATE);
}

static double late(struct bench *b, int n, int64_t due_ms)
{
    return (double)(redis_int(b->redis, "EVAL %s 1 belt:{%s}:job:j%d",
                              "return tonumber(redis.call('HGET', KEYS[1], "
                              "'started_at'))",
                              queue, n) -
                    due_ms);
}

static void measure_late(struct bench *b)
{
    static const struct {
        struct figure figure;
        double share;
    } quantiles[] = {
        {{"due to handler start p50", "ms", "ZPOPMIN+RPUSH", GOAL_NONE, 0},
         0.5},
        {{"due to handler start p99", "ms", "ZPOPMIN+RPUSH", GOAL_VALUE_MAX,
          50},
         0.99},
        {{"due to handler start max", "ms", "ZPOPMIN+RPUSH", GOAL_NONE, 0}, 1}};
    static int64_t due_ms[LATE];
    static double late_ms[LATE];
    int n = bench_times(b, LATE);
    struct worker *busy = bench_worker_begin(
        b, (const char *[]){"-q", load, "--handler", "*=builtin:noop", NULL});
    struct worker *w = bench_worker_begin(
        b, (const char *[]){"-q", queue, "--handler", "*=builtin:noop", NULL});
    pid_t feeder = bench_fork(be_feeder, b);
    redisContext *c = bench_connect(b);
    int64_t begin_ms = clock_wall_ms() + AHEAD_MS;

    plan_bare(b, n, begin_ms);
    pid_t client = bench_fork(be_bare, b);
    for (int i = 0; i < n; i++) {
        sleep_until(begin_ms + i * EVERY_MS);
        due_ms[i] = clock_wall_ms() + 5 + random() % AHEAD_MS;
        push_later(c, i, due_ms[i]);
    }
    if (!wait_until(are_done, b, WAIT_MS))
        bench_fail("promote: the jobs do not end");
    bench_join(client, 0);
    for (int i = 0; i < n; i++)
        late_ms[i] = late(b, i, due_ms[i]);
    bench_join(feeder, SIGKILL);
    bench_worker_end(w);
    bench_worker_end(busy);
    redisFree(c);
    for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++)
        bench_record(
            b, &quantiles[q].figure,
            bench_quantile(late_ms, (size_t)n, quantiles[q].share),
            bench_quantile(bare_jobs->late_ms, (size_t)n, quantiles[q].share));
}

/* ---- at once ---- */

struct crowd {
    struct bench *bench;
    bool due; /* in scheduled, or else in ready */
    int64_t jobs;
    double wall_s;
    double pongs_us[PROBES];
    size_t probes;
    double calls_us[SLOWLOG]; /* of promote, if due */
    size_t calls;
};

static void fill(struct crowd *r)
{
    static const char text[] =
        "for i = ARGV[1], ARGV[1] + ARGV[2] - 1 do local e = "
        "string.format('{\"id\":\"j%d\",\"type\":\"x\",\"payload\":"
        "{\"user\":%d,\"text\":\"%s\"}}', i, i, string.rep('x', 100)) "
        "if KEYS[1] == KEYS[2] then redis.call('RPUSH', KEYS[1], e) else "
        "redis.call('ZADD', KEYS[1], 1e12 + math.random(1e6), e) end end "
        "return 1";
    for (int64_t i = 0; i < r->jobs; i += FILL) {
        int64_t n = r->jobs - i < FILL ? r->jobs - i : FILL;
        redis_do(r->bench->redis, "EVAL %s 2 belt:{%s}%s belt:{%s} %lld %lld",
                 text, queue, r->due ? ":scheduled" : "", queue, (long long)i,
                 (long long)n);
    }
}

/* A PONG now and then, until all is done. */
static void probe(struct crowd *r)
{
    redisContext *c = bench_connect(r->bench);
    struct timespec t = {.tv_nsec = PROBE_US * 1000};
    int64_t deadline_ms = clock_ms() + WAIT_MS;
    bool done = false;

    while (!done) {
        int64_t begin_us = clock_us();
        redisAppendCommand(c, "PING");
        freeReplyObject(take(c));
        if (r->probes < PROBES)
            r->pongs_us[r->probes++] = (double)(clock_us() - begin_us);
        nanosleep(&t, NULL);
        if (r->probes % 20 == 0)
            done = queue_stat(r->bench->redis, queue, "done") >= r->jobs;
        if (clock_ms() > deadline_ms)
            bench_fail("promote: the jobs do not end");
    }
    redisFree(c);
}

static void read_slowlog(struct crowd *r)
{
    redisReply *log = redis_cmd(r->bench->redis, "SLOWLOG GET %d", SLOWLOG);

    for (size_t i = 0; i < log->elements; i++) {
        const redisReply *entry = log->element[i], *words = entry->element[3];
        if (words->elements < 2 ||
            strcmp(words->element[0]->str, "EVALSHA") != 0 ||
            strcmp(words->element[1]->str, script_sha(SCRIPT_promote)) != 0)
            continue;
        r->calls_us[r->calls++] = (double)entry->element[2]->integer;
    }
    freeReplyObject(log);
}

static void run_crowd(struct crowd *r)
{
    struct bench *b = r->bench;
    struct cost_mark m;
    struct cost cost;

    bench_empty(b);
    fill(r);
    redis_do(b->redis, "CONFIG SET slowlog-max-len %d", SLOWLOG);
    redis_do(b->redis, "CONFIG SET slowlog-log-slower-than 0");
    redis_do(b->redis, "SLOWLOG RESET");
    cost_begin(b, &m);
    struct worker *w = bench_worker_begin(
        b, (const char *[]){"-q", queue, "--handler", "*=builtin:noop", NULL});
    probe(r);
    cost_end(b, &m, &cost);
    r->wall_s = cost.wall_s;
    redis_do(b->redis, "CONFIG SET slowlog-log-slower-than -1");
    read_slowlog(r);
    bench_worker_end(w);
    bench_expect_done(b, queue, r->jobs, -1);
}

static void run_ready(void *arg)
{
    run_crowd((struct crowd *)arg + 0);
}

static void run_due(void *arg)
{
    run_crowd((struct crowd *)arg + 1);
}

static void measure_at_once(struct bench *b)
{
    static const struct figure call = {.name = "due at once: call p99",
                                       .unit = "us",
                                       .goal = GOAL_VALUE_MAX,
                                       .limit = 3000},
                               longest = {.name = "due at once: longest call",
                                          .unit = "us",
                                          .goal = GOAL_VALUE_MAX,
                                          .limit = 5000},
                               rate = {.name = "due at once: rate",
                                       .unit = "jobs/s",
                                       .against = "ready"},
                               p99 = {.name = "due at once: PING p99",
                                      .unit = "us",
                                      .against = "ready"},
                               most = {.name = "due at once: PING max",
                                       .unit = "us",
                                       .against = "ready"};
    struct crowd *r = calloc(2, sizeof(*r));

    for (int i = 0; i < 2; i++) {
        r[i].bench = b;
        r[i].due = i == 1;
        r[i].jobs = bench_jobs(b, MILLION);
    }
    bench_pair(b, run_ready, run_due, r);
    if (r[1].calls < 1)
        bench_fail("promote: nothing was promoted");
    bench_record(b, &call, bench_quantile(r[1].calls_us, r[1].calls, 0.99), 0);
    bench_record(b, &longest, bench_quantile(r[1].calls_us, r[1].calls, 1), 0);
    bench_record(b, &rate, (double)r[1].jobs / r[1].wall_s,
                 (double)r[0].jobs / r[0].wall_s);
    bench_record(b, &p99, bench_quantile(r[1].pongs_us, r[1].probes, 0.99),
                 bench_quantile(r[0].pongs_us, r[0].probes, 0.99));
    bench_record(b, &most, bench_quantile(r[1].pongs_us, r[1].probes, 1),
                 bench_quantile(r[0].pongs_us, r[0].probes, 1));
    free(r);
}

static void run_round(struct bench *b)
{
    measure_late(b);
    measure_at_once(b);
}

static void setup(struct bench *b)
{
    (void)b;
    bare_jobs = bench_shared(sizeof(*bare_jobs));
}

const struct section section_promote = {
    .name = "promote",
    .about = "jobs that were to run later, beside a worker that is busy",
    .setup = setup,
    .round = run_round,
};
