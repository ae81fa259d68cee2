#ifndef WORKER_SETTLE_PRIV_H
#define WORKER_SETTLE_PRIV_H

#include "worker/lane.h"

/* What settle.c and outcome.c share. Loop thread only. */
enum { KEEP_FIELDS = 14 }; /* names and values */

/*
 * One call under construction. The arrays have max elements each, and are made
 * when the first of them is needed: most jobs are done and nothing is kept.
 */
struct work {
    struct lane *lane;
    int64_t now_ms;
    struct settle call;
    struct ref *refs;
    struct settle_add *adds;
    struct buf *envelopes; /* one for each add */
    struct settle_keep *keeps;
    struct bytes (*fields)[KEEP_FIELDS];
    char (*numbers)[3][24]; /* of kept jobs */
    struct settle_count counts[SETTLE_COUNTERS];
    size_t bytes;
    unsigned max;
};

/* Puts what becomes of a finished slot into the call. */
void work_add(struct work *w, struct slot *s) ON_LOOP;

#endif
