#ifndef PRODUCER_LOG_LINE_H
#define PRODUCER_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/*
 * An element of belt:{q}:log:<id> (docs/PROTOCOL.md): a line that a run of a
 * kept job wrote. Any thread.
 */
struct log_line {
    int64_t n; /* in the log, from 1 */
    int64_t at_ms, attempt;
    char source[16], level[16];
    struct buf text; /* owned: its bytes, without newline */
    bool raw;        /* they were no text */
    bool more;       /* no newline followed */
};

/*
 * Reads an element into *ret, whose text is used again. Returns false if it is
 * none: it has no number.
 */
bool log_line_read(const char *p, size_t n, struct log_line *ret);

void log_line_done(struct log_line *l);

#endif
