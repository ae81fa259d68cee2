#ifndef COMMON_JOB_JSON_H
#define COMMON_JOB_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/*
 * A validating JSON scanner (RFC 8259) that copies nothing.
 *
 * Envelopes must keep their payload byte for byte, and a tree of values loses
 * that, so this only finds where values begin and end. It checks the whole
 * text: grammar, UTF-8, no raw control characters and no lone surrogate
 * escapes in strings, depth. Errors name the byte offset. Any thread.
 * No name here is one of jansson's, so that a program can use both.
 */
#define JSON_DEPTH_MAX 512

struct json_span {
    const char *p; /* borrowed from the text; NULL: absent */
    size_t len;
};

enum json_kind {
    JSON_IS_OBJECT,
    JSON_IS_ARRAY,
    JSON_IS_STRING,
    JSON_IS_NUMBER,
    JSON_IS_TRUE,
    JSON_IS_FALSE,
    JSON_IS_NULL
};

/* The kind of a valid value, from its first byte. */
enum json_kind json_kind(struct json_span value);

/*
 * Called for each member of the outermost object, in order. key is the name
 * with its quotes and escapes, value the exact bytes of the value. A result
 * other than 0 ends the scan and is returned by it; eb is the scan's.
 */
typedef int (*json_member_cb)(void *arg, struct json_span key,
                              struct json_span value, struct errbuf *eb);

/* The text is one JSON value; white space around it is allowed. */
int json_check(const char *text, size_t len, struct errbuf *eb);

/* The same for a value to be put into an object, which is a level more. */
int json_check_member(const char *text, size_t len, struct errbuf *eb);

/* The text is one JSON object. */
int json_scan_object(const char *text, size_t len, json_member_cb cb, void *arg,
                     struct errbuf *eb);

/* The text is one JSON array; cb gets each element, with an absent key. */
int json_scan_array(const char *text, size_t len, json_member_cb cb, void *arg,
                    struct errbuf *eb);

/*
 * Returns the text of a valid string value, escapes decoded, owned, NUL
 * behind it; NULL when it contains \u0000 or is no string.
 */
char *json_string_dup(struct json_span value, size_t *ret_len);

/*
 * The same into out, which has room for cap bytes with the NUL. ERR_TOO_BIG,
 * or ERR_INVALID when it contains \u0000 or is no string; out is then spoilt.
 */
int json_string_copy(struct json_span value, char *out, size_t cap,
                     size_t *ret_len);

/* Whether value is a string that means text (plain ASCII, at most 63 bytes). */
bool json_string_is(struct json_span value, const char *text);

/* Reads a valid number that is an integer of 64 bits ("1.0" and "1e3" no). */
int json_int_value(struct json_span value, int64_t *ret_n);

#endif
