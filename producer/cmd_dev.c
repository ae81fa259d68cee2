/*
 * belt dev: a private redis-server, a worker and the HTTP side, until Ctrl-C.
 *
 *     STARTING --redis answers--> RUNNING --signal, or one of them ended-->
 *     STOPPING --both ended--> STOPPING_REDIS --it ended--> ENDED
 *
 * Redis goes last, so that the worker can give back what it holds. A second
 * signal hurries the others, a third kills them. If redis-server ends by
 * itself they are stopped and the failure told. The port of the HTTP side is
 * opened here, so that it is known, and open, before that runs.
 *
 * Thread: main, which is also the loop.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/address.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/redis/conn.h"
#include "producer/child.h"
#include "producer/complain.h"
#include "producer/private_redis.h"
#include "producer/worker_path.h"

#define AT(member) offsetof(struct options, member)

enum { START_S = 60 }; /* a big append-only file takes its time to load */

enum stage { STARTING, RUNNING, STOPPING, STOPPING_REDIS, ENDED };

struct dev {
    const struct options *o; /* borrowed */
    char *worker_path;       /* owned */
    char *serve_path;        /* owned; NULL: no HTTP side */
    int port_fd;             /* owned: where that listens; -1 */
    char http[ADDRESS_TEXT_MAX];
    struct private_redis redis;
    struct child worker, serve;
    enum stage stage;
    int signals; /* that asked us to stop */
    int status;

    struct event_base *base; /* owned */
    struct conn *conn;       /* owned: tells when Redis is ready */
    struct event *events[5]; /* owned */
};

static void on_up(void *arg);
static void on_signal(evutil_socket_t sig, short what, void *arg);
static void on_child(evutil_socket_t sig, short what, void *arg);
static void on_too_late(evutil_socket_t fd, short what, void *arg);

static bool names_queues(const struct options *o)
{
    for (int i = 0; i < o->arg_count; i++) {
        if (strncmp(o->args[i], "-q", 2) == 0 ||
            strncmp(o->args[i], "--queues", 8) == 0)
            return true;
    }
    return false;
}

/* belt-worker [-q default] [--handlers DIR] and what stood behind "--". */
static char **worker_argv(const struct options *o)
{
    char **argv = mem_new(((size_t)o->arg_count + 6) * sizeof(*argv));
    int n = 0;

    argv[n++] = mem_strdup("belt-worker");
    if (!names_queues(o)) {
        argv[n++] = mem_strdup("-q");
        argv[n++] = mem_strdup(o->queue);
    }
    if (o->handlers) {
        argv[n++] = mem_strdup("--handlers");
        argv[n++] = mem_strdup(o->handlers);
    }
    for (int i = 0; i < o->arg_count; i++)
        argv[n++] = mem_strdup(o->args[i]);
    return argv;
}

static void stop_redis(struct dev *d)
{
    d->stage = STOPPING_REDIS;
    child_signal(&d->redis.child, SIGTERM);
    if (child_has_ended(&d->redis.child))
        d->stage = ENDED;
}

static void signal_both(struct dev *d, int sig)
{
    child_signal(&d->worker, sig);
    child_signal(&d->serve, sig);
}

/* Redis is stopped when nobody needs it any longer. */
static void stop(struct dev *d)
{
    d->stage = STOPPING;
    signal_both(d, SIGTERM);
    if (child_has_ended(&d->worker) && child_has_ended(&d->serve))
        stop_redis(d);
}

/* Its PDEATHSIG is KILL: nobody could take what a drain gives back. */
static void start(struct dev *d, struct child *c, const char *path,
                  char *const *argv, int fd)
{
    if (d->stage != RUNNING || child_start(c, path, argv, SIGKILL, fd))
        return;
    d->status = fail(d->o, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
    stop(d);
}

static void start_worker(struct dev *d)
{
    char **argv = worker_argv(d->o);

    start(d, &d->worker, d->worker_path, argv, -1);
    for (char **p = argv; *p; p++)
        free(*p);
    free((void *)argv);
}

static void start_serve(struct dev *d)
{
    char name[] = "belt-serve", command[] = "serve", flag[] = "--listen";
    char fd[32];
    char *argv[] = {name, command, flag, fd, NULL};

    if (!d->serve_path)
        return;
    snprintf(fd, sizeof(fd), "fd:%d", d->port_fd);
    start(d, &d->serve, d->serve_path, argv, d->port_fd);
    close(d->port_fd); /* it is that one's now, and closes with it */
    d->port_fd = -1;
}

static void tell_ready(const struct dev *d)
{
    const struct private_redis *r = &d->redis;
    struct buf dir = {0};

    safe_append(&dir, r->dir, strlen(r->dir));
    printf("Redis%s a worker%s run; data and log are in %s\n"
           "In another terminal:\n\n"
           "  export BELT_REDIS_URL='%s'\n",
           d->serve_path ? "," : " and",
           d->serve_path ? " and the HTTP side" : "", dir.data,
           private_redis_url(r));
    buf_done(&dir);
    if (strcmp(d->o->ns, "belt") != 0)
        printf("  export BELT_NAMESPACE='%s'\n", d->o->ns);
    printf("  belt push hello name=world\n\n");
    if (r->tcp_url[0] != '\0')
        printf("For other Redis clients: %s\n", r->tcp_url);
    if (d->serve_path)
        printf("Over HTTP: http://%s/v1/queues\n", d->http);
    printf("Ctrl-C stops all.\n");
    fflush(stdout);
}

static void on_up(void *arg)
{
    loop_role_assert();
    struct dev *d = arg;

    conn_close(d->conn);
    if (d->stage != STARTING)
        return;
    d->stage = RUNNING;
    event_del(d->events[4]);
    setenv("BELT_REDIS_URL", private_redis_url(&d->redis), 1);
    setenv("BELT_NAMESPACE", d->o->ns, 1);
    unsetenv("REDISCLI_AUTH"); /* the private server has no password */
    start_worker(d);
    start_serve(d);
    if (d->stage == RUNNING)
        tell_ready(d);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    loop_role_assert();
    struct dev *d = arg;

    (void)what;
    d->signals++;
    if (d->stage == STARTING) {
        d->status = 128 + (int)sig;
        stop_redis(d);
    }
    if (d->stage == RUNNING)
        stop(d);
    else if (d->stage == STOPPING)
        signal_both(d, d->signals > 2 ? SIGKILL : SIGTERM);
}

/* One that ends by itself, as a worker with --burst, ends everything. */
static void on_end(struct dev *d, struct child *c, const char *what)
{
    int status = child_exit_status(c);

    /* It was still starting when we stopped it, and holds nothing. */
    if (d->stage == STOPPING && status == 128 + SIGTERM)
        status = 0;
    if (d->status == 0)
        d->status = status;
    if (d->stage == RUNNING && status != 0)
        complain(d->o, "%s ended with status %d", what, status);
    if (d->stage == RUNNING)
        stop(d);
    else if (child_has_ended(&d->worker) && child_has_ended(&d->serve))
        stop_redis(d);
}

static void on_redis_end(struct dev *d)
{
    d->status =
        fail(d->o, EX_UNAVAILABLE, "redis-server ended with status %d; see %s",
             child_exit_status(&d->redis.child), d->redis.log);
    stop(d);
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
    loop_role_assert();
    struct dev *d = arg;
    bool worker_ran = d->worker.pid != 0, redis_ran = d->redis.child.pid != 0;
    bool serve_ran = d->serve.pid != 0;

    (void)sig;
    (void)what;
    if (redis_ran && child_has_ended(&d->redis.child)) {
        if (d->stage == STOPPING_REDIS)
            d->stage = ENDED;
        else
            on_redis_end(d);
    }
    if (worker_ran && d->stage != STOPPING_REDIS && d->stage != ENDED &&
        child_has_ended(&d->worker))
        on_end(d, &d->worker, "the worker");
    if (serve_ran && d->stage != STOPPING_REDIS && d->stage != ENDED &&
        child_has_ended(&d->serve))
        on_end(d, &d->serve, "the HTTP side");
}

static void on_too_late(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct dev *d = arg;

    (void)fd;
    (void)what;
    d->status = fail(d->o, EX_UNAVAILABLE,
                     "redis-server does not answer; see %s", d->redis.log);
    stop_redis(d);
}

static void watch(struct dev *d)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct timeval tv = {.tv_sec = START_S};

    for (size_t i = 0; i < 3; i++)
        d->events[i] = evsignal_new(d->base, signals[i], on_signal, d);
    d->events[3] = evsignal_new(d->base, SIGCHLD, on_child, d);
    d->events[4] = evtimer_new(d->base, on_too_late, d);
    for (size_t i = 0; i < 4; i++)
        event_add(d->events[i], NULL);
    event_add(d->events[4], &tv);
}

static int connect_redis(struct dev *d)
{
    struct conn_config cfg = {
        .name = "belt-dev", .reconnect_max_ms = 200, .on_up = on_up, .arg = d};
    struct errbuf eb;

    loop_role_assert();
    if (url_parse(private_redis_url(&d->redis), &cfg.url, &eb) != 0)
        return fail(d->o, EX_SOFTWARE, "%s", eb.text);
    d->conn = conn_new(d->base, &cfg);
    conn_open(d->conn);
    return 0;
}

static void done(struct dev *d)
{
    loop_role_assert();
    conn_free(d->conn);
    signal_both(d, SIGKILL);
    child_wait(&d->worker);
    child_wait(&d->serve);
    private_redis_done(&d->redis);
    for (size_t i = 0; i < 5; i++) {
        if (d->events[i])
            event_free(d->events[i]);
    }
    event_base_free(d->base);
    if (d->port_fd >= 0)
        close(d->port_fd);
    free(d->worker_path);
    free(d->serve_path);
}

/* Opens the port of the HTTP side. Returns 0, or a status that was told. */
static int open_http(struct dev *d)
{
    struct address at;
    struct errbuf eb;
    char text[32];

    if (d->o->http_port == 0)
        return 0;
    snprintf(text, sizeof(text), ":%d",
             d->o->http_port > 0 ? (int)d->o->http_port : 0);
    if (address_parse(text, &at, &eb) != 0)
        return fail(d->o, EX_SOFTWARE, "%s", eb.text);
    d->port_fd = address_listen(&at, SOMAXCONN);
    if (d->port_fd < 0)
        return fail(d->o, EX_UNAVAILABLE, "--http-port %s: %s", text + 1,
                    strerror(errno));
    address_of(d->port_fd, d->http);
    d->serve_path = sibling_path(d->o, "belt-serve");
    return d->serve_path ? 0 : EX_UNAVAILABLE;
}

static int run_dev(const struct options *o)
{
    struct dev d = {.o = o, .redis.lock_fd = -1, .port_fd = -1};

    if (o->redis_url)
        return fail(o, EX_USAGE, "it has a Redis of its own: -u is not for it");
    loop_role_bind();
    d.worker_path = sibling_path(o, "belt-worker");
    if (!d.worker_path)
        return EX_UNAVAILABLE;
    d.base = event_base_new();
    watch(&d); /* before there is a child whose end could be missed */
    d.status = open_http(&d);
    if (d.status == 0)
        d.status = private_redis_start(&d.redis, o);
    if (d.status == 0)
        d.status = connect_redis(&d);
    while (d.status == 0 && d.stage == STARTING)
        event_base_loop(d.base, EVLOOP_ONCE);
    while (d.stage != STARTING && d.stage != ENDED)
        event_base_loop(d.base, EVLOOP_ONCE);
    done(&d);
    return d.status;
}

static const struct flag flags[] = {
    {"dir", 0, FLAG_TEXT, "DIR", AT(dir), 0, 0,
     "where Redis keeps its data (./.belt-dev)"},
    {"port", 0, FLAG_INT, "N", AT(port), 0, 65535,
     "loopback port of Redis (a free one; 0: only the socket)"},
    {"http-port", 0, FLAG_INT, "N", AT(http_port), 0, 65535,
     "loopback port of the HTTP side (a free one; 0: there is none)"},
    {"handlers", 0, FLAG_TEXT, "DIR", AT(handlers), 0, 0,
     "programs named after the job types they handle"},
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "that the worker serves (default)"},
    {0},
};

const struct command cmd_dev = {
    .name = "dev",
    .usage = "[--dir DIR] [--port N] [--http-port N] [--handlers DIR] "
             "[-- WORKER FLAGS]",
    .summary = "Run a private Redis, a worker and HTTP until Ctrl-C",
    .details = "The ports need no password: whoever has an account on this "
               "machine can use them.\n",
    .flags = flags,
    .max_args = -1,
    .dashes = true,
    .run = run_dev,
};
