#ifndef PRODUCER_WORKER_PATH_H
#define PRODUCER_WORKER_PATH_H

#include "producer/options.h"

/*
 * Returns the path of another program of ours, "belt-worker", owned: the one
 * beside this program, else the one in PATH. NULL if there is none, which was
 * told.
 */
char *sibling_path(const struct options *o, const char *name);

/* Returns the path of a program in PATH, owned, or NULL. */
char *program_path(const char *name);

/* Hands -u and --namespace on to a program run by exec. */
void worker_export(const struct options *o);

#endif
