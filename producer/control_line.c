/*
 * Control line: from a handler's shell script to its worker.
 *
 * A line of up to PIPE_BUF bytes is one write(2), which no other writer can
 * come between; a longer one may be cut by the kernel. So whoever writes holds
 * a lock on the pipe, and lines of several belt commands at once do not mix,
 * however long they are. It is a lock of the process, since all that a handler
 * started share one open file. What takes no locks cannot be locked: then it
 * is as with echo.
 *
 * Thread: main.
 */
#include "producer/control_line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/text.h"
#include "producer/complain.h"

/* type: F_WRLCK or F_UNLCK. */
static void lock(int fd, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};

    while (fcntl(fd, F_SETLKW, &whole) < 0 && errno == EINTR)
        continue;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

/* JSON in more lines than one has their ends between its parts only. */
static void make_one_line(struct buf *line)
{
    for (size_t i = 0; i + 1 < line->len; i++)
        if (line->data[i] == '\n')
            line->data[i] = ' ';
}

int control_send(const struct options *o, struct buf *line)
{
    const char *name = getenv("BELT_CONTROL_FD");
    int64_t fd;

    if (!name || name[0] == '\0')
        return fail(o, EX_USAGE,
                    "not in a handler: BELT_CONTROL_FD is not set (to try a "
                    "script by hand, set it to 2)");
    if (text_parse_int(name, 0, INT_MAX, "descriptor", &fd, NULL) != 0)
        return fail(o, EX_USAGE, "BELT_CONTROL_FD: %s: not a descriptor", name);
    make_one_line(line);
    signal(SIGPIPE, SIG_IGN);
    lock((int)fd, F_WRLCK);
    int err = write_all((int)fd, line->data, line->len) < 0 ? errno : 0;
    lock((int)fd, F_UNLCK); /* belt log - may wait for its next line for long */
    if (err != 0)
        return fail(o, EX_IOERR, "descriptor %d of BELT_CONTROL_FD: %s",
                    (int)fd, strerror(err));
    return EX_OK;
}

void control_text(struct buf *line, const char *name, const char *text,
                  size_t n)
{
    if (n > CONTROL_TEXT_MAX) {
        n = CONTROL_TEXT_MAX;
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
            n--;
    }
    buf_printf(line, ",\"%s\":", name);
    buf_json_string(line, text, n);
}

struct buf control_words(const struct options *o, int i)
{
    struct buf text = {0};

    buf_reserve(&text, 1);
    for (; i < o->arg_count; i++) {
        buf_str(&text, o->args[i]);
        if (i + 1 < o->arg_count)
            buf_char(&text, ' ');
    }
    return text;
}
