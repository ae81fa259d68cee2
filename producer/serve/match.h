#ifndef PRODUCER_SERVE_MATCH_H
#define PRODUCER_SERVE_MATCH_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "producer/serve/route.h"

/* Which route a path is for. Any thread. */
enum { MATCH_PARAMS_MAX = 4 };

struct match {
    const struct route *route; /* NULL: none for this method */
    bool known;                /* there are routes for this path */
    unsigned count;
    struct {
        const char *name; /* of {name}; name_len bytes */
        size_t name_len;
        const char *text; /* of the path, as it is there */
        size_t len;
    } params[MATCH_PARAMS_MAX];
};

/* path is as it came, undecoded; ret borrows it. */
void match_path(const char *method, const char *path, struct match *ret);

/* Appends the methods that this path has, "GET, HEAD, POST". */
void match_methods(const char *path, struct buf *out);

/* What a hexadecimal digit stands for; -1: it is none. */
int percent_digit(char c);

/* Decodes the % of n bytes at s, and with plus each + as a space. Returns a
 * text, owned, or NULL if it is wrong or no text in UTF-8, or has control
 * characters. */
char *percent_decode(const char *s, size_t n, bool plus);

#endif
