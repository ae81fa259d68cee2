#ifndef PRODUCER_SERVE_IDEMPOTENCY_H
#define PRODUCER_SERVE_IDEMPOTENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Keys under which a push comes once: Idempotency-Key
 * (draft-ietf-httpapi-idempotency-key-header-07), or the source and id of a
 * CloudEvent. push_one keeps for a while, under once_id, as which job the key
 * has come and with which mark; both are SHA-256. Any thread.
 */
#define IDEMPOTENCY_KEY_MAX 255
#define IDEMPOTENCY_HEX_LEN 64

/*
 * Reads the header, "key" or key: 1 to 255 visible ASCII characters. False: it
 * is none.
 */
bool idempotency_key(const char *header, char out[IDEMPOTENCY_KEY_MAX + 1]);

/* What once_id and marks are made of, in order; each a text or bytes. */
struct idempotency_part {
    const void *p;
    size_t len;
};

/* Writes the SHA-256 of the parts, each with its length, and a NUL. */
void idempotency_digest(const struct idempotency_part *parts, size_t n,
                        char out[IDEMPOTENCY_HEX_LEN + 1]);

#endif
