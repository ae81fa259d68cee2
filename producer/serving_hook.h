#ifndef PRODUCER_SERVING_HOOK_H
#define PRODUCER_SERVING_HOOK_H

#include "producer/options.h"

/* What belt serve runs in belt-serve, which sets it; NULL in belt. */
extern int (*serve_here)(const struct options *o);

#endif
