#ifndef PRODUCER_PUSH_OPTIONS_H
#define PRODUCER_PUSH_OPTIONS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/job/job.h"
#include "common/job/unique.h"

/*
 * What people say about the life of a job, by the flags of belt push or the
 * options of libbelt, as members of its envelope ("belt push --help"). Start
 * with {0}; done with push_options_done. Any thread.
 */
#define PUSH_ATTEMPTS_MAX 1000000

struct push_options {
    int64_t at_ms, in_ms;         /* 0: none */
    int64_t expires_at_ms;        /* 0: none, or the next */
    int64_t expires_in_ms;        /* from when it may start; 0: none */
    struct buf backoff, then;     /* JSON; empty: not given */
    struct buf meta, unique_json; /* the same */
    struct unique unique;         /* what unique_json says */
};

void push_options_done(struct push_options *p);

/* Adds them to a job that is pushed at now_ms. Lends until push_options_done.
 */
void push_options_apply(const struct push_options *p, int64_t now_ms,
                        struct job_spec *spec);

/*
 * Reads expires as people write it, a duration or an instant (backoff:
 * backoff_text.h). ERR_INVALID with a text that does not name the option.
 */
int push_expires_read(const char *text, struct push_options *ret,
                      struct errbuf *eb);

/*
 * The same of unique, KEY[:TTL], and its two companions; each may be NULL.
 * ERR_INVALID with a text that calls them by these names.
 */
enum { PUSH_UNIQUE, PUSH_UNTIL, PUSH_ON_CONFLICT, PUSH_NAMES };
struct push_unique {
    const char *unique, *until, *on_conflict;
    const char *names[PUSH_NAMES];
};
int push_unique_read(const struct push_unique *u, struct push_options *ret,
                     struct errbuf *eb);

#endif
