#ifndef PRODUCER_PUSH_FLAGS_H
#define PRODUCER_PUSH_FLAGS_H

#include "producer/options.h"
#include "producer/push_options.h"

/*
 * Reads the flags about the life of a job, once for one job or for all lines.
 * Returns 0, or ERR_INVALID, or an error of payload_build for a file of
 * --then, with a text that names the flag. Done with push_options_done in
 * either case.
 */
int push_flags_read(const struct options *o, struct push_options *ret,
                    struct errbuf *eb);

/* Whether any flag was given that push_flags_read reads. */
bool push_flags_given(const struct options *o);

#endif
