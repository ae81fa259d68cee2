#ifndef TESTS_INTEGRATION_HTTP_FIXTURE_H
#define TESTS_INTEGRATION_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

/*
 * A belt-serve on a Redis of its own, and a client of plain sockets that says
 * just what a test wants to be said.
 *
 *     struct web_reply a;
 *     web_ask(f, "POST", "/v1/queues/mail/jobs", WEB_JSON, "{…}", &a);
 *     assert_int_equal(a.status, 202);
 *     assert_string_equal(web_header(&a, "Location"), "…");
 *     web_reply_done(&a);
 */
enum { WEB_MS = 30 * 1000 }; /* until what a test waits for must be there */

#define WEB_JSON "Content-Type: application/json\r\n"
#define WEB_NDJSON "Content-Type: application/x-ndjson\r\n"

struct web {
    struct redis *r;
    struct worker *w; /* the belt-serve */
    int port;
};

/* For cmocka: Redis alone, so that each test gives the server its flags. */
int web_setup(void **state);
int web_teardown(void **state);

/* Starts a server with these flags (NULL-terminated; NULL: none) on a free
 * port, and waits until it listens and, web_begin only, has Redis. */
void web_begin(struct web *f, const char *const *flags);
void web_begin_alone(struct web *f, const char *const *flags);

/* The same under a limit of prlimit(1), as "--nofile=200". */
void web_begin_limited(struct web *f, const char *limit,
                       const char *const *flags);

enum { WEB_HEADERS_MAX = 32 };

struct web_reply {
    int status; /* 0: none came */
    char *text; /* owned: what follows lies in it */
    size_t len;
    const char *names[WEB_HEADERS_MAX], *values[WEB_HEADERS_MAX];
    int header_count;
    const char *body; /* with a NUL behind it */
    size_t body_len;
};

void web_reply_done(struct web_reply *a);

/* The value of a header, its name in any case of letters; "": there is none.
 */
const char *web_header(const struct web_reply *a, const char *name);

/*
 * One request in a connection of its own. headers: whole lines with their
 * \r\n, or NULL; body may be NULL. The test fails if no answer comes.
 */
void web_ask(const struct web *f, const char *method, const char *path,
             const char *headers, const char *body, struct web_reply *ret);

/* The same; the answer must have this status and, unless NULL, this text in
 * its body. */
void web_expect(const struct web *f, const char *method, const char *path,
                const char *headers, const char *body, int status,
                const char *text);

/* Waits until GET of path has this status and, unless NULL, this text. */
void web_until(const struct web *f, const char *path, int status,
               const char *text);

/* ---- a connection for more than one request, or for a part of one ---- */

int web_connect(const struct web *f); /* -1: refused */
/* Sends all of it; false when the other end is gone. */
bool web_send(int fd, const char *data, size_t len);
bool web_say(int fd, const char *text);
/* Takes one answer; head: it is of a HEAD. False: the connection ended, or
 * nothing came within WEB_MS; a is empty then. */
bool web_take(int fd, bool head, struct web_reply *ret);
/* Waits until the other end has closed; reads away what it sends. */
bool web_is_closed(int fd);

#endif
