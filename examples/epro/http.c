/*
 * Http: requests out, answers in, over a plain socket.
 */
#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 30 };

void http_init(struct http *h, const char *host, const char *port)
{
    h->host = host;
    h->port = port;
    h->fd = -1;
    h->have = 0;
}

void http_close(struct http *h)
{
    if (h->fd >= 0)
        (void)close(h->fd);
    h->fd = -1;
    h->have = 0;
}

static int open_socket(const struct addrinfo *a)
{
    const struct timeval patience = {PATIENCE_S, 0};
    const int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int connect_to(struct http *h)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;

    if (h->fd >= 0)
        return 0;
    if (getaddrinfo(h->host, h->port, &hints, &all) != 0)
        return -1;
    for (struct addrinfo *a = all; a != NULL && h->fd < 0; a = a->ai_next)
        h->fd = open_socket(a);
    freeaddrinfo(all);
    h->have = 0;
    return h->fd >= 0 ? 0 : -1;
}

/* All of it, or as much as the server takes before it closes. */
static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* it may have answered all the same */
        data += n;
        size -= (size_t)n;
    }
}

static int send_request(const struct http *h, const char *path, const char *key,
                        const char *body)
{
    char *text = NULL;
    int n = asprintf(&text,
                     "POST %s HTTP/1.1\r\n"
                     "Host: %s:%s\r\n"
                     "Content-Type: application/json\r\n"
                     "Idempotency-Key: \"%s\"\r\n"
                     "Content-Length: %zu\r\n"
                     "\r\n"
                     "%s",
                     path, h->host, h->port, key, strlen(body), body);

    if (n < 0)
        return -1;
    send_all(h->fd, text, (size_t)n);
    free(text);
    return 0;
}

/* More bytes into in. */
static int read_more(struct http *h)
{
    ssize_t n;

    if (h->have == sizeof(h->in))
        return -1;
    do
        n = recv(h->fd, h->in + h->have, sizeof(h->in) - h->have, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return -1;
    h->have += (size_t)n;
    return 0;
}

static void use(struct http *h, size_t n)
{
    memmove(h->in, h->in + n, h->have - n);
    h->have -= n;
}

/* The value of a header in a head that ends with a NUL; NULL: not there. */
static const char *header(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = strstr(head, "\r\n"); p != NULL;
         p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, n) == 0 && p[n] == ':')
            return p + n + 1 + strspn(p + n + 1, " ");
    }
    return NULL;
}

static long header_number(const char *head, const char *name, long none)
{
    const char *value = header(head, name);

    return value != NULL ? strtol(value, NULL, 10) : none;
}

static bool says_close(const char *head)
{
    const char *value = header(head, "Connection");

    return value != NULL && strncasecmp(value, "close", 5) == 0;
}

/* The head, and away with the body, which is for people. */
static int read_answer(struct http *h, struct http_answer *ret)
{
    char *end;

    while ((end = memmem(h->in, h->have, "\r\n\r\n", 4)) == NULL)
        if (read_more(h) != 0)
            return -1;
    *end = '\0';
    if (strncmp(h->in, "HTTP/1.1 ", 9) != 0)
        return -1;
    ret->status = (int)strtol(h->in + 9, NULL, 10);
    ret->retry_after_s = (int)header_number(h->in, "Retry-After", 0);
    const char *location = header(h->in, "Location");
    (void)snprintf(ret->location, sizeof(ret->location), "%.*s",
                   location != NULL ? (int)strcspn(location, "\r") : 0,
                   location != NULL ? location : "");
    long left = header_number(h->in, "Content-Length", 0);
    bool close_it = says_close(h->in);

    use(h, (size_t)(end + 4 - h->in));
    while (left > 0) {
        if (h->have == 0 && read_more(h) != 0)
            return -1;
        size_t n = (size_t)left < h->have ? (size_t)left : h->have;
        use(h, n);
        left -= (long)n;
    }
    if (close_it)
        http_close(h);
    return 0;
}

static int exchange(struct http *h, const char *path, const char *key,
                    const char *body, struct http_answer *ret)
{
    int rc = connect_to(h);

    if (rc == 0)
        rc = send_request(h, path, key, body);
    while (rc == 0) {
        rc = read_answer(h, ret);
        if (rc == 0 && ret->status >= 200)
            return 0;
    }
    http_close(h);
    return -1;
}

int http_post(struct http *h, const char *path, const char *key,
              const char *body, struct http_answer *ret)
{
    bool stood = h->fd >= 0;

    if (exchange(h, path, key, body, ret) == 0)
        return 0;
    /* A connection that stood idle may have been closed meanwhile; the key
     * makes it harmless to send the request twice. */
    return stood ? exchange(h, path, key, body, ret) : -1;
}
