#ifndef COMMON_BASE_SAFE_H
#define COMMON_BASE_SAFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/*
 * Text of strangers on its way to a terminal. What lies in Redis may hold
 * escape sequences that retitle a window or rewrite the screen.
 */

/*
 * Returns the length of the character at s if a terminal must not see it: a
 * control character, C1 included, a line or paragraph separator, or a mark
 * that reorders text; its code through ret_code. 0 if it may be seen. s is
 * well-formed UTF-8.
 */
size_t safe_unsafe(const char *s, size_t n, uint32_t *ret_code);

/*
 * Appends s with such characters, and bytes that are not UTF-8, as \n, \x1b,
 * \u202e, \xff. Without newline: one line.
 */
void safe_append(struct buf *b, const char *s, size_t n);

/*
 * Appends a valid JSON value on one line, the same value: white space between
 * tokens becomes blanks, control characters in strings become escapes.
 */
void safe_append_json(struct buf *b, const char *s, size_t n);

/* Columns that well-formed UTF-8 takes: its code points. */
size_t safe_width(const char *s, size_t n);

/*
 * Returns how many bytes of s the first width code points take, at most n.
 */
size_t safe_cut(const char *s, size_t n, size_t width);

#endif
