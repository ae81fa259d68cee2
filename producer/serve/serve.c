/*
 * Serve: the HTTP side as a whole, from its start to its stop.
 *
 *     SERVING ─signal─► DRAINING: no port, requests under way may end
 *        └──────────── all have, or drain-timeout, or a signal ─► ended
 *
 * Redis may be away when it starts and at any time later: the connection comes
 * back by itself, and meanwhile requests are answered 503 at once.
 *
 * Thread: event loop, which is main.
 */
#include "producer/serve/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/redis/script.h"
#include "producer/complain.h"
#include "producer/serve/answer.h"
#include "producer/serve/metrics.h"
#include "producer/serve/pulse.h"
#include "producer/serve/push.h"
#include "producer/serve/server.h"
#include "producer/serve/side.h"
#include "producer/serve/tokens.h"
#include "producer/serve/wait.h"

enum {
    SIGNALS = 3,
    LOOK_MS = 1000,
    OTHER_FDS = 512,
    OWN_FDS = 96, /* of them for sure: connections that are refused too */
    FDS_OF_A_THREAD = 8, /* a client: its loop, its connection */
    CONNECTIONS_MIN = 8
};

struct run {
    struct serve serve;
    struct event *signals[SIGNALS]; /* owned */
    struct event *late;             /* owned: the drain takes too long */
    struct event *look;             /* owned: after Redis */
    struct pulse *pulse;            /* owned; NULL: there is no manager */
    bool asked;                     /* whether Redis answers */
    bool stopping;
};

static void on_up(void *arg);
static void on_down(void *arg, int err, const char *why);
static void on_signal(evutil_socket_t sig, short what, void *arg);
static void on_late(evutil_socket_t fd, short what, void *arg);
static void on_look(evutil_socket_t fd, short what, void *arg);
static void on_pong(void *arg, int err, const struct reply *r);

bool serve_has_redis(const struct serve *s, struct answer *a)
{
    if (conn_is_up(s->conn))
        return true;
    answer_problem(a, 503, "redis-away", "Redis is away%s%s",
                   s->away[0] != '\0' ? ": " : "", s->away);
    answer_header(a, "Retry-After", "1");
    return false;
}

/* ---- Redis ---- */

static void on_up(void *arg)
{
    loop_role_assert();
    struct serve *s = arg;
    char shown[384];
    s->away[0] = '\0';
    script_load_all(s->conn); /* or lines of one body change places */
    LOG_INFO("redis.up", F_STR("url", url_display(&s->url, shown)));
}

/* Said once, not for each attempt to connect. */
static void on_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    struct serve *s = arg;
    char shown[384];
    (void)err;
    if (strcmp(s->away, why) == 0)
        return;
    (void)snprintf(s->away, sizeof(s->away), "%s", why);
    LOG_WARN("redis.down", F_STR("url", url_display(&s->url, shown)),
             F_STR("why", why));
}

/*
 * A Redis that hangs is away as well, which only a question tells; the
 * connection closes itself when that is not answered in time.
 */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct run *run = arg;
    int64_t deadline = clock_ms() + run->serve.o->redis_timeout_ms;
    struct args a = {0};
    (void)fd;
    (void)what;
    if (run->asked || !conn_is_up(run->serve.conn))
        return;
    args_str(&a, "PING");
    run->asked =
        conn_call(run->serve.conn, &a, deadline, false, on_pong, run) == 0;
    args_done(&a);
}

static void on_pong(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct run *run = arg;
    (void)err;
    (void)r;
    run->asked = false;
}

static void start_looking(struct run *run)
{
    int64_t ms = run->serve.o->redis_timeout_ms / 2;
    ms = ms < LOOK_MS ? ms : LOOK_MS;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    run->look = event_new(run->serve.base, -1, EV_PERSIST, on_look, run);
    (void)event_add(run->look, &tv);
}

/* ---- signals ---- */

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct run *run = arg;
    (void)fd;
    (void)what;
    LOG_WARN("stop", F_STR("so", "requests that are under way are cut off"));
    (void)event_base_loopbreak(run->serve.base);
}

static void stop(struct run *run) ON_LOOP
{
    int64_t ms = run->serve.o->drain_timeout_ms;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    run->stopping = true;
    LOG_INFO("stop", F_INT("drain_ms", ms));
    pulse_stopping(run->pulse, ms);
    (void)event_add(run->late, &tv);
    server_stop(run->serve.server);
    waits_stop(run->serve.waits);
    if (server_is_empty(run->serve.server))
        (void)event_base_loopbreak(run->serve.base);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    loop_role_assert();
    struct run *run = arg;
    struct serve *s = &run->serve;
    struct errbuf eb;
    (void)what;
    if (sig == SIGHUP) {
        if (s->tokens && tokens_reload(s->tokens, s->o->tokens, &eb) != 0)
            LOG_ERROR("reload", F_STR("error", eb.text),
                      F_STR("so", "the tokens stay as they were"));
        else if (s->tokens)
            LOG_INFO("reload", F_INT("tokens", tokens_count(s->tokens)));
    } else if (run->stopping) {
        (void)event_base_loopbreak(s->base);
    } else {
        stop(run);
    }
}

static void watch(struct run *run)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < SIGNALS; i++) {
        run->signals[i] =
            evsignal_new(run->serve.base, numbers[i], on_signal, run);
        (void)event_add(run->signals[i], NULL);
    }
    run->late = event_new(run->serve.base, -1, 0, on_late, run);
}

/* ---- from start to stop ---- */

static struct event_base *new_base(void)
{
    struct event_config *ec = event_config_new();
    struct event_base *base = NULL;
    if (ec && event_config_set_flag(ec, EVENT_BASE_FLAG_NOLOCK) == 0 &&
        event_config_set_flag(ec, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
        base = event_base_new_with_config(ec);
    if (ec)
        event_config_free(ec);
    return base;
}

/* Connections need descriptors: as many as we may have, if so many. */
static rlim_t raise_limit(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return wanted;
    rlim_t was = limit.rlim_cur;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : was;
}

/*
 * How many connections there may be: not so many that none is left for Redis,
 * or for libevent, which ends us if it gets none. Returns 0, or a status, told.
 */
static int bound_connections(struct serve *s)
{
    const struct options *o = s->o;
    rlim_t wanted = (rlim_t)o->max_connections + OTHER_FDS;
    rlim_t own = OWN_FDS + FDS_OF_A_THREAD * (rlim_t)o->side_threads;
    rlim_t there = raise_limit(wanted);
    s->max_connections = o->max_connections;
    if (there >= (rlim_t)o->max_connections + own)
        return 0;
    rlim_t least = own + CONNECTIONS_MIN;
    if (there < least)
        return fail(o, EX_OSERR,
                    "%llu descriptors (ulimit -n) are too few, it needs %llu",
                    (unsigned long long)there, (unsigned long long)least);
    s->max_connections = (int64_t)(there - own);
    LOG_WARN("start", F_INT("descriptors", (int64_t)there),
             F_INT("connections", s->max_connections),
             F_STR("so", "fewer connections than --max-connections"));
    return 0;
}

/* What can be wrong with the command line. Returns 0, or a status, told. */
static int take_options(struct serve *s, struct address *at)
{
    const struct options *o = s->o;
    struct errbuf eb;
    int rc = url_resolve(o->redis_url, o->password_file, &s->url, &eb);
    if (rc != 0)
        return fail(o, rc == ERR_SYSTEM ? EX_NOINPUT : EX_USAGE, "%s", eb.text);
    if (address_parse(o->listen, at, &eb) != 0)
        return fail(o, EX_USAGE, "--listen: %s", eb.text);
    if (o->arg_count > 0)
        return fail(o, EX_USAGE, "\"%s\": it takes arguments with --add-token",
                    o->args[0]);
    if (!address_is_local(at) && !o->tokens && !o->insecure)
        return fail(o, EX_CONFIG,
                    "others can reach %s: say who may use it with --tokens "
                    "FILE (made with --add-token), or --insecure",
                    o->listen);
    s->guard_host = !o->tokens && !o->insecure && at->sa.ss_family != AF_UNIX;
    if (!o->tokens)
        return 0;
    s->tokens = tokens_read(o->tokens, &eb);
    return s->tokens ? 0 : fail(o, EX_CONFIG, "%s", eb.text);
}

static void tell_ready(const struct serve *s)
{
    char at[ADDRESS_TEXT_MAX];
    server_address(s->server, at);
    LOG_INFO("listen", F_STR("addr", at));
}

/* Returns 0, or a status that was told. */
static int begin(struct run *run) ON_LOOP
{
    struct serve *s = &run->serve;
    struct address at;
    struct errbuf eb;
    int status = take_options(s, &at);
    if (status != 0)
        return status;
    status = bound_connections(s);
    if (status != 0)
        return status;
    s->base = new_base();
    if (!s->base)
        return fail(s->o, EX_OSERR, "no event loop");
    watch(run);
    struct conn_config cfg = {.url = s->url,
                              .name = "belt-serve",
                              .connect_timeout_ms = s->o->connect_timeout_ms,
                              .on_up = on_up,
                              .on_down = on_down,
                              .arg = s};
    s->conn = conn_new(s->base, &cfg);
    explicit_bzero(&cfg.url, sizeof(cfg.url));
    conn_open(s->conn);
    start_looking(run);
    s->metrics = serve_metrics_new();
    s->waits = waits_new(s);
    s->pushes = pushes_new(s);
    s->side = side_new(s);
    if (!s->side)
        return fail(s->o, EX_OSERR, "no thread can be started");
    s->server = server_new(s, &at, &eb);
    if (!s->server)
        return fail(s->o, EX_UNAVAILABLE, "%s", eb.text);
    tell_ready(s);
    run->pulse = pulse_start(s);
    return 0;
}

/* What is under way is answered by whom it waits for, then the links go. */
static void done(struct run *run) ON_LOOP
{
    struct serve *s = &run->serve;
    if (side_is_busy(s->side)) {
        /* It was told to end, and a thread may be at it for long. */
        LOG_WARN("stop", F_STR("so", "what is under way in Redis is left"));
        _exit(0);
    }
    pulse_free(run->pulse);
    side_free(s->side);
    if (s->conn)
        conn_close(s->conn);
    /* What handlers keep ends here, and answers what it has. */
    waits_free(s->waits);
    pushes_free(s->pushes);
    server_free(s->server);
    conn_free(s->conn);
    serve_metrics_free(s->metrics);
    for (int i = 0; i < SIGNALS; i++) {
        if (run->signals[i])
            event_free(run->signals[i]);
    }
    if (run->late)
        event_free(run->late);
    if (run->look)
        event_free(run->look);
    if (s->base)
        event_base_free(s->base);
    tokens_free(s->tokens);
    explicit_bzero(&s->url, sizeof(s->url));
}

/* --add-token NAME --roles ROLES [PATTERN...] */
static int add_token(const struct options *o)
{
    struct buf patterns = {0}, out = {0};
    struct errbuf eb;
    if (!o->tokens || !o->roles)
        return fail(o, EX_USAGE, "--add-token needs --tokens and --roles");
    for (int i = 0; i < o->arg_count; i++)
        buf_printf(&patterns, "%s%s", i > 0 ? " " : "", o->args[i]);
    int rc = tokens_add(o->tokens, o->add_token, o->roles,
                        patterns.data ? patterns.data : "", &out, &eb);
    if (rc == 0)
        printf("%s\n", out.data);
    buf_done(&patterns);
    buf_done(&out);
    if (rc != 0)
        return fail(o, rc == ERR_INVALID ? EX_USAGE : EX_CONFIG, "%s", eb.text);
    return fflush(stdout) == 0 ? 0
                               : fail(o, EX_IOERR, "the token is not printed");
}

int serve_run(const struct options *o)
{
    struct run run = {.serve = {.o = o, .ns = o->ns}};
    /* Not bound: side threads have loops of their own. */
    loop_role_assert();
    if (o->add_token)
        return add_token(o);
    int status = begin(&run);
    if (status == 0)
        (void)event_base_dispatch(run.serve.base);
    done(&run);
    return status;
}
