#ifndef COMMON_JOB_JSON_ESCAPE_H
#define COMMON_JOB_JSON_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Returns the code point of the \u escape at p, a surrogate pair read as one,
 * and its length in bytes; -1 when it is malformed or a lone surrogate. For
 * json.c and json_value.c only.
 */
int32_t json_unicode_escape(const char *p, const char *end, size_t *ret_len);

#endif
