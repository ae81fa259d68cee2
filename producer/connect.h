#ifndef PRODUCER_CONNECT_H
#define PRODUCER_CONNECT_H

#include "producer/client.h"
#include "producer/options.h"

/*
 * Connects as o says, for the length of a command; failures are told on stderr.
 * Returns 0 with the client, owned, in *ret, or an exit status that was told.
 * Main thread, which becomes the loop thread.
 */
int client_open(const struct options *o, struct client **ret);

#endif
