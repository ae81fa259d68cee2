#ifndef PRODUCER_STANDING_H
#define PRODUCER_STANDING_H

#include "producer/client.h"
#include "producer/find.h"
#include "producer/job_name.h"
#include "producer/kept.h"

/*
 * How a job stands. A kept one has a hash with its last news, which is put
 * right where that is cheap: nobody tells when a job is promoted, or when its
 * worker is lost. The others are looked for in the sets and in what the workers
 * hold. One thread at a time, that of the client.
 */
struct standing {
    struct job_name name; /* set by the caller; without a queue: not found */
    struct kept kept;
    bool leased;        /* of a kept job that is active: its lane */
    struct found found; /* of one that is not kept */
};

/*
 * Asks for n of them, {0} but for their names, in a round or two, and then one
 * by one for those that are not kept. Returns 0, and the instant by Redis'
 * clock in *ret_now_ms, or the status of an error that was told. Done with
 * standing_done in either case.
 */
int standing_ask(struct client *c, const char *ns, struct standing *all,
                 size_t n, int64_t *ret_now_ms);
void standing_done(struct standing *s); /* name and all */

bool standing_is_kept(const struct standing *s);

/* The state as of now_ms, lent; NULL if the job was not found. */
const char *standing_state(const struct standing *s, int64_t now_ms);

/* The worker that holds it, of a job that is not kept: out of n bytes of text,
 * lent; NULL: none. */
const char *standing_worker(const struct standing *s, size_t *ret_len);

#endif
