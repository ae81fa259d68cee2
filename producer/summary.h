#ifndef PRODUCER_SUMMARY_H
#define PRODUCER_SUMMARY_H

#include "producer/out.h"
#include "producer/select.h"

/*
 * Of what kinds jobs are: those of one type and one pattern of errors
 * (pattern.h) are a group. The number of groups is bounded; what would make
 * more of them is summed up. One thread at a time.
 */
struct summary;

struct summary *summary_new(void); /* owned */
void summary_free(struct summary *sum);

/* A select_act; s->arg is the summary. */
int summary_add(struct select *s, const struct selected *jobs, unsigned n);

/* The groups, the biggest first, as rows of a writer with these columns. */
extern const struct column summary_columns[];
void summary_out(struct summary *sum, struct out *out, bool people);

#endif
