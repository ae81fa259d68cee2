#ifndef PRODUCER_SELECT_PRIV_H
#define PRODUCER_SELECT_PRIV_H

#include "producer/select.h"

/* What select.c and select_check.c share. */

enum { SELECT_SETS = 3 };

/* Whether an argument names jobs, not a queue. */
bool select_is_id(const char *arg);

/* Reads the options. Returns 0, or the exit status of what was told. */
int select_check(struct select *s);

#endif
