/*
 * SHA-1, by which jobs are named that are too long to be sent back.
 *
 * In a file of its own so that belt, which settles nothing, needs no OpenSSL:
 * to load it takes longer than to push a job. What belt names goes by
 * sha1_plain.c.
 *
 * Thread: any.
 */
#include "common/redis/sha1.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

enum { SHA1_BYTES = 20 };

void sha1_hex(const void *p, size_t n, char out[41])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(p, n, md, &len, EVP_sha1(), NULL) != 1 || len != SHA1_BYTES)
        abort(); /* an OpenSSL without SHA-1 cannot name a long job */
    for (unsigned i = 0; i < SHA1_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", md[i]);
}
