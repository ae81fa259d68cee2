#ifndef PRODUCER_CONFIRM_H
#define PRODUCER_CONFIRM_H

#include "producer/options.h"

/*
 * Asks, on a terminal, for name to be typed before what ("purge mail: 12
 * jobs"); without one --yes is needed. Returns 0, or an exit status that was
 * told. May block: before there is a connection. Main thread.
 */
int confirm(const struct options *o, const char *name, const char *what);

#endif
