#ifndef TESTS_FAULTS_ARMY_H
#define TESTS_FAULTS_ARMY_H

#include "tests/faults/battle.h"

/*
 * The workers of a battle as a whole; what scenarios do to one of them is in
 * battle.h.
 */

/* Names the hosts, starts the proxy if there is one, and all workers. */
void army_raise(struct battle *b);

/* Kills and frees what is left of them. */
void army_disband(struct battle *b);

/*
 * Makes a file of that name in the directory of Redis, by which clock_shim.c
 * sets clocks, and maps it: for munmap.
 */
struct clock_shift *army_new_clock(struct battle *b, const char *name);

#endif
