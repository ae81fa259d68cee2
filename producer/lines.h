#ifndef PRODUCER_LINES_H
#define PRODUCER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The lines of a file, read in big blocks, without copying and with bounded
 * memory: of a line that is too long only the fact is kept. Lines end with LF
 * or CRLF, the last one also without.
 */
struct lines {
    int fd;     /* borrowed */
    size_t max; /* bytes of a line, its end not counted */

    char *mem; /* owned */
    size_t cap, start, scanned, end;
    bool eof, skipping;
    uint64_t number;     /* of the line returned last, from 1 */
    uint64_t read_bytes; /* so far */
};

enum lines_result {
    LINES_LINE,     /* a line is there */
    LINES_TOO_LONG, /* a line is there that is longer than max */
    LINES_MORE,     /* call lines_fill */
    LINES_END
};

void lines_init(struct lines *l, int fd, size_t max);
void lines_done(struct lines *l);

/* Returns what comes next; a line is lent until the next call. */
enum lines_result lines_next(struct lines *l, const char **ret_p,
                             size_t *ret_len);

/* Reads once; may block. Returns 0, or ERR_SYSTEM with errno set. */
int lines_fill(struct lines *l);

#endif
