/*
 * Complain: one line on stderr for each thing that a person should know.
 *
 * A line is one write(2), so that it does not mix with those of other
 * programs on the same terminal. Errors of writing it are nobody's business.
 *
 * Thread: main.
 */
#include "producer/complain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/safe.h"

enum { TEXT_MAX = 2048 };

__attribute__((format(printf, 2, 0))) static void
vcomplain(const struct options *o, const char *fmt, va_list ap)
{
    char text[TEXT_MAX];
    struct buf line = {0};

    vsnprintf(text, sizeof(text), fmt, ap);
    buf_str(&line, "belt");
    if (o && o->command)
        buf_printf(&line, " %s", o->command->name);
    buf_str(&line, ": ");
    safe_append(&line, text, strlen(text));
    buf_char(&line, '\n');
    ssize_t n = write(STDERR_FILENO, line.data, line.len);
    (void)n;
    buf_done(&line);
}

void complain(const struct options *o, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vcomplain(o, fmt, ap);
    va_end(ap);
}

int fail(const struct options *o, int status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vcomplain(o, fmt, ap);
    va_end(ap);
    return status;
}
