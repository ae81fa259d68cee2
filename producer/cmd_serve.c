/*
 * belt serve: the HTTP side, which is a program of its own.
 *
 * belt-serve is belt with an HTTP server linked into it; the others are spared
 * the loading of that library. Both read the same command line by the same
 * table.
 *
 * Thread: main.
 */
#include "producer/serving_hook.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "producer/complain.h"
#include "producer/worker_path.h"

#define AT(member) offsetof(struct options, member)
#define DAY_MS (24LL * 3600 * 1000)
#define KIB 1024LL
#define MIB (1024LL * KIB)

int (*serve_here)(const struct options *o);

static const struct flag flags[] = {
    {"listen", 0, FLAG_TEXT, "ADDR", AT(listen), 0, 0,
     "host:port or :port (127.0.0.1:8787), port 0: a free one; unix:/path; or "
     "fd:N, a socket that listens already"},
    {"tokens", 0, FLAG_TEXT, "FILE", AT(tokens), 0, 0,
     "who may use it; needed for addresses that others can reach"},
    {"add-token", 0, FLAG_TEXT, "NAME", AT(add_token), 0, 0,
     "make a token, add it to --tokens, print it, and end"},
    {"roles", 0, FLAG_TEXT, "ROLES", AT(roles), 0, 0,
     "of --add-token: push, read, operate, with commas"},
    {"insecure", 0, FLAG_BOOL, NULL, AT(insecure), 0, 0,
     "do without tokens even where others can reach it"},
    {"access-log", 0, FLAG_BOOL, NULL, AT(access_log), 0, 0,
     "log a line for each request"},
    {"max-body", 0, FLAG_SIZE, "SIZE", AT(max_bytes), 1, 512 * MIB,
     "the largest envelope and body, other than of NDJSON (1m)"},
    {"max-bulk", 0, FLAG_SIZE, "SIZE", AT(max_bulk), 1, 4096 * MIB,
     "the largest body of NDJSON (64m)"},
    {"max-headers", 0, FLAG_SIZE, "SIZE", AT(max_headers), KIB, MIB,
     "the largest request line and headers (16k)"},
    {"max-connections", 0, FLAG_INT, "N", AT(max_connections), 1, 1000000,
     "open at a time (1000)"},
    {"max-pending", 0, FLAG_SIZE, "SIZE", AT(max_pending), MIB, 64 * 1024 * MIB,
     "bytes of bodies and answers held in all; more is answered with 503 "
     "(128m)"},
    {"max-lines", 0, FLAG_INT, "N", AT(max_lines), 1, 10000000,
     "of an NDJSON body (100000)"},
    {"max-waits", 0, FLAG_INT, "N", AT(max_waits), 0, 1000000,
     "requests that wait for the end of a job at a time (1000)"},
    {"longest-wait", 0, FLAG_DURATION, "D", AT(longest_wait_ms), 1000, DAY_MS,
     "how long one of them may ask to wait (1m)"},
    {"request-timeout", 0, FLAG_DURATION, "D", AT(request_timeout_ms), 1,
     DAY_MS, "from the first byte of a request to its last (30s)"},
    {"idle-timeout", 0, FLAG_DURATION, "D", AT(idle_timeout_ms), 1, DAY_MS,
     "how long a connection may ask nothing (1m)"},
    {"redis-timeout", 0, FLAG_DURATION, "D", AT(redis_timeout_ms), 10, DAY_MS,
     "how long Redis may leave us without an answer (5s)"},
    {"drain-timeout", 0, FLAG_DURATION, "D", AT(drain_timeout_ms), 1, DAY_MS,
     "how long requests may take to end after a signal to stop (30s)"},
    {"idempotency", 0, FLAG_DURATION, "D", AT(idempotency_ms), 1000,
     366 * DAY_MS, "how long an Idempotency-Key counts (24h)"},
    {"side-threads", 0, FLAG_INT, "N", AT(side_threads), 1, 256,
     "threads for requests that look around in Redis (4)"},
    {"metrics-queues", 0, FLAG_INT, "N", AT(metrics_queues), 0, 100000,
     "queues that have series of their own in /metrics (500)"},
    {NULL, 0, FLAG_BOOL, NULL, 0, 0, 0, NULL},
};

static int run_serve(const struct options *o)
{
    if (serve_here != NULL)
        return serve_here(o);
    char *path = sibling_path(o, "belt-serve");
    if (!path)
        return EX_UNAVAILABLE;
    worker_export(o);
    signal(SIGPIPE, SIG_DFL); /* ignored by us, which an exec would keep */
    execv(path, o->argv);
    int status = fail(o, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
    free(path);
    return status;
}

const struct command cmd_serve = {
    .name = "serve",
    .usage = "[--listen ADDR] [--tokens FILE]",
    .summary = "Answer HTTP: push jobs, look at them, operate queues",
    .details =
        "Listens on the loopback address until a signal says stop; "
        "docs/HTTP.md has all\nthat it answers, and so has GET "
        "/v1/openapi.json.\n\nA token for some: belt serve --tokens FILE "
        "--add-token NAME --roles push,read\n[QUEUE-PATTERN ...]; without "
        "patterns it is for all queues.\n",
    .flags = flags,
    .max_args = -1,
    .run = run_serve,
};
