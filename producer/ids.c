/*
 * Ids: the names of jobs, from arguments and from stdin.
 *
 * Thread: main.
 */
#include "producer/ids.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "producer/complain.h"
#include "producer/lines.h"

enum { LINE_MAX_BYTES = JOB_NAME_TEXT_MAX + 64 };

struct reading {
    const struct options *o; /* borrowed */
    job_name_cb cb;
    void *arg;
    bool bad; /* a line was no QUEUE/ID */
};

static int read_line(struct reading *r, const char *p, size_t n,
                     uint64_t number)
{
    struct job_name name;

    while (n > 0 && strchr(" \t", p[0])) {
        p++;
        n--;
    }
    while (n > 0 && strchr(" \t", p[n - 1]))
        n--;
    if (n == 0)
        return 0;
    if (job_name_parse(p, n, &name) && name.queue[0] != '\0')
        return r->cb(r->arg, &name);
    complain(r->o, "line %" PRIu64 ": not QUEUE/ID", number);
    r->bad = true;
    return 0;
}

static int read_stdin(struct reading *r)
{
    struct lines lines;
    bool end = false;
    int status = 0;

    lines_init(&lines, STDIN_FILENO, LINE_MAX_BYTES);
    while (!end && status == 0) {
        const char *p;
        size_t n;
        switch (lines_next(&lines, &p, &n)) {
        case LINES_LINE:
            status = read_line(r, p, n, lines.number);
            break;
        case LINES_TOO_LONG:
            status = read_line(r, "?", 1, lines.number);
            break;
        case LINES_MORE:
            if (lines_fill(&lines) != 0)
                status =
                    fail(r->o, EX_IOERR, "standard input: %s", strerror(errno));
            break;
        case LINES_END:
            end = true;
            break;
        }
    }
    lines_done(&lines);
    return status;
}

int job_names_read(const struct options *o, job_name_cb cb, void *arg)
{
    struct reading r = {.o = o, .cb = cb, .arg = arg};
    int status = 0;

    for (int i = 0; i < o->arg_count && status == 0; i++) {
        const char *text = o->args[i];
        struct job_name name;
        if (strcmp(text, "-") == 0)
            status = read_stdin(&r);
        else if (!job_name_parse(text, strlen(text), &name))
            status = fail(o, EX_USAGE, "%s: neither QUEUE/ID nor ID", text);
        else
            status = cb(arg, &name);
    }
    return status == 0 && r.bad ? EX_DATAERR : status;
}
