#ifndef PRODUCER_PUSH_OPTIONS_H
#define PRODUCER_PUSH_OPTIONS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/job/job.h"
#include "common/job/unique.h"
#include "producer/options.h"

/*
 * What the flags of belt push say about the life of a job, as members of its
 * envelope ("belt push --help"). Read once, for one job or for all lines.
 */
struct push_options {
    int64_t at_ms, in_ms;         /* 0: none */
    int64_t expires_at_ms;        /* 0: none, or the next */
    int64_t expires_in_ms;        /* from when it may start; 0: none */
    struct buf backoff, then;     /* JSON; empty: not given */
    struct buf meta, unique_json; /* the same */
    struct unique unique;         /* what unique_json says */
};

/*
 * Reads the flags. Returns 0, or ERR_INVALID, or an error of payload_build for
 * a file of --then, with a text that names the flag. Done with
 * push_options_done in either case.
 */
int push_options_read(const struct options *o, struct push_options *ret,
                      struct errbuf *eb);
void push_options_done(struct push_options *p);

/* Adds them to a job that is pushed at now_ms. Lends until push_options_done.
 */
void push_options_apply(const struct push_options *p, int64_t now_ms,
                        struct job_spec *spec);

/* Whether any flag was given that push_options_read reads. */
bool push_options_given(const struct options *o);

#endif
