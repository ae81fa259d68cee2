/*
 * Address: where a program listens.
 *
 * Thread: any.
 */
#include "common/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/text.h"

#define UNIX_PREFIX "unix:"
#define FD_PREFIX "fd:"

/* The text of a host, and a port, into a socket address. */
static int parse_host(const char *host, in_port_t port, struct address *ret)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        char inner[INET6_ADDRSTRLEN] = "";
        if (n - 2 < sizeof(inner))
            memcpy(inner, host + 1, n - 2);
        if (inet_pton(AF_INET6, inner, &in6.sin6_addr) != 1)
            return ERR_INVALID;
        memcpy(&ret->sa, &in6, sizeof(in6));
        ret->len = sizeof(in6);
        return 0;
    }
    if (n == 0 || strcmp(host, "localhost") == 0)
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return ERR_INVALID;
    memcpy(&ret->sa, &in, sizeof(in));
    ret->len = sizeof(in);
    return 0;
}

static int parse_unix(const char *path, struct address *ret, struct errbuf *eb)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (path[0] != '/' || n >= sizeof(un.sun_path))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%s\" is no absolute path of at most %zu bytes",
                          path, sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, n + 1);
    memcpy(&ret->sa, &un, sizeof(un));
    ret->len = sizeof(un);
    return 0;
}

static int parse_fd(const char *number, struct address *ret, struct errbuf *eb)
{
    int64_t fd;
    int listens = 0;
    socklen_t len = sizeof(listens);
    int rc = text_parse_int(number, 3, INT32_MAX, "fd", &fd, eb);
    if (rc != 0)
        return rc;
    ret->fd = (int)fd;
    ret->len = sizeof(ret->sa);
    if (getsockopt(ret->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 ||
        !listens ||
        getsockname(ret->fd, (struct sockaddr *)&ret->sa, &ret->len) != 0)
        return errbuf_set(eb, ERR_INVALID, "fd:%s is no socket that listens",
                          number);
    return 0;
}

int address_parse(const char *text, struct address *ret, struct errbuf *eb)
{
    const char *colon = strrchr(text, ':');
    char host[ADDRESS_MAX_LEN + 1] = "";
    int64_t port;
    *ret = (struct address){.fd = -1};
    if (strlen(text) > ADDRESS_MAX_LEN)
        return errbuf_set(eb, ERR_INVALID, "an address of more than %d bytes",
                          ADDRESS_MAX_LEN);
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(text + strlen(UNIX_PREFIX), ret, eb);
    if (strncmp(text, FD_PREFIX, strlen(FD_PREFIX)) == 0)
        return parse_fd(text + strlen(FD_PREFIX), ret, eb);
    if (colon == NULL)
        return errbuf_set(eb, ERR_INVALID,
                          "\"%s\" is no address such as 127.0.0.1:9090, "
                          "[::1]:9090 or :9090",
                          text);
    int rc = text_parse_int(colon + 1, 0, 65535, "port", &port, eb);
    if (rc != 0)
        return errbuf_wrap(eb, rc, "%s", text);
    memcpy(host, text, (size_t)(colon - text));
    if (parse_host(host, htons((uint16_t)port), ret) != 0)
        return errbuf_set(eb, ERR_INVALID,
                          "%s: \"%s\" is no numeric address; IPv6 is written "
                          "in brackets",
                          text, host);
    return 0;
}

bool address_is_local(const struct address *a)
{
    if (a->sa.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &a->sa, sizeof(in));
        return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    }
    if (a->sa.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &a->sa, sizeof(in6));
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return true;
}

/* A socket file at which nobody listens any more would be in the way. */
static void remove_stale(const struct address *a)
{
    struct sockaddr_un un;
    struct stat st;
    memcpy(&un, &a->sa, sizeof(un));
    if (lstat(un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&a->sa, a->len) != 0 &&
        errno == ECONNREFUSED)
        (void)unlink(un.sun_path);
    (void)close(fd);
}

int address_listen(const struct address *a, int backlog)
{
    int one = 1;
    if (a->fd >= 0)
        return fcntl(a->fd, F_SETFD, FD_CLOEXEC) == 0 &&
                       fcntl(a->fd, F_SETFL, O_NONBLOCK) == 0
                   ? a->fd
                   : -1;
    int fd =
        socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (a->sa.ss_family == AF_UNIX)
        remove_stale(a);
    /* One that starts again need not wait for old connections to fade. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        bind(fd, (const struct sockaddr *)&a->sa, a->len) == 0 &&
        listen(fd, backlog) == 0)
        return fd;
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

void address_of(int fd, char out[ADDRESS_TEXT_MAX])
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    char host[INET6_ADDRSTRLEN] = "";
    (void)getsockname(fd, (struct sockaddr *)&sa, &len);
    if (sa.ss_family == AF_UNIX) {
        struct sockaddr_un un;
        memcpy(&un, &sa, sizeof(un));
        (void)snprintf(out, ADDRESS_TEXT_MAX, UNIX_PREFIX "%.*s",
                       (int)sizeof(un.sun_path), un.sun_path);
    } else if (sa.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &sa, sizeof(in6));
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
        (void)snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host,
                       (unsigned)ntohs(in6.sin6_port));
    } else {
        struct sockaddr_in in;
        memcpy(&in, &sa, sizeof(in));
        (void)inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host));
        (void)snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host,
                       (unsigned)ntohs(in.sin_port));
    }
}
