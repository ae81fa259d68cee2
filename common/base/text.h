#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* Small texts that people write: names, durations, sizes, numbers. */

#define NAME_MAX_LEN 64 /* queues, namespaces, workers */
#define ID_MAX_LEN 64   /* job ids */

/* [A-Za-z0-9][A-Za-z0-9._-]{0,63}: names of queues, namespaces, workers. */
bool text_is_name(const char *s, size_t n);
/* [A-Za-z0-9._:-]{1,64}: ids of jobs. */
bool text_is_id(const char *s, size_t n);
/* A pattern of names, for fnmatch(3): characters of names with at least one of
 * *?[ among them, at most NAME_MAX_LEN. */
bool text_is_pattern(const char *s, size_t n);

/*
 * Parses "500ms", "10s", "1.5h", "1h30m", "7d" into milliseconds >= 0.
 * A number without unit is refused except 0. ERR_INVALID names the input.
 */
int text_parse_duration(const char *s, int64_t *ret_ms, struct errbuf *eb);

/* Writes the shortest such form, "90s" as "1m30s". Returns out. */
const char *text_format_duration(int64_t ms, char out[32]);

/*
 * Parses an instant as RFC 3339 writes it, "2026-11-26T09:30:00+01:00" or
 * "2026-11-26T08:30:00.250Z", into milliseconds since 1970, not before. The
 * offset from UTC is required. ERR_INVALID names the input.
 */
int text_parse_instant(const char *s, int64_t *ret_ms, struct errbuf *eb);

/* Parses "64k", "10m", "1g" (powers of 1024) or plain bytes. */
int text_parse_size(const char *s, int64_t *ret_bytes, struct errbuf *eb);

/* Parses a whole decimal number within [min, max]. what names it in errors, if
 * nothing else does; or NULL. */
int text_parse_int(const char *s, int64_t min, int64_t max, const char *what,
                   int64_t *ret_n, struct errbuf *eb);

/* The number, 0 or more, that a text found elsewhere is; none if it is no such
 * number, or NULL. */
int64_t text_int_or(const char *s, int64_t none);

/* Parses true, yes, on, false, no, off. ERR_INVALID names the input. */
int text_parse_switch(const char *s, bool *ret_on, struct errbuf *eb);

/*
 * Returns the offset of the first byte of s that is not well-formed UTF-8
 * (RFC 3629: no surrogates, no overlong forms), or n if there is none.
 */
size_t text_utf8_error(const char *s, size_t n);

/*
 * Returns the offset of the first control character, C0, DEL or C1, or n; s is
 * well-formed UTF-8.
 */
size_t text_control(const char *s, size_t n);

/* The nearest of n words within an edit distance of 2, or NULL. */
const char *text_nearest(const char *word, const char *const *words, size_t n);

/* Room for any int64_t and its NUL. */
#define INT_TEXT_MAX 21

/* Writes n in decimal, and a NUL; returns its length. */
size_t text_format_int(int64_t n, char out[INT_TEXT_MAX]);

#endif
