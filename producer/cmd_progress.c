/*
 * belt progress: how far the job is that runs this script.
 *
 * Thread: main.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "producer/complain.h"
#include "producer/control_line.h"

/* Digits and perhaps a point between them: strtod takes far more. */
static bool read_number(const char *text, size_t n, double *ret)
{
    char copy[32];

    if (n == 0 || n >= sizeof(copy) || strspn(text, "0123456789.") < n)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    char *end;
    *ret = strtod(copy, &end);
    return *end == '\0' && end > copy;
}

/* "40", "40%", "12.5", or "3/8". */
static bool read_percent(const char *text, double *ret)
{
    size_t n = strcspn(text, "/%");
    double whole;

    if (!read_number(text, n, ret))
        return false;
    if (text[n] == '/') {
        const char *rest = text + n + 1;
        if (!read_number(rest, strlen(rest), &whole) || whole <= 0)
            return false;
        *ret = *ret / whole * 100;
    } else if (text[n] == '%' && text[n + 1] != '\0') {
        return false;
    }
    return *ret <= 100;
}

static int run_progress(const struct options *o)
{
    struct buf line = {0}, text = {0};
    double percent;

    if (!read_percent(o->args[0], &percent))
        return fail(o, EX_USAGE,
                    "%s: neither a number from 0 to 100 nor a part like 3/8",
                    o->args[0]);
    buf_printf(&line, "{\"op\":\"progress\",\"percent\":%.6g", percent);
    if (o->arg_count > 1) {
        text = control_words(o, 1);
        control_text(&line, "message", text.data, text.len);
    }
    buf_str(&line, "}\n");
    int status = control_send(o, &line);
    buf_done(&text);
    buf_done(&line);
    return status;
}

const struct command cmd_progress = {
    .name = "progress",
    .usage = "PERCENT [MESSAGE]",
    .summary = "In a handler: tell how far its job is",
    .details =
        "PERCENT is a number from 0 to 100, or a part of a whole as in 3/8. "
        "It is shown for\njobs that were pushed with --keep: belt status. "
        "Redis is not asked: one line goes\nto the worker that runs the "
        "script, by the descriptor that BELT_CONTROL_FD names.\n",
    .min_args = 1,
    .max_args = -1,
    .run = run_progress,
};
