/*
 * belt dev: a private redis-server and a worker, until Ctrl-C.
 *
 *     STARTING --redis answers--> RUNNING --signal, or the worker ended-->
 *     STOPPING_WORKER --it ended--> STOPPING_REDIS --it ended--> ENDED
 *
 * The worker goes first, so that it can give back what it holds. A second
 * signal hurries it, a third kills it. If redis-server ends by itself the
 * worker is stopped and the failure told.
 *
 * Thread: main, which is also the loop.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/redis/conn.h"
#include "producer/child.h"
#include "producer/complain.h"
#include "producer/private_redis.h"
#include "producer/worker_path.h"

#define AT(member) offsetof(struct options, member)

enum { START_S = 60 }; /* a big append-only file takes its time to load */

enum stage { STARTING, RUNNING, STOPPING_WORKER, STOPPING_REDIS, ENDED };

struct dev {
    const struct options *o; /* borrowed */
    char *worker_path;       /* owned */
    struct private_redis redis;
    struct child worker;
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

static void stop_worker(struct dev *d)
{
    d->stage = STOPPING_WORKER;
    child_signal(&d->worker, SIGTERM);
    if (child_has_ended(&d->worker))
        stop_redis(d);
}

static void start_worker(struct dev *d)
{
    char **argv = worker_argv(d->o);

    /* Its PDEATHSIG is KILL: nobody could take what a drain gives back. */
    if (!child_start(&d->worker, d->worker_path, argv, SIGKILL, -1)) {
        d->status = fail(d->o, EX_UNAVAILABLE, "%s: %s", d->worker_path,
                         strerror(errno));
        stop_redis(d);
    }
    for (char **p = argv; *p; p++)
        free(*p);
    free((void *)argv);
}

static void tell_ready(const struct dev *d)
{
    const struct private_redis *r = &d->redis;
    struct buf dir = {0};

    safe_append(&dir, r->dir, strlen(r->dir));
    printf("Redis and a worker run; data and log are in %s\n"
           "In another terminal:\n\n"
           "  export BELT_REDIS_URL='%s'\n",
           dir.data, private_redis_url(r));
    buf_done(&dir);
    if (strcmp(d->o->ns, "belt") != 0)
        printf("  export BELT_NAMESPACE='%s'\n", d->o->ns);
    printf("  belt push hello name=world\n\n");
    if (r->tcp_url[0] != '\0')
        printf("For other Redis clients: %s\n", r->tcp_url);
    printf("Ctrl-C stops both.\n");
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
        stop_worker(d);
    else if (d->stage == STOPPING_WORKER)
        child_signal(&d->worker, d->signals > 2 ? SIGKILL : SIGTERM);
}

/* A worker that ends by itself, as with --burst, ends everything. */
static void on_worker_end(struct dev *d)
{
    int status = child_exit_status(&d->worker);

    /* It was still starting when we stopped it, and holds nothing. */
    if (d->stage == STOPPING_WORKER && status == 128 + SIGTERM)
        status = 0;
    if (d->status == 0)
        d->status = status;
    if (d->stage == RUNNING && status != 0)
        complain(d->o, "the worker ended with status %d", status);
    stop_redis(d);
}

static void on_redis_end(struct dev *d)
{
    d->status =
        fail(d->o, EX_UNAVAILABLE, "redis-server ended with status %d; see %s",
             child_exit_status(&d->redis.child), d->redis.log);
    stop_worker(d);
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
    loop_role_assert();
    struct dev *d = arg;
    bool worker_ran = d->worker.pid != 0, redis_ran = d->redis.child.pid != 0;

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
        on_worker_end(d);
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
    child_signal(&d->worker, SIGKILL);
    child_wait(&d->worker);
    private_redis_done(&d->redis);
    for (size_t i = 0; i < 5; i++) {
        if (d->events[i])
            event_free(d->events[i]);
    }
    event_base_free(d->base);
    free(d->worker_path);
}

static int run_dev(const struct options *o)
{
    struct dev d = {.o = o, .redis.lock_fd = -1};

    if (o->redis_url)
        return fail(o, EX_USAGE, "it has a Redis of its own: -u is not for it");
    loop_role_bind();
    d.worker_path = sibling_path(o, "belt-worker");
    if (!d.worker_path)
        return EX_UNAVAILABLE;
    d.base = event_base_new();
    watch(&d); /* before there is a child whose end could be missed */
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
    {"handlers", 0, FLAG_TEXT, "DIR", AT(handlers), 0, 0,
     "programs named after the job types they handle"},
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "that the worker serves (default)"},
    {0},
};

const struct command cmd_dev = {
    .name = "dev",
    .usage = "[--dir DIR] [--port N] [--handlers DIR] [-- WORKER FLAGS]",
    .summary = "Run a private Redis and a worker until Ctrl-C",
    .details = "The port has no password: whoever has an account on this "
               "machine can use it.\n",
    .flags = flags,
    .max_args = -1,
    .dashes = true,
    .run = run_dev,
};
