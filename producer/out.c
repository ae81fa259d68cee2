/*
 * Out: rows in the format that was asked for, to stdout or into memory.
 *
 * A table is held back until its end, or for ROWS_HELD rows, since the widths
 * come from the values; the other formats go out row by row.
 *
 * Thread: any; stdout is the main thread's.
 */
#include "producer/out.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/safe.h"

enum { COLUMNS_MAX = 32, ROWS_HELD = 1000, GAP = 2 };
#define BYTES_HELD ((size_t)4 << 20)

struct out {
    struct buf *to;               /* borrowed; NULL: stdout */
    const struct column *columns; /* borrowed */
    size_t column_count;
    enum out_format format;
    bool bold;
    size_t next;    /* column of the next value */
    bool any_value; /* in this row, for the commas */
    uint64_t rows;
    struct buf row; /* JSON or TSV */

    struct buf cells; /* of the rows held, one behind the other */
    size_t *ends;     /* owned: of each cell in cells */
    size_t cell_count, cell_cap;
    size_t rows_held;
};

static bool want_bold(const struct options *o)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return !o->no_color && !(no && no[0] != '\0') && term &&
           strcmp(term, "dumb") != 0 && isatty(STDOUT_FILENO);
}

static bool is_shown(const struct out *out, size_t i)
{
    enum column_for wanted =
        out->format == OUT_TABLE ? FOR_PEOPLE : FOR_PROGRAMS;

    return out->columns[i].readers == FOR_ALL ||
           out->columns[i].readers == wanted;
}

struct out *out_new_to(const struct options *o, const struct column *columns,
                       struct buf *to)
{
    struct out *out = mem_new(sizeof(*out));

    out->to = to;
    out->columns = columns;
    while (columns[out->column_count].name)
        out->column_count++;
    assert(out->column_count <= COLUMNS_MAX);
    out->format = o->format;
    out->bold = !to && want_bold(o);
    return out;
}

struct out *out_new(const struct options *o, const struct column *columns)
{
    return out_new_to(o, columns, NULL);
}

/* Returns where to write the next value, in front of which commas and such
 * were put, or NULL if it is not shown. */
static struct buf *begin_value(struct out *out)
{
    assert(out->next < out->column_count);
    const struct column *column = &out->columns[out->next];
    bool shown = is_shown(out, out->next), first = !out->any_value;

    out->next++;
    if (!shown)
        return NULL;
    out->any_value = true;
    switch (out->format) {
    case OUT_TABLE:
        return &out->cells;
    case OUT_TSV:
        if (!first)
            buf_char(&out->row, '\t');
        return &out->row;
    case OUT_JSON:
    case OUT_NDJSON:
        buf_printf(&out->row, "%s\"%s\":", first ? "{" : ",", column->name);
        return &out->row;
    }
    return NULL;
}

static void end_value(struct out *out)
{
    if (out->format != OUT_TABLE)
        return;
    if (out->cell_count == out->cell_cap) {
        out->cell_cap = out->cell_cap ? out->cell_cap * 2 : 64;
        out->ends = mem_resize(out->ends, out->cell_cap * sizeof(*out->ends));
    }
    out->ends[out->cell_count++] = out->cells.len;
}

static bool is_json(const struct out *out)
{
    return out->format == OUT_JSON || out->format == OUT_NDJSON;
}

/* In TSV a backslash announces an escape, so it is escaped itself. */
static void append_tsv(struct buf *b, const char *s, size_t n)
{
    while (n > 0) {
        const char *slash = memchr(s, '\\', n);
        size_t run = slash ? (size_t)(slash - s) : n;
        safe_append(b, s, run);
        if (!slash)
            return;
        buf_str(b, "\\\\");
        s += run + 1;
        n -= run + 1;
    }
}

void out_text(struct out *out, const char *s, size_t n)
{
    struct buf *b = begin_value(out);

    if (!b)
        return;
    if (is_json(out)) {
        buf_json_string(b, s, n);
    } else if (out->format == OUT_TSV) {
        append_tsv(b, s, n);
    } else {
        safe_append(b, s, n);
    }
    end_value(out);
}

void out_str(struct out *out, const char *s)
{
    if (s)
        out_text(out, s, strlen(s));
    else
        out_none(out);
}

void out_int(struct out *out, int64_t n)
{
    struct buf *b = begin_value(out);

    if (!b)
        return;
    buf_int(b, n);
    end_value(out);
}

void out_bool(struct out *out, bool yes)
{
    struct buf *b = begin_value(out);

    if (!b)
        return;
    if (is_json(out))
        buf_str(b, yes ? "true" : "false");
    else
        buf_str(b, yes ? "yes" : "no");
    end_value(out);
}

void out_json(struct out *out, const char *json, size_t n)
{
    struct buf *b = begin_value(out);

    if (!b)
        return;
    if (is_json(out))
        safe_append_json(b, json, n);
    else if (out->format == OUT_TSV)
        append_tsv(b, json, n);
    else
        safe_append(b, json, n);
    end_value(out);
}

void out_none(struct out *out)
{
    struct buf *b = begin_value(out);

    if (!b)
        return;
    if (is_json(out))
        buf_str(b, "null");
    else if (out->format == OUT_TABLE)
        buf_char(b, '-');
    end_value(out);
}

static void put(const struct out *out, const char *p, size_t n)
{
    if (n == 0)
        return;
    if (out->to)
        buf_append(out->to, p, n);
    else
        fwrite(p, 1, n, stdout);
}

static void put_str(const struct out *out, const char *s)
{
    put(out, s, strlen(s));
}

static void pad(const struct out *out, size_t n)
{
    while (n-- > 0)
        put(out, " ", 1);
}

struct shown_column {
    const struct column *column;
    size_t width;
};

static size_t shown_columns(const struct out *out, struct shown_column *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < out->column_count; i++) {
        if (is_shown(out, i))
            ret[n++] = (struct shown_column){&out->columns[i],
                                             strlen(out->columns[i].name)};
    }
    return n;
}

/* end: what follows the last cell of a row; NULL: there are more. */
static void put_cell(const struct out *out, const struct shown_column *c,
                     const char *s, size_t n, const char *end)
{
    size_t width = safe_width(s, n),
           blank = width < c->width ? c->width - width : 0;

    if (c->column->right)
        pad(out, blank);
    put(out, s, n);
    if (end)
        put_str(out, end);
    else
        pad(out, GAP + (c->column->right ? 0 : blank));
}

static char heading(char c)
{
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (c == '_')
        return ' ';
    if (c >= 'a' && c <= 'z')
        return upper[c - 'a'];
    return c;
}

static void put_header(const struct out *out, const struct shown_column *shown,
                       size_t n)
{
    const char *end = out->bold ? "\033[0m\n" : "\n";
    char name[64];

    if (out->bold)
        put_str(out, "\033[1m");
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        for (const char *p = shown[i].column->name; *p != '\0'; p++)
            name[len++] = heading(*p);
        put_cell(out, &shown[i], name, len, i + 1 < n ? NULL : end);
    }
}

/* Writes the rows that were held back, the first time with a header. */
static void put_table(struct out *out)
{
    struct shown_column shown[COLUMNS_MAX];
    size_t n = shown_columns(out, shown), start = 0;

    assert(n > 0);
    for (size_t i = 0; i < out->cell_count; i++) {
        size_t width =
            safe_width(out->cells.data + start, out->ends[i] - start);
        if (width > shown[i % n].width)
            shown[i % n].width = width;
        start = out->ends[i];
    }
    if (out->rows == out->rows_held)
        put_header(out, shown, n);
    start = 0;
    for (size_t i = 0; i < out->cell_count; i++) {
        put_cell(out, &shown[i % n], out->cells.data + start,
                 out->ends[i] - start, i % n < n - 1 ? NULL : "\n");
        start = out->ends[i];
    }
    buf_clear(&out->cells);
    out->cell_count = 0;
    out->rows_held = 0;
}

static void put_tsv_header(const struct out *out)
{
    bool any = false;

    for (size_t i = 0; i < out->column_count; i++) {
        if (!is_shown(out, i))
            continue;
        put_str(out, any ? "\t" : "");
        put_str(out, out->columns[i].name);
        any = true;
    }
    put_str(out, "\n");
}

bool out_row(struct out *out)
{
    assert(out->next == out->column_count);
    out->next = 0;
    out->any_value = false;
    out->rows++;
    switch (out->format) {
    case OUT_TABLE:
        if (++out->rows_held == ROWS_HELD || out->cells.len > BYTES_HELD)
            put_table(out);
        break;
    case OUT_TSV:
        if (out->rows == 1)
            put_tsv_header(out);
        buf_char(&out->row, '\n');
        break;
    case OUT_NDJSON:
        buf_str(&out->row, "}\n");
        break;
    case OUT_JSON:
        put_str(out, out->rows == 1 ? "[\n" : ",\n");
        buf_char(&out->row, '}');
        break;
    }
    put(out, out->row.data, out->row.len);
    buf_clear(&out->row);
    return out->to || !ferror(stdout);
}

/* What goes into memory goes on behind the array. */
static void put_json_end(const struct out *out)
{
    put_str(out, out->rows == 0 ? "[]" : "\n]");
    if (!out->to)
        put_str(out, "\n");
}

void out_end(struct out *out)
{
    assert(out->next == 0);
    if (out->format == OUT_TABLE && (out->rows_held > 0 || out->rows == 0))
        put_table(out);
    else if (out->format == OUT_TSV && out->rows == 0)
        put_tsv_header(out);
    else if (out->format == OUT_JSON)
        put_json_end(out);
    buf_done(&out->row);
    buf_done(&out->cells);
    free(out->ends);
    free(out);
}
