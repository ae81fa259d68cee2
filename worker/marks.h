#ifndef WORKER_MARKS_H
#define WORKER_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/*
 * A set of ids of jobs: those that are to be cancelled, as they stand in Redis.
 * Mostly it is empty, and then costs nothing. At most MARKS_MAX. Loop thread.
 */
enum { MARKS_MAX = 10000 };

struct marks {
    struct buf text;  /* owned: the ids, each with a NUL behind it */
    uint32_t *places; /* owned: a table of places in text, plus one; 0: free */
    size_t size;      /* of the table, a power of two */
    size_t count;
};

/* Starts as {0}. */
void marks_done(struct marks *m);

/* What is no id, is there already or is one too many is passed over. */
void marks_add(struct marks *m, const char *p, size_t n);

bool marks_has(const struct marks *m, const char *id);

#endif
