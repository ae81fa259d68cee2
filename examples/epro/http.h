#ifndef EPRO_HTTP_H
#define EPRO_HTTP_H

#include <stddef.h>

/*
 * As much of HTTP/1.1 as it takes to POST JSON to a server on this machine:
 * one connection that stays, one request at a time.
 */
struct http {
    const char *host, *port; /* borrowed */
    int fd;                  /* -1: not connected */
    size_t have;             /* bytes of in that were read and not used */
    char in[8192];
};

struct http_answer {
    int status;
    char location[256]; /* "" if there is none */
    int retry_after_s;  /* 0 if it says nothing */
};

void http_init(struct http *h, const char *host, const char *port);
void http_close(struct http *h);

/*
 * Connects if need be, sends, and waits for the answer, for at most half a
 * minute. Returns 0, or -1: the connection is gone, and whether the request
 * arrived nobody knows.
 */
int http_post(struct http *h, const char *path, const char *key,
              const char *body, struct http_answer *ret);

#endif
