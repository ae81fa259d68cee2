#ifndef TESTS_UNIT_HTTP_SERVER_H
#define TESTS_UNIT_HTTP_SERVER_H

#include <stdbool.h>

#include "common/base/buf.h"

/*
 * A small HTTP server that misbehaves as the path of a request asks:
 *
 *     /ok          200 and the body of the request
 *     /status/N    N and two lines
 *     /after/TEXT  429 with Retry-After: TEXT
 *     /big/N       200 and N bytes
 *     /redirect    302 to /ok
 *     /hang        nothing, ever
 *     /trickle     200 and a byte now and then, for ever
 *     /close       the end of the connection
 *     /reset       the same by RST
 *     /half        a tenth of the body that it promises
 *     /garbage     what is no HTTP
 *     /flood       200 and a body without an end
 *     /headers     200 and headers without an end
 *
 * Threads of its own. It fails the test when something goes wrong.
 */
struct http_server;

/* On a free port of 127.0.0.1; with a certificate if tls. */
struct http_server *http_server_start(bool tls);
void http_server_stop(struct http_server *s);

int http_server_port(const struct http_server *s);

/* Its own certificate, for "127.0.0.1" only, in a file of PEM. */
void http_server_certificate(const struct http_server *s, const char *path);

/* The last request, for buf_done: line, headers, blank line, body. */
struct buf http_server_request(struct http_server *s);

/* Connections accepted so far. */
unsigned http_server_connections(struct http_server *s);

/* Waits until a request has come since the last call. */
void http_server_await_request(struct http_server *s);

#endif
