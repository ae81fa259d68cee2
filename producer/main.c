/*
 * belt: the command line.
 *
 * Thread: main, which is also the loop.
 */
#include <signal.h>

#include "producer/command.h"

int main(int argc, char **argv)
{
    /* A reader that went away is an error of write, told as status 74. */
    signal(SIGPIPE, SIG_IGN);
    return command_line_run(argc, argv);
}
