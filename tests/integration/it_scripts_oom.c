/*
 * Claims about scripts whose Lua runs out of memory, at its first allocation,
 * a later one, and so on until the call succeeds: a job may be there twice,
 * never nowhere. Redis dies of some of them; then what it has written counts.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/calls.h"
#include "tests/integration/faults.h"
#include "tests/support/lua_oom.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { MANY = 1 << 30, ROUNDS = 60, FEED = 20, STEPS_MAX = 5000, FEW = 8 };

static struct lua_oom *oom;

/* A file that this program and redis-server look at. */
static const char *map_control(void)
{
    static char path[64];
    int fd = memfd_create("lua_oom", 0);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*oom)), 0);
    void *map =
        mmap(NULL, sizeof(*oom), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    oom = map;
    (void)snprintf(path, sizeof(path), "LUA_OOM=/proc/%d/fd/%d", (int)getpid(),
                   fd);
    return path;
}

static void arm(int64_t at, int64_t more)
{
    atomic_store(&oom->seen, 0);
    atomic_store(&oom->failed, 0);
    atomic_store(&oom->more, more);
    atomic_store(&oom->countdown, at);
}

static void revive(struct redis *r)
{
    redis_kill9(r); /* it ends already: waits for that */
    redis_restart(r);
}

static bool is_dead(struct redis *r)
{
    const char *ping[] = {"PING"};
    redisReply *pong = redis_try_argv(r, 1, ping, NULL);
    bool dead = pong == NULL;
    freeReplyObject(pong);
    return dead;
}

/*
 * Redis 7.0 notes that a redis.call is under way, and forgets to take that
 * back when Lua runs out of memory in it: from then on every redis.call only
 * returns an error, without raising it. It must be started again.
 */
static bool is_confused(struct redis *r)
{
    char text[16];
    (void)redis_str(r, text, sizeof(text), "EVAL %s 0",
                    "return redis.call('PING').ok or 'confused'");
    return strcmp(text, "PONG") != 0;
}

/* ---- the scripts one by one ---- */

static void load_scripts(void)
{
    for (int s = 0; s < SCRIPT_COUNT; s++)
        redis_do(table_redis(), "SCRIPT LOAD %s", script_source(s));
}

static struct marks marks_now(void)
{
    char *jobs = calls_jobs(table_redis(), false);
    struct marks m = calls_marks(jobs);
    free(jobs);
    return m;
}

struct sum {
    unsigned steps, died, confused;
};

/* How often the job of which there are most is there. */
static unsigned most_of(struct marks m)
{
    unsigned most = 0;
    for (size_t i = 0; i < MARKS; i++)
        most = m.n[i] > most ? m.n[i] : most;
    return most;
}

/* Rebind must never hear of fewer settles than took jobs away. */
static void expect_counted(const struct call *c, long long held, int64_t k)
{
    if (c->script != SCRIPT_settle ||
        redis_int(table_redis(), "LLEN belt:{q}:active:L") == held)
        return;
    if (redis_int(table_redis(), "HEXISTS belt:{q}:lanes L:settles") != 1)
        fail_msg("%s, out of memory at %d: jobs gone, not counted", c->name,
                 (int)k);
}

/* What was settled is settled, even if that could not be answered. */
static void check(const struct call *c, int64_t k, struct marks was, bool ran)
{
    char what[64];
    (void)snprintf(what, sizeof(what), "out of memory at %d", (int)k);
    struct marks now = marks_now();
    calls_none_is_missing(c, was, now, ran, what);
    calls_none_is_beyond(c, now, most_of(was) + 1, what);
}

static void start_again(void)
{
    revive(table_redis());
    load_scripts();
}

/* Returns false once the call succeeds, since no allocation failed. */
static bool fail_at(const struct call *c, int64_t k, struct sum *sum)
{
    (void)table_clear(NULL);
    table_do(c->before);
    /* Texts of the last call would not be allocated again. */
    table_do("EVAL 'collectgarbage()' 0");
    struct marks was = marks_now();
    long long held = redis_int(table_redis(), "LLEN belt:{q}:active:L");
    arm(k, 0);
    char *answer = table_try_script(c->script, c->args);
    bool failed = atomic_load(&oom->failed) > 0, died = answer == NULL;
    arm(0, 0);
    free(answer);
    if (died)
        start_again();
    check(c, k, was, !died);
    expect_counted(c, held, k);
    if (!died && is_confused(table_redis())) {
        sum->confused++;
        start_again();
        check(c, k, was, true);
    }
    sum->died += died;
    sum->steps += failed;
    return failed;
}

/*
 * Every allocation, or every third one, from another first one in each call:
 * neighbours mostly belong to the same redis.call.
 */
static void a_failed_allocation_loses_no_job(void **state)
{
    int64_t step = getenv("BELT_TEST_LONG") != NULL ? 1 : 3;
    (void)state;
    for (size_t i = 0; i < call_count; i++) {
        struct sum sum = {0};
        for (int64_t k = 1 + (int64_t)i % step; fail_at(&calls[i], k, &sum);
             k += step)
            assert_true(k < STEPS_MAX);
        print_message("  %s: %u allocations, Redis died of %u, was confused "
                      "by %u\n",
                      calls[i].name, sum.steps, sum.died, sum.confused);
        /* Or no script was reached; the arguments of a short one are all. */
        assert_true(sum.steps > sum.died || sum.steps < FEW);
    }
}

/* ---- a worker at work ---- */

static bool has_failed(void *arg)
{
    (void)arg;
    return atomic_load(&oom->failed) > 0;
}

static void a_worker_ends_all_jobs_though_lua_runs_out_of_memory(void **state)
{
    struct redis *r = table_redis();
    unsigned pushed = 0, restarts = 0;
    (void)state;
    redis_do(r, "FLUSHALL");
    struct worker *w =
        worker_up(r, NULL,
                  (const char *[]){"--handler", note_handler(r, ""), "--lease",
                                   "3s", NULL});
    for (int64_t i = 1; i <= ROUNDS; i++) {
        for (int j = 0; j < FEED; j++)
            redis_do(r, "RPUSH belt:{q} {\"type\":\"note\",\"payload\":%u}",
                     pushed++);
        arm(i * 7 % 97 + 1, i % 3 == 0 ? MANY : 0);
        assert_true(wait_until(has_failed, NULL, PATIENCE_MS));
        arm(0, 0);
        if (is_dead(r) || is_confused(r)) {
            restarts++;
            revive(r);
        }
    }
    print_message("  %u restarts in %d rounds\n", restarts, ROUNDS);
    assert_true(queue_at_rest(r, "q", PATIENCE_MS));
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    worker_free(w);
    expect_each_ran(r, pushed);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:dead"), 0);
}

/* ---- */

static int begin(void **state)
{
    const char *env[] = {"LD_PRELOAD=" LUA_OOM_SHIM, map_control(), NULL};
    (void)state;
    /* What is answered is written, if not to the disk: "everysec" may wait. */
    table_use(redis_start(&(struct redis_opts){
        .appendonly = true, .conf = "appendfsync no", .env = env}));
    load_scripts();
    arm(MANY, 0);
    table_do("EVAL 'return {}' 0");
    int64_t seen = atomic_load(&oom->seen);
    arm(0, 0);
    if (seen > 0)
        return 0;
    print_message("SKIPPED: this redis-server's Lua allocates in a way that "
                  "LD_PRELOAD does not reach\n");
    (void)table_stop(NULL);
    exit(77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_allocation_loses_no_job),
        cmocka_unit_test(a_worker_ends_all_jobs_though_lua_runs_out_of_memory),
    };
    return cmocka_run_group_tests(tests, begin, table_stop);
}
