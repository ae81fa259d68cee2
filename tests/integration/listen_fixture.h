#ifndef TESTS_INTEGRATION_LISTEN_FIXTURE_H
#define TESTS_INTEGRATION_LISTEN_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

/*
 * A worker that answers HTTP, on a Redis of its own, and a client of plain
 * sockets that says just what a test wants to be said.
 */
enum { LISTEN_MS = 30 * 1000 }; /* until what a test waits for must be there */

struct fixture {
    struct redis *r;
    struct worker *w;
    int port;
};

/* For cmocka: Redis alone, so that each test gives the worker its flags. */
int listen_setup(void **state);
int listen_teardown(void **state);

/* Starts the worker with these flags (NULL-terminated) and --listen. */
void listen_begin(struct fixture *f, const char *const *flags);

/* The port that a worker says it listens at; text comes before it. */
int listen_port(struct worker *w, const char *text);

/* A connection to a port of 127.0.0.1, or -1 if there is none. */
int http_connect(int port);

/*
 * Sends without blocking: false when the other end is gone. What does not fit
 * is not sent.
 */
bool http_send(int fd, const char *data, size_t len);

/* Reads until the other end closes; false if it has not within LISTEN_MS. */
bool http_read_all(int fd, char *out, size_t size, size_t *ret_len);

/* Whether the other end has closed; reads away what it sends. */
bool http_is_closed(int fd);

struct response {
    int status;       /* 0: none came */
    char *headers;    /* with the status line; in text */
    const char *body; /* in text */
    size_t body_len;
    char text[128 * 1024];
};

/* Sends a whole request and takes the answer; the connection must end. */
void http_ask_raw(const struct fixture *f, const char *request, size_t len,
                  struct response *ret);
void http_ask(const struct fixture *f, const char *method, const char *path,
              struct response *ret);

/* A header's value is this; the name as the worker writes it. */
bool http_header_is(const struct response *a, const char *name,
                    const char *value);

/* Waits until GET of path has this status and, unless NULL, this in its body.
 */
void http_until(const struct fixture *f, const char *path, int status,
                const char *text);

/* Waits until a sample of /metrics has this value. */
void metric_until(const struct fixture *f, const char *sample, double value);

#endif
