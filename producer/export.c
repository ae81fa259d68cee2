/*
 * Export: jobs as lines.
 *
 * Thread: main.
 */
#include "producer/export.h"

#include "common/base/buf.h"
#include "common/base/clock.h"

/* In an envelope that is valid, a line end is nothing but white space. */
static void append_line(struct buf *line, struct bytes element)
{
    buf_append(line, element.p, element.len);
    for (size_t i = 0; i < line->len; i++) {
        if (line->data[i] == '\n' || line->data[i] == '\r')
            line->data[i] = ' ';
    }
}

bool export_job(FILE *f, struct bytes element, const struct job *job,
                const char *why)
{
    struct buf line = {0};

    if (job)
        append_line(&line, element);
    else
        job_build_invalid(element.p, element.len, SIZE_MAX, why,
                          clock_wall_ms(), &line);
    buf_char(&line, '\n');
    bool good = fwrite(line.data, 1, line.len, f) == line.len;
    buf_done(&line);
    return good;
}
