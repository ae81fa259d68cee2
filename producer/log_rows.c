/*
 * Log rows: lines for programs.
 *
 * Thread: as out.h.
 */
#include "producer/log_rows.h"

/* Programs count them: new ones go behind the others. */
const struct column log_columns[] = {
    {"n", FOR_ALL, true},
    {"at", FOR_ALL, true},
    {"attempt", FOR_ALL, true},
    {"source", FOR_ALL, false},
    {"level", FOR_ALL, false},
    {"message", FOR_ALL, false},
    {"raw", FOR_PROGRAMS, false},
    {"more", FOR_PROGRAMS, false},
    {0},
};

bool log_row_put(struct out *out, const struct log_line *line)
{
    struct buf raw = {0};

    out_int(out, line->n);
    out_int(out, line->at_ms);
    out_int(out, line->attempt);
    out_str(out, line->source);
    out_str(out, line->level);
    if (line->raw) {
        buf_base64(&raw, line->text.data, line->text.len);
        out_none(out);
        out_text(out, raw.data ? raw.data : "", raw.len);
    } else {
        out_text(out, line->text.data ? line->text.data : "", line->text.len);
        out_none(out);
    }
    out_bool(out, line->more);
    buf_done(&raw);
    return out_row(out);
}
