/*
 * Idempotency: from a key to what Redis keeps of it.
 *
 * The name in Redis is a digest, so that a key may be long and have any
 * characters, and two tokens that happen to use one key do not meet.
 *
 * Thread: any.
 */
#include "producer/serve/idempotency.h"

#include <assert.h>
#include <endian.h>
#include <openssl/evp.h>
#include <string.h>

bool idempotency_key(const char *header, char out[IDEMPOTENCY_KEY_MAX + 1])
{
    const bool quoted = header[0] == '"';
    const char *p = header + quoted;
    size_t n = 0;

    for (; *p != '\0' && !(quoted && *p == '"'); p++) {
        if (quoted && *p == '\\') {
            if (*++p != '"' && *p != '\\')
                return false;
        }
        if (*p <= ' ' || *p > '~' || n == IDEMPOTENCY_KEY_MAX)
            return false;
        out[n++] = *p;
    }
    out[n] = '\0';
    return n > 0 && strcmp(p, quoted ? "\"" : "") == 0;
}

void idempotency_digest(const struct idempotency_part *parts, size_t n,
                        char out[IDEMPOTENCY_HEX_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char md[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int right = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

    for (size_t i = 0; i < n; i++) {
        uint64_t len = htobe64(parts[i].len);
        right = right && EVP_DigestUpdate(ctx, &len, sizeof(len)) &&
                EVP_DigestUpdate(ctx, parts[i].p, parts[i].len);
    }
    right = right && EVP_DigestFinal_ex(ctx, md, NULL);
    assert(right); /* it fails for want of memory only */
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; i < IDEMPOTENCY_HEX_LEN / 2; i++) {
        out[2 * i] = digits[md[i] >> 4];
        out[2 * i + 1] = digits[md[i] & 15];
    }
    out[IDEMPOTENCY_HEX_LEN] = '\0';
}
