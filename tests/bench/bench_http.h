#ifndef TESTS_BENCH_BENCH_HTTP_H
#define TESTS_BENCH_BENCH_HTTP_H

#include "tests/bench/bench.h"

/*
 * Load by HTTP, and what it is compared to. Connections are asked one thing at
 * a time and at once the next, so as many requests are under way as there are
 * connections.
 */
enum { HTTP_CONNECTIONS = 64 };

struct load {
    int64_t answered; /* all of them as they should be */
    double per_s;
    double p50_ms, p99_ms; /* 0: not looked at */
    double server_cpu_us;  /* of a request; of Redis if that was asked */
};

/* The path of wrk, owned, or NULL: it is not installed. */
char *http_wrk_path(void);

/*
 * Has wrk post this body to the path on a port of 127.0.0.1 for so many
 * seconds; server is whose CPU is counted. Fails on an answer that is no
 * success, and on any trouble of a connection.
 */
struct post {
    const char *wrk;
    int port;
    const char *path, *body;
    int seconds;
    pid_t server;
};
void http_post(struct bench *b, const struct post *p, struct load *ret);

/*
 * An HTTP server of libevent that answers all with 202, this body and a
 * Location, and does nothing else, on one thread. Ended by bench_join with
 * SIGKILL.
 */
pid_t http_bare_begin(const char *body, int *ret_port);

/* One RPUSH a round trip on each of as many connections to Redis. */
void http_rpush(struct bench *b, const char *queue, const char *text, int ms,
                struct load *ret);

#endif
