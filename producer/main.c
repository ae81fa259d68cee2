/*
 * belt: the command line.
 *
 * Thread: main, which is also the loop.
 */
#include <signal.h>
#include <sysexits.h>

#include "common/base/stdfd.h"
#include "producer/command.h"

int main(int argc, char **argv)
{
    if (stdfd_open() != 0)
        return EX_OSERR;
    /* A reader that went away is an error of write, told as status 74. */
    signal(SIGPIPE, SIG_IGN);
    return command_line_run(argc, argv);
}
