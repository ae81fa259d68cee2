#ifndef WORKER_TALLY_H
#define WORKER_TALLY_H

#include "common/base/prom.h"
#include "worker/delivery.h"
#include "worker/histogram.h"

/*
 * How the runs of each handler went, for /metrics: how long they took, and why
 * they failed. Handlers are named by their patterns, which the operator wrote;
 * names of types come from strangers. The first TALLY_HANDLERS that run have
 * a series of their own, the others share "_other". Loop thread.
 */
enum { TALLY_HANDLERS = 200 };

struct tally_row;

struct tally {
    struct tally_row *rows; /* owned */
    unsigned count, cap;
};

void tally_done(struct tally *t);

/* Takes note of a run, ended, of the handler of this pattern. */
void tally_note(struct tally *t, const char *pattern,
                const struct outcome *o) ON_LOOP;

/* Appends belt_job_duration_seconds and belt_job_failures_total. */
void tally_write(const struct tally *t, struct buf *out) ON_LOOP;

/* Appends the samples of h, of a family of this name. */
void tally_write_times(const struct histogram *h,
                       const struct prom_label *labels, const char *name,
                       struct buf *out);

#endif
