/*
 * A private redis-server for one test program.
 *
 * The child asks the kernel to kill it when its parent dies, which covers a
 * crash and a time-out; a list of running servers, emptied at exit, covers
 * failed asserts. Started and stopped on the test's main thread, since the
 * kernel's promise is bound to the thread that forked.
 *
 * Thread: the test's main thread.
 */
#include "tests/support/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/support/tmp.h"
#include "tests/support/wait.h"

enum { START_MS = 20 * 1000, TRIES = 5, ENV_MAX = 8 };

struct redis {
    struct redis *next; /* of all_servers */
    char dir[TMP_DIR_MAX], socket[80];
    char url[96], tcp_url[64];
    bool appendonly;
    char *conf;           /* owned; NULL if none */
    char *env[ENV_MAX];   /* owned; the last is NULL */
    int port;             /* 0: only the socket */
    pid_t pid;            /* 0: does not run */
    redisContext *client; /* owned; NULL until used */
};

static struct redis *all_servers;
static pid_t owner; /* a forked child that exits must not stop them */

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt,
                                                                ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("test redis: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static void stop_all(void)
{
    while (getpid() == owner && all_servers)
        redis_stop(all_servers);
}

/* Free a moment ago; redis_restart tries another when somebody took it. */
static int free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        die("free port: %s", strerror(errno));
    close(fd);
    return ntohs(sa.sin_port);
}

static void make_dir(struct redis *r)
{
    tmp_dir(r->dir, sizeof(r->dir));
    snprintf(r->socket, sizeof(r->socket), "%s/redis.sock", r->dir);
    snprintf(r->url, sizeof(r->url), "unix://%s", r->socket);
}

static void write_conf(const struct redis *r)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/redis.conf", r->dir);
    FILE *f = fopen(path, "we");
    if (!f)
        die("%s: %s", path, strerror(errno));
    fprintf(f,
            "dir %s\nunixsocket %s\nport %d\nbind 127.0.0.1\n"
            "save \"\"\nappendonly %s\ndaemonize no\nlogfile %s/log\n",
            r->dir, r->socket, r->port, r->appendonly ? "yes" : "no", r->dir);
    if (r->conf)
        fprintf(f, "%s\n", r->conf);
    if (fclose(f) != 0)
        die("%s: %s", path, strerror(errno));
}

static void run_server(const struct redis *r, pid_t parent)
{
    const char *program = getenv("BELT_TEST_REDIS");
    char path[PATH_MAX];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (unsigned i = 0; r->env[i]; i++)
        putenv(r->env[i]);
    snprintf(path, sizeof(path), "%s/redis.conf", r->dir);
    program = program ? program : "redis-server";
    execlp(program, program, path, (char *)NULL);
    fprintf(stderr, "test redis: %s: %s\n", program, strerror(errno));
    _exit(127);
}

static void drop_client(struct redis *r)
{
    if (r->client)
        redisFree(r->client);
    r->client = NULL;
}

static bool has_ended(struct redis *r)
{
    if (r->pid > 0 && waitpid(r->pid, NULL, WNOHANG) == r->pid)
        r->pid = 0;
    return r->pid == 0;
}

/* Holds when the server answers, or has given up. */
static bool answers_or_ended(void *arg)
{
    struct redis *r = arg;

    if (has_ended(r))
        return true;
    drop_client(r);
    r->client = redisConnectUnix(r->socket);
    if (!r->client || r->client->err)
        return false;
    fcntl(r->client->fd, F_SETFD, FD_CLOEXEC);
    redisReply *pong = redisCommand(r->client, "PING");
    bool ready = pong && (pong->type == REDIS_REPLY_STATUS ||
                          strncmp(pong->str, "NOAUTH", 6) == 0);
    freeReplyObject(pong);
    return ready;
}

static bool try_start(struct redis *r)
{
    write_conf(r);
    pid_t parent = getpid();
    fflush(NULL);
    r->pid = fork();
    if (r->pid < 0)
        die("fork: %s", strerror(errno));
    if (r->pid == 0)
        run_server(r, parent);
    if (!wait_until(answers_or_ended, r, START_MS))
        die("no answer from %s", r->socket);
    return r->pid != 0;
}

static void use_port(struct redis *r, int port)
{
    r->port = port;
    snprintf(r->tcp_url, sizeof(r->tcp_url), "redis://127.0.0.1:%d", port);
}

static void copy_env(struct redis *r, const char *const *env)
{
    for (unsigned i = 0; env && env[i]; i++) {
        if (i == ENV_MAX - 1)
            die("more than %d environment variables", ENV_MAX - 1);
        r->env[i] = mem_strdup(env[i]);
    }
}

struct redis *redis_start(const struct redis_opts *opts)
{
    struct redis *r = mem_new(sizeof(*r));

    if (owner == 0)
        atexit(stop_all);
    owner = getpid();
    make_dir(r);
    if (opts) {
        r->appendonly = opts->appendonly;
        r->conf = opts->conf ? mem_strdup(opts->conf) : NULL;
        copy_env(r, opts->env);
    }
    r->next = all_servers;
    all_servers = r;
    for (int i = 0; i < TRIES; i++) {
        if (opts && opts->tcp)
            use_port(r, free_port());
        if (try_start(r))
            return r;
    }
    die("redis-server ended at once; see its own message");
}

void redis_restart(struct redis *r)
{
    if (r->pid != 0)
        redis_shutdown(r);
    if (!try_start(r))
        die("redis-server ended at once when restarted");
}

static void end(struct redis *r, int sig)
{
    drop_client(r);
    if (r->pid == 0)
        return;
    kill(r->pid, sig);
    while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    r->pid = 0;
}

void redis_kill9(struct redis *r)
{
    end(r, SIGKILL);
}

void redis_shutdown(struct redis *r)
{
    end(r, SIGTERM);
}

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void redis_stop(struct redis *r)
{
    if (!r)
        return;
    end(r, SIGKILL);
    for (struct redis **p = &all_servers; *p; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    (void)nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (unsigned i = 0; r->env[i]; i++)
        free(r->env[i]);
    free(r->conf);
    free(r);
}

const char *redis_url(const struct redis *r)
{
    return r->url;
}

const char *redis_tcp_url(const struct redis *r)
{
    return r->tcp_url;
}

const char *redis_dir(const struct redis *r)
{
    return r->dir;
}

pid_t redis_pid(const struct redis *r)
{
    return r->pid;
}

static void connect_client(struct redis *r)
{
    if (r->client && r->client->err)
        drop_client(r);
    if (r->client)
        return;
    r->client = redisConnectUnix(r->socket);
    if (!r->client || r->client->err)
        die("connect: %s", r->client ? r->client->errstr : "no memory");
    fcntl(r->client->fd, F_SETFD, FD_CLOEXEC);
}

static redisReply *run(struct redis *r, const char *fmt, va_list ap)
{
    connect_client(r);
    redisReply *reply = redisvCommand(r->client, fmt, ap);
    if (!reply)
        die("%s: %s", fmt, r->client->errstr);
    return reply;
}

redisReply *redis_cmd(struct redis *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    redisReply *reply = run(r, fmt, ap);
    va_end(ap);
    return reply;
}

redisReply *redis_try_argv(struct redis *r, int argc, const char **argv,
                           const size_t *lens)
{
    connect_client(r);
    void (*was)(int) = signal(SIGPIPE, SIG_IGN); /* it may be dead already */
    redisReply *reply = redisCommandArgv(r->client, argc, argv, lens);
    signal(SIGPIPE, was);
    return reply;
}

redisReply *redis_argv(struct redis *r, int argc, const char **argv,
                       const size_t *lens)
{
    redisReply *reply = redis_try_argv(r, argc, argv, lens);
    if (!reply)
        die("%s: %s", argv[0], r->client->errstr);
    return reply;
}

long long redis_int(struct redis *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    redisReply *reply = run(r, fmt, ap);
    va_end(ap);
    if (reply->type != REDIS_REPLY_INTEGER)
        die("%s: not an integer: %s", fmt, reply->str ? reply->str : "?");
    long long n = reply->integer;
    freeReplyObject(reply);
    return n;
}

const char *redis_str(struct redis *r, char *out, size_t size, const char *fmt,
                      ...)
{
    va_list ap;

    va_start(ap, fmt);
    redisReply *reply = run(r, fmt, ap);
    va_end(ap);
    if (reply->type == REDIS_REPLY_NIL)
        snprintf(out, size, "(nil)");
    else if (reply->type == REDIS_REPLY_STRING ||
             reply->type == REDIS_REPLY_STATUS)
        snprintf(out, size, "%s", reply->str);
    else
        die("%s: not a string: %s", fmt, reply->str ? reply->str : "?");
    freeReplyObject(reply);
    return out;
}

void redis_do(struct redis *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    redisReply *reply = run(r, fmt, ap);
    va_end(ap);
    if (reply->type == REDIS_REPLY_ERROR)
        die("%s: %s", fmt, reply->str);
    freeReplyObject(reply);
}
