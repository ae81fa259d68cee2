#ifndef COMMON_BASE_ULID_H
#define COMMON_BASE_ULID_H

#include <stddef.h>
#include <stdint.h>

#define ULID_LEN 26
#define ULID_PREFIX_LEN 23

/*
 * Writes a fresh ULID (github.com/ulid/spec: 48 bits of wall-clock
 * milliseconds, 80 random bits, Crockford's base 32) and a NUL. Ids of one
 * millisecond made by one process ascend. Any thread.
 */
void ulid_make(char out[ULID_LEN + 1]);

/*
 * Writes the first ULID_PREFIX_LEN characters of ids that nobody else makes,
 * whatever base32 characters follow, and a NUL. Any thread.
 */
void ulid_make_prefix(char out[ULID_PREFIX_LEN + 1]);

/* Fills p with n random bytes from the kernel. Any thread. */
void random_bytes(void *p, size_t n);

/* A random number in [0, bound); bound > 0. Not for secrets. Any thread. */
uint64_t random_below(uint64_t bound);

#endif
