#ifndef PRODUCER_SERVE_TOKENS_H
#define PRODUCER_SERVE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "producer/serve/route.h"

/*
 * Who may use the HTTP interface. A file has a line for each token:
 *
 *     NAME ROLE[,ROLE...] sha256:HEX [QUEUE-PATTERN...]
 *
 * with the SHA-256 of the token, so the file alone opens nothing. A token is
 * 256 random bits, so that a plain hash of it cannot be searched for. All
 * tokens are looked at for each request, whichever fits, and hashes compared in
 * constant time. Read only after it was made: any thread.
 */
struct tokens;

struct token {
    char name[64];      /* for the log */
    bool roles[4];      /* of enum role */
    const char *queues; /* patterns, a space between; "": all */
};

/* Returns owned, or NULL with a text that names file and line. A file that
 * others can write to, or that has no token, is refused. */
struct tokens *tokens_read(const char *path, struct errbuf *eb);
void tokens_free(struct tokens *t); /* NULL is a no-op */

/* Lends the token that an Authorization header has, or NULL. */
const struct token *tokens_find(const struct tokens *t, const char *header);

/* Whether it may do what needs this role with this queue; NULL: with none. */
bool token_allows(const struct token *token, enum role role, const char *queue);

/*
 * Makes a token of name with roles ("push,read") and patterns, appends its line
 * to the file, made with mode 0600 if it is not there, and its text to out.
 */
struct buf;
int tokens_add(const char *path, const char *name, const char *roles,
               const char *queues, struct buf *out, struct errbuf *eb);

#endif
