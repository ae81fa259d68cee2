/*
 * Run: from argv to an exit status.
 *
 * Whatever a command printed has reached the kernel when it counts as done:
 * a full disk or a closed pipe turns success into status 74.
 *
 * Thread: main.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "producer/complain.h"

static int dispatch(const struct options *o)
{
    if (o->version) {
        puts("belt " BELT_VERSION);
        return EX_OK;
    }
    if (o->help) {
        if (o->command)
            command_print_help(o->command, stdout);
        else if (o->group)
            group_print_help(o->group, stdout);
        else
            commands_print_help(stdout);
        return EX_OK;
    }
    if (!o->command) {
        if (o->group)
            group_print_help(o->group, stderr);
        else
            commands_print_help(stderr);
        return EX_USAGE;
    }
    return o->command->run(o);
}

int command_line_run(int argc, char **argv)
{
    struct options o;
    struct errbuf eb;
    int status;

    if (options_parse(argc, argv, &o, &eb) != 0)
        status = fail(&o, EX_USAGE, "%s", eb.text);
    else
        status = dispatch(&o);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain(&o, "standard output: %s",
                 errno ? strerror(errno) : "write error");
        if (status == EX_OK)
            status = EX_IOERR;
    }
    options_done(&o);
    return status;
}
