/*
 * Scenarios: jobs with all options, and what people do, under fire.
 *
 * Thread: the test's.
 */
#include <string.h>

#include "tests/faults/life.h"
#include "tests/faults/scenarios.h"

static bool are_connected(void *arg)
{
    struct battle *b = arg;
    redisReply *list = redis_cmd(b->redis, "CLIENT LIST TYPE normal");
    const char *second = strchr(list->str, '\n');
    bool are = second != NULL && second[1] != '\0';
    freeReplyObject(list);
    return are;
}

static void strike_life(struct battle *b)
{
    static void (*const strikes[])(struct battle *) = {
        strike_kill_worker,  strike_kill_all,     strike_pause_worker,
        strike_roll,         strike_kill_redis,   strike_client_kill,
        strike_client_pause, strike_script_flush, strike_cut,
        strike_cut};
    /* The strike before may have taken all connections. */
    battle_await(b, "somebody to be connected", are_connected, b);
    strikes[battle_random(b, sizeof(strikes) / sizeof(strikes[0]))](b);
}

static const char *const flags[] = {"-q", "q2", NULL};

const struct scenario scenarios_life[] = {
    {.name = "life",
     .what = "options, cron, cancel, pause, requeue; nine of these",
     .jobs = 2000,
     .short_jobs = 200,
     .jobs_per_strike = 50,
     .through_proxy = true,
     .flags = flags,
     .open = life_open,
     .feed = life_feed,
     .strike = strike_life,
     .heal = life_heal,
     .judge = life_judge,
     .audit = life_audit},
    {.name = NULL}};
