#ifndef PRODUCER_PAUSING_H
#define PRODUCER_PAUSING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/lanes.h"

/*
 * Pausing queues, and letting them go on: what is written, and who has heard
 * of it. One thread at a time, that of the client.
 */
#define PAUSE_REASON_MAX 1000
#define PAUSE_BY_MAX 256

struct pausing {
    struct client *client; /* borrowed */
    struct keys keys;
    int64_t version; /* 0: config has one that is no number */
    int64_t until_ms;
    bool done, lifted; /* all comply; it is not paused any more */
    int64_t removed;   /* fields, by resume: 0, it was not paused */
    struct lanes lanes;
};

struct pause_wish {
    int64_t for_ms; /* 0: without end */
    const char *reason, *by;
};

void pausing_init(struct pausing *p, struct client *c, const char *ns,
                  const char *queue);
void pausing_done(struct pausing *p);

/*
 * For n queues of one client. Returns 0, or the status of a failure that was
 * told; they may be paused even so.
 */
int pausing_pause(struct pausing *all, size_t n, const struct pause_wish *w);
int pausing_resume(struct pausing *all, size_t n);

/* Looks at who has heard, once. Returns as pausing_pause. */
int pausing_look(struct pausing *all, size_t n);

/*
 * The same again and again, until each is done or lifted, or the deadline is
 * over, by clock_ms.
 */
int pausing_wait(struct pausing *all, size_t n, int64_t deadline_ms);

#endif
