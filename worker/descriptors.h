#ifndef WORKER_DESCRIPTORS_H
#define WORKER_DESCRIPTORS_H

#include "worker/agent.h"

/*
 * Raises the limit of open descriptors to what this configuration may need, as
 * far as it is allowed. ERR_SYSTEM says what is needed if that is not enough.
 */
int descriptors_want(const struct worker_config *cfg, struct errbuf *eb);

#endif
