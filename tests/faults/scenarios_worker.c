/*
 * Scenarios: what happens to workers.
 *
 * Killed, they are replaced, so that the army keeps its strength; whether the
 * new one is of the same host decides how long its jobs wait: a neighbour
 * sees that the process is gone, others wait for the lease to run out.
 *
 * Thread: the test's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/faults/scenarios.h"

/* ---- none ---- */

static void judge_calm(struct battle *b)
{
    size_t n;
    uint64_t last = 0;
    struct run *runs = record_read(b->record, &n);
    for (size_t i = 0; i < n; i++) {
        if (runs[i].serial == 0)
            continue;
        if (runs[i].serial < last)
            battle_breach(b, "job %llu ran after job %llu",
                          (unsigned long long)runs[i].serial,
                          (unsigned long long)last);
        last = runs[i].serial;
    }
    free(runs);
    /* Released may be some: a slow machine makes short jobs long ones. */
    if (battle_stat(b, "reaped") + battle_stat(b, "straggled") != 0)
        battle_breach(b, "jobs were taken back though nothing happened");
}

/* ---- killed ---- */

struct held {
    struct battle *b;
    unsigned fighter;
};

/* Whether the lane of this worker holds some jobs; pushes more if none wait. */
static bool holds_jobs(void *arg)
{
    static const char script[] =
        "local l = redis.call('HGETALL', 'belt:{q}:lanes') "
        "for i = 1, #l, 2 do if string.find(l[i + 1], ARGV[1], 1, true) then "
        "return redis.call('LLEN', 'belt:{q}:active:' .. l[i]) end end "
        "return 0";
    struct held *h = arg;
    char pid[40];
    (void)snprintf(pid, sizeof(pid), "\"pid\":%d,",
                   (int)worker_pid(h->b->army[h->fighter].w));
    if (redis_int(h->b->redis, "EVAL %s 0 %s", script, pid) > 1)
        return true;
    if (feed_backlog(&h->b->feed) == 0)
        feed_push(&h->b->feed, 20);
    return false;
}

/* Kills somebody whose death must be noticed by what it leaves behind. */
static unsigned kill_one_that_holds_jobs(struct battle *b)
{
    struct held h = {b, battle_someone(b)};
    battle_await(b, "a worker to hold jobs", holds_jobs, &h);
    battle_signal(b, h.fighter, SIGKILL);
    return h.fighter;
}

void strike_kill_worker(struct battle *b)
{
    unsigned i = battle_someone(b);
    battle_say(b, "kill -9 worker %u, a new one on its host", i);
    battle_signal(b, i, SIGKILL);
    battle_enlist(b, i);
}

/* What they held was taken back, by those who saw that the process is gone. */
static void judge_killed(struct battle *b)
{
    if (battle_stat(b, "reaped") == 0 ||
        battle_said(b, "why=\"process is gone\"") == 0)
        battle_breach(b, "no neighbour took a dead worker's jobs back");
}

static void judge_killed_host(struct battle *b)
{
    if (battle_stat(b, "reaped") == 0 ||
        battle_said(b, "why=\"lease ran out\"") == 0)
        battle_breach(b, "nobody took the jobs of a dead host back");
}

static void strike_kill_host(struct battle *b)
{
    unsigned i = kill_one_that_holds_jobs(b);
    battle_say(b, "kill -9 worker %u, a new one on another host", i);
    (void)snprintf(b->army[i].host, sizeof(b->army[i].host), "host-%u-%u", i,
                   b->strikes);
    battle_enlist(b, i);
}

void strike_kill_all(struct battle *b)
{
    battle_say(b, "kill -9 all workers");
    for (unsigned i = 0; i < b->army_size; i++)
        battle_signal(b, i, SIGKILL);
    for (unsigned i = 0; i < b->army_size; i++)
        battle_enlist(b, i);
}

/*
 * Neighbours all see the death and call reap. Redis is held meanwhile, so
 * that their calls wait in line and are run one right after the other.
 */
static void strike_two_reapers(struct battle *b)
{
    unsigned i = kill_one_that_holds_jobs(b);
    battle_say(b, "kill -9 worker %u, its neighbours all reap it", i);
    (void)kill(redis_pid(b->redis), SIGSTOP);
    battle_let_pass(b, 2500);
    (void)kill(redis_pid(b->redis), SIGCONT);
    battle_enlist(b, i);
}

/* ---- paused ---- */

struct lane_of {
    struct battle *b;
    unsigned fighter;
    unsigned fenced; /* lines that said so before */
};

/* Whether a lane of this process is still described. */
static bool is_reaped(void *arg)
{
    static const char script[] =
        "for _, v in ipairs(redis.call('HVALS', 'belt:{q}:lanes')) do "
        "if string.find(v, ARGV[1], 1, true) then return 0 end end return 1";
    struct lane_of *l = arg;
    char pid[40];
    (void)snprintf(pid, sizeof(pid), "\"pid\":%d,",
                   (int)worker_pid(l->b->army[l->fighter].w));
    return redis_int(l->b->redis, "EVAL %s 0 %s", script, pid) == 1;
}

static bool has_joined(void *arg)
{
    return !is_reaped(arg);
}

static bool is_fenced(void *arg)
{
    struct lane_of *l = arg;
    return worker_count(l->b->army[l->fighter].w, "ev=fenced") > l->fenced;
}

void strike_pause_worker(struct battle *b)
{
    struct lane_of l = {.b = b, .fighter = battle_someone(b)};
    battle_say(b, "stop worker %u until it is reaped", l.fighter);
    battle_await(b, "a lane to be taken", has_joined, &l);
    l.fenced = worker_count(b->army[l.fighter].w, "ev=fenced");
    battle_signal(b, l.fighter, SIGSTOP);
    battle_await(b, "a stopped worker to be reaped", is_reaped, &l);
    if (battle_random(b, 2) == 0)
        battle_await_starts(b, 10);
    battle_signal(b, l.fighter, SIGCONT);
    battle_await(b, "a worker to learn of it", is_fenced, &l);
    battle_await(b, "its next lane", has_joined, &l);
}

static void judge_pause(struct battle *b)
{
    if (battle_stat(b, "reaped") == 0)
        battle_breach(b, "no job of a stopped worker was taken back");
    if (battle_said(b, "ev=clock_step") != 0)
        battle_breach(b, "a pause was taken for a step of Redis' clock");
}

/* ---- told to end ---- */

void strike_roll(struct battle *b)
{
    unsigned i = battle_someone(b);
    battle_say(b, "TERM to worker %u, and a new one", i);
    battle_discharge(b, i);
    battle_enlist(b, i);
}

static void judge_roll(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "a worker that ended in peace was reaped");
}

/* ---- clocks ---- */

/* A boot-time clock only ever goes forward, as after a suspension. */
static void strike_clock(struct battle *b)
{
    static const int64_t wall_ms[] = {3600000, -3600000, 45000, 0};
    unsigned i = battle_someone(b);
    struct clock_shift *shift = b->army[i].clock;
    shift->wall_ms = wall_ms[battle_random(b, 4)];
    shift->boot_ms += 20000 * (int64_t)battle_random(b, 2);
    battle_say(b, "the clocks of worker %u: wall %+lld ms, boot %+lld ms", i,
               (long long)shift->wall_ms, (long long)shift->boot_ms);
    battle_await_starts(b, 5);
}

static void judge_clock(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "a worker whose clock was stepped was reaped");
}

/* ---- poison ---- */

static bool is_dead(void *arg)
{
    struct battle *b = arg;
    for (unsigned i = 0; i < b->army_size; i++) {
        if (battle_has_fallen(b, i))
            battle_enlist(b, i);
    }
    return redis_int(b->redis, "ZCARD belt:{q}:dead") >= (long long)b->strikes;
}

static void strike_poison(struct battle *b)
{
    battle_say(b, "a job that kills whatever worker runs it");
    feed_one(&b->feed, "killworker:99");
    battle_await(b, "the poison pill to be dead", is_dead, b);
}

/* Only the guilty are dead: each after three workers, none of the others. */
static void judge_poison(struct battle *b)
{
    size_t n, killers = 0;
    struct run *runs = record_read(b->record, &n);
    for (size_t i = 0; i < n; i++)
        killers += runs[i].exit < 0;
    free(runs);
    if (battle_stat(b, "dead") != (long long)b->strikes)
        battle_breach(b, "%lld dead for %u poison pills",
                      battle_stat(b, "dead"), b->strikes);
    if (killers < 3 * (size_t)b->strikes)
        battle_breach(b, "%zu runs were killed by %u poison pills", killers,
                      b->strikes);
}

static const struct kind only_ok[] = {{"ok", 100}, {NULL, 0}};
static const struct kind calm_kinds[] = {
    {"ok", 90}, {"sleep:5", 10}, {NULL, 0}};
static const char *const three_recoveries[] = {"--max-recoveries", "3", NULL};

const struct scenario scenarios_worker[] = {
    {.name = "calm",
     .what = "no fault, one thread: jobs run in order",
     .jobs = 5000,
     .short_jobs = 300,
     .workers = 1,
     .threads = 1,
     .kinds = calm_kinds,
     .no_reruns = true,
     .judge = judge_calm},
    {.name = "kill-worker",
     .what = "SIGKILL of a worker at random",
     .jobs = 20000,
     .short_jobs = 500,
     .jobs_per_strike = 80,
     .strike = strike_kill_worker,
     .judge = judge_killed},
    {.name = "kill-host",
     .what = "SIGKILL of a worker, its host does not come back",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 150,
     .strike = strike_kill_host,
     .judge = judge_killed_host},
    {.name = "kill-all",
     .what = "SIGKILL of all workers at once",
     .jobs = 10000,
     .short_jobs = 300,
     .jobs_per_strike = 140,
     .strike = strike_kill_all,
     .judge = judge_killed},
    {.name = "two-reapers",
     .what = "one dead worker, five neighbours that reap it at once",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 150,
     .workers = 6,
     .same_host = true,
     .strike = strike_two_reapers,
     .judge = judge_killed},
    {.name = "pause-worker",
     .what = "SIGSTOP of a worker beyond its lease, then SIGCONT",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 150,
     .strike = strike_pause_worker,
     .judge = judge_pause},
    {.name = "roll",
     .what = "SIGTERM of one worker after the other (a deployment)",
     .jobs = 10000,
     .short_jobs = 400,
     .jobs_per_strike = 60,
     .no_reruns = true,
     .strike = strike_roll,
     .judge = judge_roll},
    {.name = "clock-step",
     .what = "clocks of workers stepped: wall by hours, boot time by 20 s",
     .jobs = 10000,
     .short_jobs = 400,
     .jobs_per_strike = 60,
     .clocks = true,
     .no_reruns = true,
     .strike = strike_clock,
     .judge = judge_clock},
    {.name = "poison",
     .what = "jobs that kill their worker, among innocent ones",
     .jobs = 2000,
     .short_jobs = 200,
     .jobs_per_strike = 150,
     .flags = three_recoveries,
     .kinds = only_ok,
     .strike = strike_poison,
     .judge = judge_poison},
    {.name = NULL}};
