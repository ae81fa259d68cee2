#ifndef TESTS_FAULTS_SCENARIOS_H
#define TESTS_FAULTS_SCENARIOS_H

#include "tests/faults/battle.h"

/* The tables of scenarios, by what is hurt. Each ends with a nameless one. */
extern const struct scenario scenarios_worker[];
extern const struct scenario scenarios_handler[];
extern const struct scenario scenarios_redis[];
extern const struct scenario scenarios_net[];
extern const struct scenario scenarios_mix[];
extern const struct scenario scenarios_life[];

/* Strikes that the mix uses too. */
void strike_kill_worker(struct battle *b);
void strike_kill_all(struct battle *b);
void strike_pause_worker(struct battle *b);
void strike_roll(struct battle *b);
void strike_kill_handler(struct battle *b);
void strike_hostile(struct battle *b);
void strike_kill_redis(struct battle *b);
void strike_client_kill(struct battle *b);
void strike_client_pause(struct battle *b);
void strike_script_flush(struct battle *b);
void strike_full(struct battle *b);
void strike_cut(struct battle *b);
void strike_late(struct battle *b);
void strike_half_open(struct battle *b);
void strike_slow(struct battle *b);

#endif
