/*
 * Scenarios: many faults at once, and the list of all.
 *
 * Thread: the test's.
 */
#include <string.h>

#include "tests/faults/scenarios.h"

static void strike_any(struct battle *b)
{
    static void (*const strikes[])(struct battle *) = {
        strike_kill_worker, strike_kill_all,     strike_pause_worker,
        strike_roll,        strike_kill_handler, strike_hostile,
        strike_kill_redis,  strike_client_kill,  strike_client_pause,
        strike_full,        strike_script_flush, strike_cut,
        strike_late,        strike_half_open,    strike_slow};
    strikes[battle_random(b, sizeof(strikes) / sizeof(strikes[0]))](b);
}

const struct scenario scenarios_mix[] = {{.name = "mix",
                                          .what = "fifteen of these at random",
                                          .jobs = 10000,
                                          .short_jobs = 500,
                                          .jobs_per_strike = 50,
                                          .through_proxy = true,
                                          .strike = strike_any},
                                         {.name = NULL}};

static const struct scenario *const tables[] = {
    scenarios_worker, scenarios_handler, scenarios_redis,
    scenarios_net,    scenarios_mix,     scenarios_life};

const struct scenario *scenario_at(unsigned i)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (const struct scenario *s = tables[t]; s->name != NULL; s++) {
            if (i-- == 0)
                return s;
        }
    }
    return NULL;
}

const struct scenario *scenario_find(const char *name)
{
    const struct scenario *s;
    for (unsigned i = 0; (s = scenario_at(i)) != NULL; i++) {
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}
