/*
 * Standard descriptors that are never anything else.
 *
 * Thread: main, before all others.
 */
#include "common/base/stdfd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/err.h"

int stdfd_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest free descriptor is this one: those below are open. */
        if (open("/dev/null", O_RDWR) != fd)
            return ERR_SYSTEM;
    }
    return 0;
}
