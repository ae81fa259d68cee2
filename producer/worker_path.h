#ifndef PRODUCER_WORKER_PATH_H
#define PRODUCER_WORKER_PATH_H

#include "producer/options.h"

/*
 * Returns the path of belt-worker, owned: the one beside this program, else
 * the one in PATH. NULL if there is none, which was told.
 */
char *worker_path(const struct options *o);

/* Returns the path of a program in PATH, owned, or NULL. */
char *program_path(const char *name);

/* Hands -u and --namespace on to a program run by exec. */
void worker_export(const struct options *o);

#endif
