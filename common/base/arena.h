#ifndef COMMON_BASE_ARENA_H
#define COMMON_BASE_ARENA_H

#include <stddef.h>

/*
 * Memory for many small things that end together: cut from blocks, given back
 * all at once.
 *
 * What was cleared is kept for the next use, as far as recent uses needed it
 * and never more than ARENA_KEEP_BYTES. Under the address sanitizer what is not
 * in use cannot be touched. Start with {0}; one thread.
 */
#define ARENA_KEEP_BYTES ((size_t)4 << 20)

struct arena_block;

struct arena {
    char *at, *end;                          /* the rest of the first block */
    struct arena_block *blocks, *free, *big; /* owned */
    struct arena_block *last_big;
    unsigned used, spare, keep; /* blocks: full, free, wanted */
};

/* Cuts n bytes, not cleared, aligned for pointers and numbers; NULL: no memory.
 */
void *arena_cut(struct arena *a, size_t n);

void arena_clear(struct arena *a); /* gives back all that was cut */
void arena_done(struct arena *a);  /* and all that was kept */

#endif
