/*
 * SHA-1 in plain C (RFC 3174): a few hundred megabytes a second, and nothing
 * to load. It names things; nobody's secrets depend on it.
 *
 * Thread: any.
 */
#include "common/redis/sha1.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64, LENGTH_AT = 56, WORDS = 5, ROUNDS = 80 };

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* The function and constant of round t. */
static uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void add_block(uint32_t h[WORDS], const unsigned char *p)
{
    uint32_t w[ROUNDS], v[WORDS];

    for (int t = 0; t < 16; t++)
        w[t] = big_endian(p + (ptrdiff_t)4 * t);
    for (int t = 16; t < ROUNDS; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    memcpy(v, h, sizeof(v));
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t next =
            rotate(v[0], 5) + mix(t, v[1], v[2], v[3]) + v[4] + w[t];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (int i = 0; i < WORDS; i++)
        h[i] += v[i];
}

void sha1_hex_plain(const void *p, size_t n, char out[41])
{
    uint32_t h[WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
                         0xc3d2e1f0};
    unsigned char last[2 * BLOCK] = {0};
    const unsigned char *bytes = p;
    size_t rest = n % BLOCK, whole = n - rest;

    for (size_t at = 0; at < whole; at += BLOCK)
        add_block(h, bytes + at);
    if (rest > 0)
        memcpy(last, bytes + whole, rest);
    last[rest] = 0x80;
    size_t end = rest < LENGTH_AT ? BLOCK : sizeof(last);
    for (int i = 0; i < 8; i++)
        last[end - 1 - (size_t)i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
    for (size_t at = 0; at < end; at += BLOCK)
        add_block(h, last + at);
    for (int i = 0; i < WORDS; i++)
        snprintf(out + (ptrdiff_t)8 * i, 9, "%08x", (unsigned)h[i]);
}
