#ifndef PRODUCER_SELECT_PRIV_H
#define PRODUCER_SELECT_PRIV_H

#include "producer/select.h"

/* What select.c and select_check.c share. */

enum { SELECT_SETS = 3 };

/* The set of this name, or -1. */
int select_find_set(const char *name);

/* Whether an argument names jobs, not a queue. */
bool select_is_id(const char *arg);

/* Reads the options. Returns 0, or the exit status of what was told. */
int select_check(struct select *s);

#endif
