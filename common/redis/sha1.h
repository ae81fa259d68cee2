#ifndef COMMON_REDIS_SHA1_H
#define COMMON_REDIS_SHA1_H

#include <stddef.h>

/* SHA-1 of bytes as 40 hexadecimal digits (OpenSSL). Any thread. */
void sha1_hex(const void *p, size_t n, char out[41]);

/*
 * The same without OpenSSL, which takes belt longer to load than a push; for
 * what is done seldom.
 */
void sha1_hex_plain(const void *p, size_t n, char out[41]);

#endif
