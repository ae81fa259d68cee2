#ifndef PRODUCER_SERVE_CRON_H
#define PRODUCER_SERVE_CRON_H

#include <stdbool.h>

#include "producer/cron_client.h"
#include "producer/serve/request.h"

/* What the routes of one periodic job have in common. Side threads. */

/* Makes cc of the request; cron_client_done later. If the name is none it
 * returns false, with a 400 in a, and there is nothing to be done. */
bool cron_begin(struct cron_client *cc, struct client *c,
                const struct request *r, struct answer *a);

/*
 * Reads the entry and answers with it, its next count instants, and this
 * status; or with a 404. Returns 0, or the status of a failure that was told.
 */
int cron_answer(struct cron_client *cc, const struct request *r, int status,
                int64_t count, struct answer *a);

/* Whether a change failed since others change it all the time: a is a 409. */
bool cron_lost_race(const struct cron_client *cc, struct answer *a);

#endif
