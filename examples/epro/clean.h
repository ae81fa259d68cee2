#ifndef EPRO_CLEAN_H
#define EPRO_CLEAN_H

#include <stddef.h>

/*
 * Texts of strangers: valid UTF-8 without blanks around it, without control
 * characters, and no longer than was agreed.
 */
enum clean { CLEAN_OK, CLEAN_TOO_LONG, CLEAN_NO_UTF8 };

/*
 * Writes the cleaned text, with a NUL behind it, if it has at most max
 * characters; out has room for four bytes of each. *ret_count: how many it
 * has, also if they are too many. Lines stay lines.
 */
enum clean clean_text(const char *in, size_t size, size_t max, char *out,
                      size_t *ret_count);

enum { QUOTED_MAX = 4 * 40 + 8 };

/* What a reason shows of a text: its first 40 characters, in quotes. */
const char *clean_quote(const char *in, size_t size, char out[QUOTED_MAX]);

#endif
