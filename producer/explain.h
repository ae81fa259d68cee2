#ifndef PRODUCER_EXPLAIN_H
#define PRODUCER_EXPLAIN_H

#include "producer/find.h"
#include "producer/kept.h"
#include "producer/serving.h"

/*
 * Why a job is not running: what is known of it, and what follows.
 */
struct known {
    struct job_name name;
    int64_t now_ms; /* by Redis' clock, like all that follows */

    struct kept kept;
    struct found found;
    bool leased; /* kept as active, but found nowhere: its worker is there */

    int64_t paused; /* 0: no; 1: yes; else: until then */
    int64_t paused_at_ms;
    char *paused_by, *paused_reason; /* owned, or NULL */
    int64_t depth;                   /* of ready */
    bool marked;                     /* to be cancelled */
    struct serving serving;
};

struct verdict {
    const char *reason; /* a word for programs */
    struct buf text;    /* a sentence for people, without its subject */
};

/* A sentence of what is known: see --help. Done with buf_done(&ret->text). */
void explain(const struct known *k, struct verdict *ret);

/* The job's type; "" if it is not known. Lent. */
const char *known_type(const struct known *k);

#endif
