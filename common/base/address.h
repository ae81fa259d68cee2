#ifndef COMMON_BASE_ADDRESS_H
#define COMMON_BASE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/base/err.h"

/*
 * Where a program listens: 127.0.0.1:9090, [::1]:9090, localhost:9090 or :9090,
 * which are all this host alone, another numeric address, unix:/path, or fd:N,
 * a socket that a parent opened and that listens. Port 0 is a free one. Names
 * are not resolved: one that changes would open another door. Any thread.
 */
#define ADDRESS_MAX_LEN 128 /* bytes of a text that is taken */
enum { ADDRESS_TEXT_MAX = 160 };

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
    int fd; /* of fd:N; else -1 */
};

/* ERR_INVALID names the text. */
int address_parse(const char *text, struct address *ret, struct errbuf *eb);

/* Whether only programs of this host can reach it. */
bool address_is_local(const struct address *a);

/*
 * Returns a listening socket, non-blocking and close-on-exec from birth, or -1
 * and errno. The socket file of a program that is gone is replaced.
 */
int address_listen(const struct address *a, int backlog);

/* Writes where a socket listens, as address_parse reads it. */
void address_of(int fd, char out[ADDRESS_TEXT_MAX]);

#endif
