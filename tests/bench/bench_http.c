/*
 * What `belt serve` is compared to, and the load for it.
 *
 * wrk is the client of both servers; what it saw it tells by the done function
 * of a script of its own language, in a line of numbers.
 *
 * Thread: main; the bare server is a process of its own.
 */
#include "tests/bench/bench_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/support/wait.h"

enum { PORT_MS = 10 * 1000 };

char *http_wrk_path(void)
{
    char *path = mem_strdup(getenv("PATH") ? getenv("PATH") : "/usr/bin");
    char *rest = path, *found = NULL;

    for (char *dir; found == NULL && (dir = strsep(&rest, ":")) != NULL;) {
        found = mem_printf("%s/wrk", dir);
        if (access(found, X_OK) != 0) {
            free(found);
            found = NULL;
        }
    }
    free(path);
    return found;
}

/* ---- wrk ---- */

static void write_script(const char *path, const char *body)
{
    FILE *f = fopen(path, "we");

    if (f == NULL ||
        fprintf(f,
                "wrk.method = 'POST'\n"
                "wrk.headers['Content-Type'] = 'application/json'\n"
                "wrk.body = [[%s]]\n"
                "function done(s, latency)\n"
                "  local e = s.errors\n"
                "  io.write(string.format('bench %%d %%d %%d %%d %%d %%d\\n',\n"
                "    s.requests, s.duration, latency:percentile(50),\n"
                "    latency:percentile(99), e.status,\n"
                "    e.connect + e.read + e.write + e.timeout))\n"
                "end\n",
                body) < 0 ||
        fclose(f) != 0)
        bench_fail("cannot write %s: %s", path, strerror(errno));
}

/* What it printed is the log of bench_run. */
static void read_numbers(struct bench *b, struct load *ret)
{
    char *path = mem_printf("%s/program.log", redis_dir(b->redis));
    char line[256];
    FILE *f = fopen(path, "re");
    long long requests = 0, us = 0, p50_us = 0, p99_us = 0, status = 0,
              trouble = 0;
    int got = 0;

    while (f != NULL && got != 6 && fgets(line, sizeof(line), f) != NULL)
        got = sscanf(line, "bench %lld %lld %lld %lld %lld %lld", &requests,
                     &us, &p50_us, &p99_us, &status, &trouble);
    if (f != NULL)
        fclose(f);
    free(path);
    if (got != 6 || us <= 0 || requests <= 0)
        bench_fail("wrk told nothing");
    if (status != 0 || trouble != 0)
        bench_fail("%lld of %lld requests failed, %lld connections", status,
                   requests, trouble);
    *ret = (struct load){.answered = requests,
                         .per_s = 1e6 * (double)requests / (double)us,
                         .p50_ms = (double)p50_us / 1e3,
                         .p99_ms = (double)p99_us / 1e3};
}

static double cpu_s_of(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        bench_fail("process %d has no clock", (int)pid);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void http_post(struct bench *b, const struct post *p, struct load *ret)
{
    char *script = mem_printf("%s/post.lua", redis_dir(b->redis));
    char *url = mem_printf("http://127.0.0.1:%d%s", p->port, p->path);
    char connections[16], seconds[16];
    const char *argv[] = {p->wrk,      "-t",   "1",     "-c",
                          connections, "-d",   seconds, "--latency",
                          "-s",        script, url,     NULL};
    struct cost cost;

    (void)snprintf(connections, sizeof(connections), "%d", HTTP_CONNECTIONS);
    (void)snprintf(seconds, sizeof(seconds), "%ds", p->seconds);
    write_script(script, p->body);
    double cpu_s = cpu_s_of(p->server);
    bench_run(b, argv, -1, &cost);
    cpu_s = cpu_s_of(p->server) - cpu_s;
    read_numbers(b, ret);
    ret->server_cpu_us = 1e6 * cpu_s / (double)ret->answered;
    free(script);
    free(url);
}

/* ---- a bare server ---- */

struct bare {
    _Atomic int port; /* shared with the process */
    char body[256];
};

static void on_request(struct evhttp_request *req, void *arg)
{
    const struct bare *bare = arg;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();
    size_t n = evbuffer_get_length(evhttp_request_get_input_buffer(req));

    /* All of the body must have come: that is what is compared. */
    if (body == NULL || n == 0)
        bench_fail("a request without a body");
    evbuffer_add(body, bare->body, strlen(bare->body));
    evhttp_add_header(headers, "Content-Type", "application/json");
    evhttp_add_header(headers, "Location",
                      "/v1/queues/bench/jobs/01JD0000000000000000000000");
    evhttp_send_reply(req, 202, "Accepted", body);
    evbuffer_free(body);
}

static void run_bare(void *arg)
{
    struct bare *bare = arg;
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    if (http == NULL)
        bench_fail("no HTTP server");
    evhttp_set_gencb(http, on_request, bare);
    struct evhttp_bound_socket *s =
        evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    if (s == NULL || getsockname(evhttp_bound_socket_get_fd(s),
                                 (struct sockaddr *)&sin, &len) != 0)
        bench_fail("no port: %s", strerror(errno));
    bare->port = ntohs(sin.sin_port);
    event_base_dispatch(base);
}

static bool has_port(void *arg)
{
    const struct bare *bare = arg;

    return bare->port != 0;
}

pid_t http_bare_begin(const char *body, int *ret_port)
{
    static struct bare *bare;

    if (bare == NULL)
        bare = bench_shared(sizeof(*bare));
    bare->port = 0;
    (void)snprintf(bare->body, sizeof(bare->body), "%s", body);
    pid_t pid = bench_fork(run_bare, bare);
    if (!wait_until(has_port, bare, PORT_MS))
        bench_fail("the bare server does not listen");
    *ret_port = bare->port;
    return pid;
}

/* ---- Redis ---- */

struct asker {
    redisContext *c; /* owned */
    bool asking;
};

static void ask(struct asker *a, const char *command, int len)
{
    int done = 0;

    if (redisAppendFormattedCommand(a->c, command, (size_t)len) != REDIS_OK)
        bench_fail("RPUSH: %s", a->c->errstr);
    while (!done)
        if (redisBufferWrite(a->c, &done) != REDIS_OK)
            bench_fail("RPUSH: %s", a->c->errstr);
    a->asking = true;
}

static void take_answer(struct asker *a)
{
    void *reply = NULL;

    if (redisBufferRead(a->c) != REDIS_OK ||
        redisGetReplyFromReader(a->c, &reply) != REDIS_OK)
        bench_fail("RPUSH: %s", a->c->errstr);
    if (reply == NULL)
        return;
    if (((redisReply *)reply)->type != REDIS_REPLY_INTEGER)
        bench_fail("RPUSH: %s", ((redisReply *)reply)->str);
    freeReplyObject(reply);
    a->asking = false;
}

/* Each that has its answer asks again; returns how many were answered. */
static int64_t ask_until(struct asker *all, const char *command, int len,
                         int64_t end_us)
{
    struct pollfd fds[HTTP_CONNECTIONS];
    int64_t answered = 0;
    int asking = HTTP_CONNECTIONS;

    for (int i = 0; i < HTTP_CONNECTIONS; i++) {
        fds[i] = (struct pollfd){.fd = all[i].c->fd, .events = POLLIN};
        ask(&all[i], command, len);
    }
    while (asking > 0) {
        bool more = clock_us() < end_us;
        if (poll(fds, HTTP_CONNECTIONS, -1) < 0)
            bench_fail("poll: %s", strerror(errno));
        for (int i = 0; i < HTTP_CONNECTIONS; i++) {
            if (fds[i].revents == 0)
                continue;
            take_answer(&all[i]);
            if (all[i].asking)
                continue;
            answered++;
            if (more)
                ask(&all[i], command, len);
            else
                asking--;
        }
    }
    return answered;
}

void http_rpush(struct bench *b, const char *queue, const char *text, int ms,
                struct load *ret)
{
    struct asker all[HTTP_CONNECTIONS] = {0};
    char *command = NULL, *key = mem_printf("belt:{%s}", queue);
    int len = redisFormatCommand(&command, "RPUSH %s %s", key, text);
    struct cost_mark mark;
    struct cost cost;

    for (int i = 0; i < HTTP_CONNECTIONS; i++)
        all[i].c = bench_connect(b);
    cost_begin(b, &mark);
    int64_t n = ask_until(all, command, len, clock_us() + ms * INT64_C(1000));
    cost_end(b, &mark, &cost);
    for (int i = 0; i < HTTP_CONNECTIONS; i++)
        redisFree(all[i].c);
    redisFreeCommand(command);
    free(key);
    *ret = (struct load){.answered = n,
                         .per_s = (double)n / cost.wall_s,
                         .server_cpu_us = 1e6 * cost.redis_cpu_s / (double)n};
}
