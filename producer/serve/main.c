/*
 * belt-serve: belt with the HTTP side in it.
 *
 * Thread: main, which is also the loop.
 */
#include <signal.h>
#include <sysexits.h>

#include "common/base/notify.h"
#include "common/base/stdfd.h"
#include "producer/command.h"
#include "producer/serve/serve.h"
#include "producer/serving_hook.h"

int main(int argc, char **argv)
{
    if (stdfd_open() != 0)
        return EX_OSERR;
    signal(SIGPIPE, SIG_IGN);
    notify_start();
    serve_here = serve_run;
    return command_line_run(argc, argv);
}
