/*
 * Signatures of requests.
 *
 * Thread: sign_keys_read in the one that reads the configuration, sign in any.
 */
#include "worker/handler_http_sign.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

enum {
    LINE_MAX_LEN = 256,
    FILE_MAX_LEN = 4096, /* blank lines included */
    KEY_MIN_LEN = 8,     /* shorter ones are mistakes */
    MAC_LEN = 32,
    MAC_BASE64_LEN = 44
};

#define PREFIX "whsec_"

/* Returns the length, or 0 when it is no base64 of a key. */
static size_t decode(const char *text, unsigned char *out)
{
    unsigned char all[LINE_MAX_LEN];
    size_t n = strlen(text), padding = 0;
    int len = -1;

    while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
        padding++;
    if (n % 4 == 0 && n / 4 * 3 <= sizeof(all))
        len = EVP_DecodeBlock(all, (const unsigned char *)text, (int)n);
    if (len < (int)padding || (size_t)len - padding > SIGN_KEY_MAX_LEN)
        return 0;
    memcpy(out, all, (size_t)len - padding);
    OPENSSL_cleanse(all, sizeof(all));
    return (size_t)len - padding;
}

static int add(struct sign_keys *k, const char *text, struct errbuf *eb)
{
    size_t n = strlen(text);

    if (k->count == SIGN_KEYS_MAX)
        return errbuf_set(eb, ERR_INVALID, "more than %d secrets",
                          SIGN_KEYS_MAX);
    if (strncmp(text, PREFIX, strlen(PREFIX)) == 0) {
        n = decode(text + strlen(PREFIX), k->key[k->count]);
        if (n == 0)
            return errbuf_set(eb, ERR_INVALID, "no base64 behind %s", PREFIX);
    } else if (n <= SIGN_KEY_MAX_LEN) {
        memcpy(k->key[k->count], text, n);
    }
    if (n < KEY_MIN_LEN || n > SIGN_KEY_MAX_LEN)
        return errbuf_set(eb, ERR_INVALID,
                          "a secret has %d to %d bytes, this one has %zu",
                          KEY_MIN_LEN, SIGN_KEY_MAX_LEN, n);
    k->len[k->count++] = n;
    return 0;
}

/* text is a string of n bytes, and is changed. */
static int add_lines(struct sign_keys *k, char *text, size_t n,
                     struct errbuf *eb)
{
    int rc = 0;

    /* What is behind it would be no part of the secret, unsaid. */
    if (strlen(text) < n)
        return errbuf_set(eb, ERR_INVALID,
                          "a byte 0 in it: such a secret wants " PREFIX
                          " and base64");
    for (char *line; rc == 0 && (line = strsep(&text, "\r\n")) != NULL;)
        if (line[0] != '\0')
            rc = add(k, line, eb);
    if (rc == 0 && k->count == 0)
        rc = errbuf_set(eb, ERR_INVALID, "no secret in it");
    return rc;
}

int sign_keys_read(struct sign_keys *k, const char *path, struct errbuf *eb)
{
    char text[FILE_MAX_LEN + 2];
    FILE *f = fopen(path, "re");
    size_t n;
    int rc;

    *k = (struct sign_keys){0};
    if (f == NULL)
        return errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    if (ferror(f))
        rc = errbuf_set(eb, ERR_SYSTEM, "it cannot be read");
    else if (n > FILE_MAX_LEN)
        rc = errbuf_set(eb, ERR_TOO_BIG, "more than %d bytes", FILE_MAX_LEN);
    else
        rc = add_lines(k, text, n, eb);
    OPENSSL_cleanse(text, sizeof(text));
    (void)fclose(f);
    return rc == 0 ? 0 : errbuf_wrap(eb, rc, "%s", path);
}

void sign(const struct sign_keys *k, const char *id, int64_t seconds,
          const char *body, size_t len, struct buf *out)
{
    struct buf text = {0};

    buf_printf(&text, "%s.%" PRId64 ".", id, seconds);
    buf_append(&text, body, len);
    for (unsigned i = 0; i < k->count; i++) {
        unsigned char mac[MAC_LEN], base64[MAC_BASE64_LEN + 1];
        unsigned mac_len = 0;
        const void *done =
            HMAC(EVP_sha256(), k->key[i], (int)k->len[i],
                 (const unsigned char *)text.data, text.len, mac, &mac_len);

        assert(done != NULL && mac_len == MAC_LEN);
        (void)done;
        (void)EVP_EncodeBlock(base64, mac, MAC_LEN);
        buf_printf(out, "%sv1,%s", i > 0 ? " " : "", (const char *)base64);
    }
    buf_done(&text);
}
