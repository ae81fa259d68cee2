/*
 * belt log: a line into the log of the worker, with the id of the job that
 * runs this script.
 *
 * Thread: main.
 */
#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/log.h"
#include "producer/complain.h"
#include "producer/control_line.h"
#include "producer/lines.h"

#define AT(member) offsetof(struct options, member)

enum { LINE_MAX_BYTES = 1024 * 1024 };

static int send_text(const struct options *o, const char *text, size_t n)
{
    struct buf line = {0};

    buf_str(&line, "{\"op\":\"log\"");
    if (o->level)
        control_text(&line, "level", o->level, strlen(o->level));
    control_text(&line, "message", text, n);
    buf_str(&line, "}\n");
    int status = control_send(o, &line);
    buf_done(&line);
    return status;
}

static int send_stdin(const struct options *o)
{
    struct lines in;
    const char *p;
    size_t n;
    int status = EX_OK;

    lines_init(&in, STDIN_FILENO, LINE_MAX_BYTES);
    while (status == EX_OK) {
        enum lines_result r = lines_next(&in, &p, &n);
        if (r == LINES_END)
            break;
        if (r == LINES_LINE)
            status = send_text(o, p, n);
        else if (r == LINES_TOO_LONG)
            status = fail(o, EX_DATAERR, "line %llu: more than %d bytes",
                          (unsigned long long)in.number, LINE_MAX_BYTES);
        else if (lines_fill(&in) != 0)
            status = fail(o, EX_IOERR, "standard input: %s", strerror(errno));
    }
    lines_done(&in);
    return status;
}

static int run_log(const struct options *o)
{
    enum log_level level;
    struct errbuf eb;

    if (o->level && log_level_parse(o->level, &level, &eb) != 0)
        return fail(o, EX_USAGE, "--level: %s", eb.text);
    if (o->arg_count == 1 && strcmp(o->args[0], "-") == 0)
        return send_stdin(o);
    struct buf text = control_words(o, 0);
    int status = send_text(o, text.data, text.len);
    buf_done(&text);
    return status;
}

static const struct flag flags[] = {
    {"level", 0, FLAG_TEXT, "LEVEL", AT(level), 0, 0,
     "debug, info (the default), warn or error"},
    {0},
};

const struct command cmd_log = {
    .name = "log",
    .usage = "[--level LEVEL] MESSAGE | -",
    .summary = "In a handler: log a line with the id of its job",
    .details =
        "With - each line of stdin is one. 4096 bytes of a line stay in the "
        "worker's log,\n16 KiB in that of a kept job: belt logs. Redis is not "
        "asked: the lines go to the\nworker that runs the script, by the "
        "descriptor that BELT_CONTROL_FD names.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .run = run_log,
};
