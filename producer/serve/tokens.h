#ifndef PRODUCER_SERVE_TOKENS_H
#define PRODUCER_SERVE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/text.h"
#include "producer/serve/route.h"

/*
 * Who may use the HTTP interface. A file has a line for each token:
 *
 *     NAME ROLE[,ROLE...] sha256:HEX [QUEUE-PATTERN...]
 *
 * with the SHA-256 of the token, so the file alone opens nothing; blank lines
 * and those that begin with # are passed over. A token is 256 random bits, so
 * that a plain hash of it cannot be searched for. All tokens are looked at for
 * each request, whichever fits, and hashes compared in constant time.
 *
 * tokens_find and tokens_reload are for one thread at a time, the loop; what
 * was lent is never changed, so any thread may read it.
 */
enum {
    TOKENS_LINE_MAX = 4096,       /* bytes of a line */
    TOKENS_FILE_MAX = 1024 * 1024 /* and of the file */
};
#define TOKENS_PREFIX "belt_"

struct tokens;

struct token {
    char name[NAME_MAX_LEN + 1]; /* for the log */
    bool roles[4];               /* of enum token_role */
    const char *queues;          /* patterns, a space between; "": all */
};

/* Returns owned, or NULL with a text that names file and line. A file that
 * group or others can write to, or that has no token, is refused. */
struct tokens *tokens_read(const char *path, struct errbuf *eb);
void tokens_free(struct tokens *t); /* NULL is a no-op */

/*
 * Reads the file again, for SIGHUP. On failure all stays as it was. A token
 * that was lent stays until tokens_free, whatever the file says now.
 */
int tokens_reload(struct tokens *t, const char *path, struct errbuf *eb);
unsigned tokens_count(const struct tokens *t);

/* Lends the token that an Authorization header ("Bearer TOKEN") has until
 * tokens_free, or NULL. header NULL: there was none. */
const struct token *tokens_find(const struct tokens *t, const char *header);

/*
 * Whether it may do what needs this role with this queue; queue NULL: with no
 * certain one. token NULL: only what needs no role.
 */
bool token_allows(const struct token *token, enum token_role role,
                  const char *queue);

/*
 * Makes a token of name with roles ("push,read") and patterns, appends its line
 * to the file, made with mode 0600 if it is not there, and its text to out. A
 * file that tokens_read would refuse is refused, unless it has no token yet; a
 * failure leaves it as it was. queues: patterns, spaces between; "": all.
 */
struct buf;
int tokens_add(const char *path, const char *name, const char *roles,
               const char *queues, struct buf *out, struct errbuf *eb);

#endif
