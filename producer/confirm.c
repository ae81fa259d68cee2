/*
 * Confirm: what cannot be undone is not done by a slip.
 *
 * Thread: main.
 */
#include "producer/confirm.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/text.h"
#include "producer/complain.h"

int confirm(const struct options *o, const char *name, const char *what)
{
    char line[NAME_MAX_LEN + 3];

    if (o->yes)
        return 0;
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
        return fail(o, EX_USAGE, "%s: needs --yes", name);
    fprintf(stderr, "%s. Type %s to go on: ", what, name);
    if (!fgets(line, sizeof(line), stdin))
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, name) == 0)
        return 0;
    return fail(o, EX_USAGE, "%s: not done", name);
}
