/*
 * Health: whether it lives, whether it is ready, and which version it is.
 *
 * That /livez answers is the proof: it never asks Redis, since a restart would
 * not bring that back. /readyz says what keeps it from taking jobs.
 *
 * Thread: event loop.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"
#include "producer/serve/server.h"

#define PLAIN "text/plain; charset=utf-8"

static void say(struct request *r, int status, const char *text) ON_LOOP
{
    struct answer a = {.status = status, .content_type = PLAIN};
    buf_str(&a.body, text);
    request_answer(r, &a);
}

void serve_livez(struct request *r)
{
    say(r, 200, "alive\n");
}

void serve_readyz(struct request *r)
{
    const struct serve *s = request_serve(r);
    if (server_is_stopping(s->server))
        say(r, 503, "stopping\n");
    else if (!conn_is_up(s->conn))
        say(r, 503, "Redis is away\n");
    else
        say(r, 200, "ready\n");
}

void serve_version(struct request *r)
{
    struct answer a = {.status = 200};
    buf_str(&a.body, "{\"version\":\"" BELT_VERSION "\",\"api\":1}\n");
    request_answer(r, &a);
}

void serve_robots(struct request *r)
{
    say(r, 200, "User-agent: *\nDisallow: /\n");
}
