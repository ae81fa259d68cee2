/*
 * Scenarios: what happens to Redis and to the connections it ends itself.
 *
 * Thread: the test's.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/faults/scenarios.h"

static void judge_nobody_reaped(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "%lld jobs of living workers were reaped",
                      battle_stat(b, "reaped"));
}

/* ---- killed, frozen ---- */

void strike_kill_redis(struct battle *b)
{
    unsigned away_ms = battle_random(b, 1500);
    battle_say(b, "kill -9 Redis, back in %u ms", away_ms);
    redis_kill9(b->redis);
    battle_let_pass(b, away_ms);
    redis_restart(b->redis);
}

static bool is_written(void *arg)
{
    struct battle *b = arg;
    redisReply *info = redis_cmd(b->redis, "INFO persistence");
    bool is = strstr(info->str, "aof_buffer_length:0\r") != NULL &&
              strstr(info->str, "aof_pending_bio_fsync:0\r") != NULL;
    freeReplyObject(info);
    return is;
}

/*
 * With everysec a Redis whose disk is behind answers before it has written,
 * and what it forgets then nobody can know. So it is killed when it has
 * written all: the writes that wait meanwhile it has not answered.
 */
static void strike_kill_redis_everysec(struct battle *b)
{
    redis_do(b->redis, "CLIENT PAUSE 60000 WRITE");
    battle_await(b, "the append-only file to be written", is_written, b);
    strike_kill_redis(b);
}

/* Longer than a lease: all workers seem dead, and none is. */
static void strike_freeze_redis(struct battle *b)
{
    battle_say(b, "stop Redis for 7 s, more than two leases");
    (void)kill(redis_pid(b->redis), SIGSTOP);
    battle_let_pass(b, 7000);
    (void)kill(redis_pid(b->redis), SIGCONT);
    battle_await_starts(b, 5);
}

/* Forward, so that all leases run out at once, and back again. */
static void strike_redis_clock(struct battle *b)
{
    b->redis_clock->wall_ms = b->redis_clock->wall_ms == 0 ? 45000 : 0;
    battle_say(b, "the clock of Redis: %+lld ms",
               (long long)b->redis_clock->wall_ms);
    battle_await_starts(b, 5);
    battle_let_pass(b, 1000); /* time for someone to reap */
}

static void heal_redis_clock(struct battle *b)
{
    b->redis_clock->wall_ms = 0;
}

static void judge_redis_clock(struct battle *b)
{
    judge_nobody_reaped(b);
    if (battle_said(b, "ev=clock_step") == 0)
        battle_breach(b, "nobody noticed that the clock was stepped");
}

/* ---- its own means ---- */

void strike_client_kill(struct battle *b)
{
    battle_say(b, "CLIENT KILL of all connections");
    long long n = redis_int(b->redis, "CLIENT KILL TYPE normal SKIPME yes");
    if (n == 0)
        battle_breach(b, "there was no connection to kill");
}

void strike_client_pause(struct battle *b)
{
    unsigned ms = 200 + battle_random(b, 1800);
    bool all = battle_random(b, 2) == 0;
    battle_say(b, "CLIENT PAUSE %u %s", ms, all ? "ALL" : "WRITE");
    redis_do(b->redis, "CLIENT PAUSE %u %s", ms, all ? "ALL" : "WRITE");
    battle_await_starts(b, 5);
}

void strike_script_flush(struct battle *b)
{
    battle_say(b, "SCRIPT FLUSH");
    redis_do(b->redis, "SCRIPT FLUSH");
}

/* ---- no room ---- */

/* What belt push says and how it ends, with one job of type "battle". */
static int push_one(struct battle *b, char *said, size_t size)
{
    const char *argv[] = {BELT_BIN, "push",
                          "-q",     "q",
                          "-u",     redis_url(b->redis),
                          "battle", "{\"n\":999999999,\"do\":\"ok\"}",
                          NULL};
    struct worker *push = worker_exec(b->redis, argv, NULL);
    int rc = worker_wait(push, BATTLE_PATIENCE_MS);
    FILE *log = fopen(worker_log(push), "re");
    size_t n = log != NULL ? fread(said, 1, size - 1, log) : 0;
    said[n] = '\0';
    if (log != NULL)
        (void)fclose(log);
    (void)unlink(worker_log(push));
    worker_free(push);
    return rc;
}

/* Refused with a reason that people understand, and to be tried again. */
static void expect_refusal(struct battle *b, const char *reason)
{
    char said[1024];
    int rc = push_one(b, said, sizeof(said));
    if (rc != 75 || strstr(said, reason) == NULL)
        battle_breach(b, "belt push without room: exit %d, \"%s\"", rc, said);
}

struct settled {
    struct battle *b;
    long long wanted;
};

static bool are_settled(void *arg)
{
    struct settled *s = arg;
    return battle_stat(s->b, "done") >= s->wanted;
}

/* Workers that go on although nothing may be added. */
static void expect_settling(struct battle *b)
{
    long long waiting = redis_int(b->redis, "LLEN belt:{q}");
    struct settled s = {b, battle_stat(b, "done") + waiting / 2};
    battle_await(b, "settling at maxmemory", are_settled, &s);
}

void strike_full(struct battle *b)
{
    battle_say(b, "maxmemory reached: pushes are refused, the rest goes on");
    feed_push(&b->feed, 50);
    redis_do(b->redis, "CONFIG SET maxmemory 1");
    expect_refusal(b, "OOM");
    expect_settling(b);
    redis_do(b->redis, "CONFIG SET maxmemory 0");
}

static char *filler(const struct battle *b)
{
    char *dir = battle_data_dir(b), *path = mem_printf("%s/filler", dir);
    free(dir);
    return path;
}

/* Down to the last byte. */
static void fill_disk(struct battle *b)
{
    static const char block[65536];
    char *path = filler(b);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    size_t n = sizeof(block);
    while (fd >= 0 && n > 0) {
        if (write(fd, block, n) != (ssize_t)n)
            n /= 2;
    }
    if (fd < 0 || close(fd) != 0) {
        perror(path);
        exit(1);
    }
    free(path);
}

static void empty_disk(struct battle *b)
{
    char *path = filler(b);
    (void)unlink(path);
    free(path);
}

static bool disk_is(struct battle *b, const char *status)
{
    redisReply *info = redis_cmd(b->redis, "INFO persistence");
    bool is = strstr(info->str, status) != NULL;
    freeReplyObject(info);
    return is;
}

static bool is_full(void *arg)
{
    struct battle *b = arg;
    feed_push(&b->feed, 1); /* so that there is something to write */
    return disk_is(b, "aof_last_write_status:err");
}

static bool has_room(void *arg)
{
    return disk_is(arg, "aof_last_write_status:ok");
}

/* Redis then refuses every write, so that settling has to wait as well. */
static void strike_disk(struct battle *b)
{
    battle_say(b, "the disk of the append-only file is full");
    fill_disk(b);
    battle_await(b, "Redis to find its disk full", is_full, b);
    expect_refusal(b, "MISCONF");
    battle_let_pass(b, battle_random(b, 2000));
    empty_disk(b);
    battle_await(b, "Redis to find room", has_room, b);
    battle_await_starts(b, 5);
}

const struct scenario scenarios_redis[] = {
    {.name = "restart-always",
     .what = "SIGKILL and restart of Redis, appendfsync always",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 100,
     .no_reruns = true,
     .strike = strike_kill_redis,
     .judge = judge_nobody_reaped},
    {.name = "restart-everysec",
     .what = "SIGKILL and restart of Redis, appendfsync everysec",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 100,
     .redis_conf = "appendfsync everysec",
     .no_reruns = true,
     .strike = strike_kill_redis_everysec,
     .judge = judge_nobody_reaped},
    {.name = "freeze-redis",
     .what = "Redis stands still for longer than two leases",
     .jobs = 2000,
     .short_jobs = 200,
     .jobs_per_strike = 150,
     .no_reruns = true,
     .strike = strike_freeze_redis,
     .judge = judge_nobody_reaped},
    {.name = "redis-clock",
     .what = "the clock of Redis is stepped by 45 s, and back",
     .jobs = 3000,
     .short_jobs = 300,
     .jobs_per_strike = 70,
     .redis_clock = true,
     .no_reruns = true,
     .strike = strike_redis_clock,
     .heal = heal_redis_clock,
     .judge = judge_redis_clock},
    {.name = "client-kill",
     .what = "CLIENT KILL of every connection",
     .jobs = 20000,
     .short_jobs = 500,
     .jobs_per_strike = 25,
     .no_reruns = true,
     .strike = strike_client_kill,
     .judge = judge_nobody_reaped},
    {.name = "client-pause",
     .what = "CLIENT PAUSE, of writes or of all, for up to 2 s",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 120,
     .no_reruns = true,
     .strike = strike_client_pause,
     .judge = judge_nobody_reaped},
    {.name = "script-flush",
     .what = "SCRIPT FLUSH under load",
     .jobs = 10000,
     .short_jobs = 400,
     .jobs_per_strike = 20,
     .no_reruns = true,
     .strike = strike_script_flush,
     .judge = judge_nobody_reaped},
    {.name = "maxmemory",
     .what = "maxmemory reached, noeviction",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 100,
     .no_reruns = true,
     .strike = strike_full,
     .judge = judge_nobody_reaped},
    {.name = "disk-full",
     .what = "no room for the append-only file",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 120,
     .redis_conf = "appendfsync everysec",
     .no_reruns = true,
     .small_disk = true,
     .strike = strike_disk,
     .judge = judge_nobody_reaped},
    {.name = NULL}};
