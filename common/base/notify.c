/*
 * Notify: what a service tells its manager.
 *
 * A socket is made for each message: they are rare, nothing is open between
 * them that a handler or a successor could inherit, and a manager that was
 * started anew is found again. It does not block, since the caller may be a
 * loop, and a manager that is stuck must not get its services stuck.
 *
 * Thread: as the header says; what notify_start finds never changes after it.
 */
#include "common/base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define VARIABLES 3

static const char *const names[VARIABLES] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",
                                             "WATCHDOG_PID"};

static struct {
    char *values[VARIABLES]; /* owned; NULL: not set */
    struct sockaddr_un addr;
    socklen_t len; /* of addr; 0: nobody listens */
    int64_t watchdog_ms;
} manager;

/* A path, or @ and a name without a file. Others (vsock:…) are not for us. */
static void find_socket(const char *text)
{
    size_t n = text != NULL ? strlen(text) : 0;

    manager.addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    manager.len = 0;
    if (n < 2 || n >= sizeof(manager.addr.sun_path) ||
        (text[0] != '/' && text[0] != '@'))
        return;
    memcpy(manager.addr.sun_path, text, n);
    if (text[0] == '@')
        manager.addr.sun_path[0] = '\0';
    manager.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
                              (text[0] == '/' ? 1 : 0));
}

void notify_start(void)
{
    for (unsigned i = 0; i < VARIABLES; i++) {
        const char *value = getenv(names[i]);
        free(manager.values[i]);
        manager.values[i] = value != NULL ? mem_strdup(value) : NULL;
        (void)unsetenv(names[i]);
    }
    find_socket(manager.values[0]);
    /* Meant for another process, one that started us perhaps? */
    bool ours = manager.values[2] == NULL ||
                text_int_or(manager.values[2], 0) == (int64_t)getpid();
    int64_t us =
        ours && manager.len > 0 ? text_int_or(manager.values[1], 0) : 0;
    manager.watchdog_ms = us > 0 && us < 2000 ? 1 : us / 2000;
}

void notify_hand_over(void)
{
    for (unsigned i = 0; i < VARIABLES; i++)
        if (manager.values[i] != NULL)
            (void)setenv(names[i], manager.values[i], 1);
}

bool notify_is_heard(void)
{
    return manager.len > 0;
}

int64_t notify_watchdog_ms(void)
{
    return manager.watchdog_ms;
}

bool notify_send(const char *fmt, ...)
{
    char text[NOTIFY_MAX + 1];
    va_list ap;

    if (manager.len == 0)
        return true;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n <= 0)
        return true;
    if (n > NOTIFY_MAX)
        n = NOTIFY_MAX;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    ssize_t sent = sendto(fd, text, (size_t)n, MSG_NOSIGNAL,
                          (const struct sockaddr *)&manager.addr, manager.len);
    /* Whoever is gone for good is not told again and again. */
    bool told = sent >= 0 || (errno != EAGAIN && errno != ENOBUFS);
    (void)close(fd);
    return told;
}
