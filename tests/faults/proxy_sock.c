/*
 * Sockets of the fault proxy and of its handle.
 *
 * Thread: any.
 */
#include "tests/faults/proxy_sock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

static bool fill(struct sockaddr_un *sa, const char *path)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sa->sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(sa->sun_path, path, strlen(path));
    return true;
}

static int fail(int fd)
{
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = error;
    return -1;
}

int sock_listen(const char *path, int flags)
{
    struct sockaddr_un sa;
    flags |= SOCK_STREAM | SOCK_CLOEXEC;
    int fd = fill(&sa, path) ? socket(AF_UNIX, flags, 0) : -1;
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        listen(fd, BACKLOG) != 0)
        return fail(fd);
    return fd;
}

int sock_connect(const char *path, int flags)
{
    struct sockaddr_un sa;
    flags |= SOCK_STREAM | SOCK_CLOEXEC;
    int fd = fill(&sa, path) ? socket(AF_UNIX, flags, 0) : -1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
        return fail(fd);
    return fd;
}
