#ifndef TESTS_INTEGRATION_CALLS_H
#define TESTS_INTEGRATION_CALLS_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/integration/table.h"

/*
 * Calls of every script through each of its branches, for programs that make
 * them stop half-way, and the question that all of these ask: is every job
 * still there? A job is marked by an id or a type from j1 to j9.
 */
struct call {
    const char *name;
    enum script script;
    const char *before; /* commands of table.h, one a line */
    const char *args;
    const char *reply; /* if nothing goes wrong */
    const char *ends;  /* marks of jobs that it takes out for good */
};

extern const struct call calls[];
extern const size_t call_count;

/*
 * All elements of all lists and sorted sets, one a line; owned. asking: of a
 * slot that a node of a Cluster imports.
 */
char *calls_jobs(struct redis *r, bool asking);

/* KEYS of a call as table_keys, each of them once; owned. */
char *calls_keys(const struct call *c);

/* How often the jobs marked j1 to j9 are there. */
enum { MARKS = 10 };
struct marks {
    unsigned n[MARKS];
};
struct marks calls_marks(const char *jobs);

/*
 * Fails the test if a job of was is nowhere now, unless the call was to end
 * it and may have (ended). how names what was done to the call.
 */
void calls_none_is_missing(const struct call *c, struct marks was,
                           struct marks now, bool ended, const char *how);

/* Fails the test if a job is there more often than that. */
void calls_none_is_beyond(const struct call *c, struct marks now, unsigned most,
                          const char *how);

#endif
