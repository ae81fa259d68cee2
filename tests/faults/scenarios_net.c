/*
 * Scenarios: what happens between workers and Redis.
 *
 * Every worker is connected by a link of its own through the proxy. Cuts come
 * at random before a command has run, after it ran, and in the middle of its
 * answer; it_sweep makes each of them at each command on purpose.
 *
 * Thread: the test's.
 */
#include <string.h>

#include "tests/faults/scenarios.h"

static const char *const points[] = {"before", "after", "middle"};

/* Until the next strike: one command in sixteen or so loses its connection. */
void strike_cut(struct battle *b)
{
    const char *point = points[battle_random(b, 3)];
    unsigned link = battle_random(b, b->army_size);
    battle_say(b, "cuts on link %u, %s commands at random", link, point);
    proxy_do(b->proxy, "heal");
    proxy_do(b->proxy, "chance %u %s * 60 %u", link, point,
             battle_random(b, 1000000));
}

static void judge_cut(struct battle *b)
{
    if (proxy_ask(b->proxy, "fired") == 0)
        battle_breach(b, "nothing was cut");
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "a cut looked like a death");
    battle_say(b, "%lld cuts, %u rebinds, %u jobs adopted or settled by them",
               (long long)proxy_ask(b->proxy, "fired"),
               battle_said(b, "ev=rebind"), battle_said(b, "ev=adopt"));
}

struct fired {
    struct battle *b;
    int64_t before;
};

static bool has_fired(void *arg)
{
    struct fired *f = arg;
    if (feed_backlog(&f->b->feed) == 0)
        feed_push(&f->b->feed, 5); /* few, so that lanes come to wait */
    return proxy_ask(f->b->proxy, "fired") > f->before;
}

struct rebinds {
    struct fighter *of;
    unsigned before;
};

static bool has_rebound(void *arg)
{
    const struct rebinds *r = arg;
    return worker_count(r->of->w, "ev=rebind") > r->before;
}

/*
 * The connection is lost, but a command that was sent is still on its way; it
 * runs when the lane has spoken for itself again, and is told so.
 */
void strike_late(struct battle *b)
{
    static const char *const commands[] = {"fetch", "settle", "BLMOVE", "renew",
                                           "stamp"};
    const char *command = commands[battle_random(b, 5)];
    unsigned link = battle_random(b, b->army_size);
    proxy_do(b->proxy, "heal");
    struct fired f = {b, proxy_ask(b->proxy, "fired")};
    struct rebinds r = {&b->army[link],
                        worker_count(b->army[link].w, "ev=rebind")};
    int64_t fenced = proxy_ask(b->proxy, "fenced");
    battle_say(b, "link %u is cut, its %s runs later", link, command);
    proxy_do(b->proxy, "cut %u late %s 1", link, command);
    battle_await(b, "a command to be held back", has_fired, &f);
    battle_await(b, "the lane to be bound again", has_rebound, &r);
    battle_await_starts(b, battle_random(b, 20));
    if (proxy_ask(b->proxy, "late") != 1)
        battle_breach(b, "no %s ran late", command);
    if (strcmp(command, "BLMOVE") != 0 &&
        proxy_ask(b->proxy, "fenced") != fenced + 1)
        battle_breach(b, "%s ran late and was not FENCED", command);
}

static void judge_late(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "a cut looked like a death");
}

/* One way or both, for some time or for longer than the lease. */
void strike_half_open(struct battle *b)
{
    static const char *const ways[] = {"c2s", "s2c", "both"};
    const char *way = ways[battle_random(b, 3)];
    unsigned link = battle_random(b, b->army_size);
    unsigned ms = battle_random(b, 2) == 0 ? 500 : 6000;
    battle_say(b, "link %u passes nothing on (%s) for %u ms", link, way, ms);
    proxy_do(b->proxy, "stall %u %s", link, way);
    battle_let_pass(b, ms);
    proxy_do(b->proxy, "heal");
}

static void judge_half_open(struct battle *b)
{
    if (battle_said(b, "ev=rebind") + battle_said(b, "ev=fenced") == 0)
        battle_breach(b, "nobody noticed that nothing came through");
}

void strike_slow(struct battle *b)
{
    unsigned ms = battle_random(b, 15), bytes = battle_random(b, 3);
    battle_say(b, "each way takes %u ms more, in pieces of %u bytes (0: whole)",
               ms, bytes);
    proxy_do(b->proxy, "delay %u", ms);
    proxy_do(b->proxy, "split %u", bytes);
}

static void judge_slow(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0 || battle_said(b, "ev=rebind") != 0)
        battle_breach(b, "slow was taken for lost");
}

const struct scenario scenarios_net[] = {
    {.name = "cut",
     .what = "connections cut before, after and in the middle of any answer",
     .jobs = 20000,
     .short_jobs = 500,
     .jobs_per_strike = 50,
     .through_proxy = true,
     .no_reruns = true,
     .strike = strike_cut,
     .judge = judge_cut},
    {.name = "late",
     .what = "commands of lost connections that run later",
     .jobs = 10000,
     .short_jobs = 400,
     .jobs_per_strike = 60,
     .through_proxy = true,
     .no_reruns = true,
     .strike = strike_late,
     .judge = judge_late},
    {.name = "half-open",
     .what = "connections on which nothing comes through, either or both ways",
     .jobs = 2000,
     .short_jobs = 200,
     .jobs_per_strike = 100,
     .through_proxy = true,
     .strike = strike_half_open,
     .judge = judge_half_open},
    {.name = "slow",
     .what = "round trips of up to 30 ms, bytes one by one",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 60,
     .through_proxy = true,
     .no_reruns = true,
     .strike = strike_slow,
     .judge = judge_slow},
    {.name = NULL}};
