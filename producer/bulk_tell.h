#ifndef PRODUCER_BULK_TELL_H
#define PRODUCER_BULK_TELL_H

#include "producer/client.h"
#include "producer/options.h"
#include "producer/sender.h"

/*
 * What belt push --ndjson says of batches and of how the sending stopped. Main
 * thread.
 */

/* Prints {"queue":…,"id":…} for each that was accepted. */
void bulk_print_ids(const struct options *o, const struct batch *b);

/* Why a batch of one that is held by another job, in a way that is an error,
 * was not pushed. */
void bulk_tell_conflict(const struct options *o, const struct batch *b);

/* Tells why it stopped and where to resume; returns the exit status, or 0. */
int bulk_tell_stop(const struct options *o, const struct client *client,
                   const struct sender *s);

#endif
