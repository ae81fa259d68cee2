#ifndef PRODUCER_PROGRESS_H
#define PRODUCER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One line on stderr that tells how far a long command is, when stderr is a
 * terminal; otherwise nothing.
 */
struct progress {
    bool on, shown;
    int64_t started_ms, last_ms;
    uint64_t total; /* bytes of input; 0: unknown */
};

void progress_init(struct progress *p, uint64_t total);

/* Shows it, but not more often than ten times a second. */
void progress_show(struct progress *p, uint64_t jobs, uint64_t done);

/* Takes the line away, before something else is printed. */
void progress_clear(struct progress *p);

/* Writes 1234567 as "1 234 567". Returns out. */
const char *progress_count(uint64_t n, char out[32]);

#endif
