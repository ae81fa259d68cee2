/*
 * Private redis: what belt dev starts so that nothing needs to be set up.
 *
 * The lock is a flock, shared with the server: it ends when both have ended,
 * however that happens, so that no two servers write the same file and no
 * directory is left locked. The port is only for clients that know no
 * unix sockets; it is chosen by binding port 0, so another program may take it
 * before the server does, which then says so in its log.
 *
 * Thread: main.
 */
#include "producer/private_redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/complain.h"
#include "producer/worker_path.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static int make_dir(struct private_redis *r, const struct options *o)
{
    if (mkdir(o->dir, 0700) != 0 && errno != EEXIST)
        return fail(o, EX_CANTCREAT, "%s: %s", o->dir, strerror(errno));
    r->dir = realpath(o->dir, NULL);
    if (!r->dir)
        return fail(o, EX_CANTCREAT, "%s: %s", o->dir, strerror(errno));
    r->log = mem_printf("%s/redis.log", r->dir);
    return 0;
}

static int lock_dir(struct private_redis *r, const struct options *o)
{
    char *path = mem_printf("%s/lock", r->dir);
    char pid[32] = "";

    r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int error = errno;
    free(path);
    if (r->lock_fd < 0)
        return fail(o, EX_CANTCREAT, "%s/lock: %s", r->dir, strerror(error));
    if (flock(r->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(r->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? (size_t)n : 0] = '\0';
        return fail(o, EX_TEMPFAIL, "%s: belt dev runs there already, pid %s",
                    o->dir, pid[0] ? pid : "unknown");
    }
    int n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (ftruncate(r->lock_fd, 0) != 0 ||
        pwrite(r->lock_fd, pid, (size_t)n, 0) != n)
        return fail(o, EX_CANTCREAT, "%s/lock: %s", r->dir, strerror(errno));
    return 0;
}

static int free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
        getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        port = ntohs(sa.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

/* A path in a URL: %, ? and @ would mean something else. */
static void set_urls(struct private_redis *r)
{
    char *path = mem_printf("%s/redis.sock", r->dir);
    size_t n = 0;

    if (strlen(path) <= SOCKET_PATH_MAX && strlen(path) < 108) {
        n = (size_t)snprintf(r->socket_url, sizeof(r->socket_url), "unix://");
        for (const char *p = path; *p && n + 4 < sizeof(r->socket_url); p++)
            n += (size_t)snprintf(r->socket_url + n, sizeof(r->socket_url) - n,
                                  strchr("%?@", *p) ? "%%%02X" : "%c", *p);
    }
    if (n + 4 >= sizeof(r->socket_url))
        r->socket_url[0] = '\0';
    if (r->port)
        snprintf(r->tcp_url, sizeof(r->tcp_url), "redis://127.0.0.1:%d",
                 r->port);
    free(path);
}

static int start_server(struct private_redis *r, const struct options *o)
{
    char port[16];
    char *path = program_path("redis-server");
    /* Redis changes to its directory before it makes the socket. */
    const char *const args[] = {"redis-server",
                                "--port",
                                port,
                                "--bind",
                                "127.0.0.1",
                                "--unixsocket",
                                "redis.sock",
                                "--unixsocketperm",
                                "700",
                                "--dir",
                                r->dir,
                                "--appendonly",
                                "yes",
                                "--save",
                                "",
                                "--logfile",
                                "redis.log",
                                "--maxmemory-policy",
                                "noeviction",
                                "--daemonize",
                                "no",
                                NULL};
    char *argv[sizeof(args) / sizeof(args[0])] = {NULL};

    if (!path)
        return fail(o, EX_UNAVAILABLE,
                    "redis-server: not in PATH; on Debian: apt-get install "
                    "redis-server");
    snprintf(port, sizeof(port), "%d", r->port);
    for (size_t i = 0; args[i]; i++)
        argv[i] = mem_strdup(args[i]);
    int status = 0;
    if (!child_start(&r->child, path, argv, SIGTERM, r->lock_fd))
        status = fail(o, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    free(path);
    return status;
}

int private_redis_start(struct private_redis *r, const struct options *o)
{
    *r = (struct private_redis){.lock_fd = -1};
    int status = make_dir(r, o);

    if (status == 0)
        status = lock_dir(r, o);
    if (status != 0)
        return status;
    r->port = o->port < 0 ? free_port() : (int)o->port;
    set_urls(r);
    if (private_redis_url(r)[0] == '\0')
        return fail(o, EX_USAGE,
                    "%s: the path is too long for a socket; give a --port",
                    r->dir);
    return start_server(r, o);
}

void private_redis_done(struct private_redis *r)
{
    child_signal(&r->child, SIGKILL);
    child_wait(&r->child);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    free(r->dir);
    free(r->log);
    *r = (struct private_redis){.lock_fd = -1};
}

const char *private_redis_url(const struct private_redis *r)
{
    return r->socket_url[0] != '\0' ? r->socket_url : r->tcp_url;
}
