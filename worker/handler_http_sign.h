#ifndef WORKER_HANDLER_HTTP_SIGN_H
#define WORKER_HANDLER_HTTP_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/*
 * Signatures of requests, as Standard Webhooks 1.0 has them
 * (https://www.standardwebhooks.com): HMAC-SHA256 over "ID.SECONDS.BODY".
 */
enum { SIGN_KEYS_MAX = 2, SIGN_KEY_MAX_LEN = 128 };

struct sign_keys {
    unsigned count;
    size_t len[SIGN_KEYS_MAX];
    unsigned char key[SIGN_KEYS_MAX][SIGN_KEY_MAX_LEN];
};

/*
 * Reads the file: a secret in a line, "whsec_" and base64 or the bytes
 * themselves, the one to be used from now on first, then perhaps the old one.
 * The error names the file.
 */
int sign_keys_read(struct sign_keys *k, const char *path, struct errbuf *eb);

/* Appends "v1,BASE64" for each key, with a blank between. Any thread. */
void sign(const struct sign_keys *k, const char *id, int64_t seconds,
          const char *body, size_t len, struct buf *out);

#endif
