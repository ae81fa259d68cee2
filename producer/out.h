#ifndef PRODUCER_OUT_H
#define PRODUCER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "producer/options.h"

/*
 * Rows on stdout: an aligned table for people, or JSON, NDJSON or TSV for
 * programs, which get other columns: times as integers, not "3m".
 *
 * Every row takes one value for each column of either kind, in order. Text of
 * strangers is made safe for terminals. Memory is bounded: tables are aligned
 * by the thousand rows. What goes to stdout is for the main thread, what goes
 * into a buffer for any.
 */
enum column_for { FOR_ALL, FOR_PEOPLE, FOR_PROGRAMS };

struct column {
    const char *name; /* plain ASCII */
    enum column_for readers;
    bool right; /* aligned, in the table */
};

struct out;

/* Returns an owned writer; columns end with one without name; borrowed. */
struct out *out_new(const struct options *o, const struct column *columns);

/*
 * The same, but what is written is appended to the buffer, which is borrowed
 * until out_end: it cannot fail then, and of o only the format is asked for.
 * No newline follows the array of OUT_JSON.
 */
struct out *out_new_to(const struct options *o, const struct column *columns,
                       struct buf *to);

/*
 * The next value: a text, a number, a boolean, a valid JSON value, or none.
 * Of those for the other kind of reader only the place is taken.
 */
void out_text(struct out *out, const char *s, size_t n);
void out_str(struct out *out, const char *s); /* NULL: none */
void out_int(struct out *out, int64_t n);
void out_bool(struct out *out, bool yes);
void out_json(struct out *out, const char *json, size_t n);
void out_none(struct out *out);

/* Ends a row. Returns false when stdout can take no more. */
bool out_row(struct out *out);

/* Writes what is left and frees. Errors of stdout show in ferror(stdout). */
void out_end(struct out *out);

#endif
