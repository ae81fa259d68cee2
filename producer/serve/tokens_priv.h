#ifndef PRODUCER_SERVE_TOKENS_PRIV_H
#define PRODUCER_SERVE_TOKENS_PRIV_H

#include "common/base/buf.h"
#include "producer/serve/tokens.h"

/*
 * The file of tokens, between who reads it (tokens_file.c), who looks into what
 * was read (tokens.c) and who adds to it (tokens_add.c).
 */
enum { SHA256_BYTES = 32 };
#define TOKEN_HASH_PREFIX "sha256:"

struct token_entry {
    struct token token;
    char *queues; /* owned; what token.queues is */
    unsigned char hash[SHA256_BYTES];
    unsigned line;
};

/* What one reading of the file gave. */
struct token_set {
    struct token_set *older; /* owned; replaced by this one */
    struct token_entry *all; /* owned array */
    unsigned count;
    unsigned char file[SHA256_BYTES]; /* of its bytes */
};

void token_sha256(const void *p, size_t n, unsigned char out[SHA256_BYTES]);

/*
 * Returns the owned set that an open file has, which may be empty, or NULL with
 * a text that names path and line. Frees it with all that it replaced.
 */
struct token_set *token_set_read(int fd, const char *path, struct errbuf *eb);
void token_set_free(struct token_set *s); /* NULL is a no-op */

/*
 * Parts of a line. text is changed by the second and third, which appends the
 * patterns to out, a space between.
 */
int token_parse_name(struct token *t, const char *text, struct errbuf *eb);
int token_parse_roles(struct token *t, char *text, struct errbuf *eb);
int token_parse_queues(struct buf *out, char *text, struct errbuf *eb);

/* ERR_INVALID if the set has its name or its hash already. */
int token_check_twice(const struct token_set *s, const struct token_entry *e,
                      struct errbuf *eb);

#endif
