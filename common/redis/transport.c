/*
 * Transport: the bytes below the protocol.
 *
 * Addresses are tried in turn, each with its share of the time that is left.
 *
 * No bufferevent: it asks how much there is and then reads 4 KiB of it, and it
 * waits for the socket to be writable before each write. We read what there is
 * into one chunk, and write at the end of the loop's turn, all that was queued
 * in it at once; only what the kernel does not take waits.
 *
 * A callback may close the transport under the function that called it. life
 * changes with every close, so such a function can tell, and returns.
 *
 * Thread: event loop only.
 */
#include "common/redis/transport.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/resolver.h"

enum {
    ADDRS_MAX = 16,
    CHUNK_BYTES = 64 * 1024, /* of the stack */
    BURST_BYTES = 1 << 20,   /* per turn, so that others get theirs */
    WRITE_PARTS = 128,       /* per call */
    COPY_BYTES = 1024,       /* up to this, cheaper than a writev entry */
    KEEPALIVE_IDLE_S = 15,   /* a peer that vanished is noticed in 30 s */
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_COUNT = 3,
    UNACKED_MS = 10 * 1000,
};

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct transport {
    struct event_base *base; /* borrowed */
    struct url url;
    struct transport_events ev;
    struct resolver *resolver; /* owned */
    unsigned life;             /* grows with each close */

    struct address addrs[ADDRS_MAX];
    int naddrs, next_addr;
    int64_t deadline_ms; /* of getting connected */

    int fd;                  /* owned; -1: none */
    struct event connecting; /* waits for fd to be connected */
    struct event expiry;     /* of the look-up */

    bool is_open;
    struct event readable;
    struct event writable; /* or the end of this turn */
    bool writing;          /* writable will come */
    struct evbuffer *out;  /* owned; unsent */
};

static void on_resolved(void *arg, const struct addrinfo *ai, const char *why);
static void on_connected(evutil_socket_t fd, short what, void *arg);
static void on_expiry(evutil_socket_t fd, short what, void *arg);
static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

static void connect_next(struct transport *t, int err) ON_LOOP;

struct transport *transport_new(struct event_base *base, const struct url *url,
                                const struct transport_events *ev)
{
    struct transport *t = mem_new(sizeof(*t));

    t->base = base;
    t->url = *url;
    t->ev = *ev;
    t->fd = -1;
    t->resolver = resolver_new(base);
    t->out = evbuffer_new();
    if (!t->out)
        abort();
    evtimer_assign(&t->expiry, base, on_expiry, t);
    event_assign(&t->connecting, base, -1, EV_WRITE, on_connected, t);
    event_assign(&t->readable, base, -1, EV_READ, on_readable, t);
    event_assign(&t->writable, base, -1, EV_WRITE, on_writable, t);
    return t;
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    transport_close(t);
    resolver_free(t->resolver);
    evbuffer_free(t->out);
    explicit_bzero(&t->url, sizeof(t->url));
    free(t);
}

static struct timeval time_until(int64_t deadline_ms)
{
    int64_t ms = deadline_ms - clock_ms();

    if (ms < 1)
        ms = 1;
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void lose(struct transport *t, int err, const char *why)
{
    t->ev.on_lost(t->ev.arg, err, why);
}

void transport_open(struct transport *t, int64_t deadline_ms)
{
    assert(t->fd == -1);
    t->deadline_ms = deadline_ms;
    t->naddrs = t->next_addr = 0;
    if (t->url.is_unix) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        _Static_assert(sizeof(un.sun_path) == sizeof(t->url.path), "same");
        memcpy(un.sun_path, t->url.path, sizeof(un.sun_path));
        memcpy(&t->addrs[0].sa, &un, sizeof(un));
        t->addrs[0].len = sizeof(un);
        t->naddrs = 1;
        connect_next(t, 0);
        return;
    }
    struct timeval tv = time_until(deadline_ms);
    evtimer_add(&t->expiry, &tv);
    resolver_look_up(t->resolver, t->url.host, t->url.port, on_resolved, t);
}

static void on_expiry(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    lose(arg, ERR_TIMEOUT, "host name not resolved in time");
}

static void on_resolved(void *arg, const struct addrinfo *ai, const char *why)
{
    loop_role_assert();
    struct transport *t = arg;
    struct errbuf eb;

    evtimer_del(&t->expiry);
    for (; ai && t->naddrs < ADDRS_MAX; ai = ai->ai_next) {
        struct address *a = &t->addrs[t->naddrs];
        if (ai->ai_addrlen > sizeof(a->sa))
            continue;
        memcpy(&a->sa, ai->ai_addr, ai->ai_addrlen);
        a->len = ai->ai_addrlen;
        t->naddrs++;
    }
    if (t->naddrs > 0) {
        connect_next(t, 0);
        return;
    }
    errbuf_set(&eb, ERR_SYSTEM, "resolve %s: %s", t->url.host,
               why ? why : "no address");
    lose(t, ERR_SYSTEM, eb.text);
}

/* Best effort: a connection without these options works as well. */
static void set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        (void)setsockopt(fd, options[i].level, options[i].name,
                         &options[i].value, sizeof(options[i].value));
}

static void drop_socket(struct transport *t)
{
    event_del(&t->connecting);
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
}

/* Returns 0 when connecting or connected, or an errno. */
static int start_connect(struct transport *t, const struct address *a)
{
    int family = a->sa.ss_family;

    t->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0)
        return errno;
    if (family != AF_UNIX)
        set_options(t->fd);
    if (connect(t->fd, (const struct sockaddr *)&a->sa, a->len) != 0 &&
        errno != EINPROGRESS && errno != EINTR)
        return errno;
    /* Writable at once if it is connected, which spares a special case. */
    int64_t now = clock_ms(), left = t->naddrs - t->next_addr + 1;
    struct timeval tv = time_until(now + (t->deadline_ms - now) / left);
    event_assign(&t->connecting, t->base, t->fd, EV_WRITE, on_connected, t);
    event_add(&t->connecting, &tv);
    return 0;
}

/* err is the errno of the address before, and told if it was the last. */
static void connect_next(struct transport *t, int err)
{
    drop_socket(t);
    while (t->next_addr < t->naddrs) {
        err = start_connect(t, &t->addrs[t->next_addr++]);
        if (err == 0)
            return;
        drop_socket(t);
    }
    struct errbuf eb;
    int code = err == ETIMEDOUT ? ERR_TIMEOUT : ERR_SYSTEM;
    errbuf_set(&eb, code, "connect: %s", strerror(err));
    lose(t, code, eb.text);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct transport *t = arg;
    int err = ETIMEDOUT;
    socklen_t len = sizeof(err);

    if (!(what & EV_TIMEOUT) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    if (err != 0) {
        connect_next(t, err);
        return;
    }
    event_assign(&t->readable, t->base, fd, EV_READ | EV_PERSIST, on_readable,
                 t);
    event_assign(&t->writable, t->base, fd, EV_WRITE, on_writable, t);
    event_add(&t->readable, NULL);
    t->is_open = true;
    t->ev.on_open(t->ev.arg);
}

void transport_close(struct transport *t)
{
    t->life++;
    resolver_cancel(t->resolver);
    evtimer_del(&t->expiry);
    event_del(&t->readable);
    event_del(&t->writable);
    t->is_open = t->writing = false;
    (void)evbuffer_drain(t->out, evbuffer_get_length(t->out));
    drop_socket(t);
}

static void lose_stream(struct transport *t, int err)
{
    struct errbuf eb;

    errbuf_set(&eb, ERR_CLOSED, "lost: %s", strerror(err));
    lose(t, ERR_CLOSED, eb.text);
}

static bool try_later(int err)
{
    return err == EAGAIN || err == EINTR;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct transport *t = arg;
    unsigned life = t->life;
    char chunk[CHUNK_BYTES];

    (void)what;
    for (int got = 0; got < BURST_BYTES; got += CHUNK_BYTES) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && try_later(errno))
            return;
        if (n < 0) {
            lose_stream(t, errno);
            return;
        }
        if (n == 0) {
            lose(t, ERR_CLOSED, "closed by the server");
            return;
        }
        t->ev.on_bytes(t->ev.arg, chunk, (size_t)n);
        if (t->life != life || n < CHUNK_BYTES)
            return;
    }
}

/*
 * As evbuffer_write, but a peer that went away is EPIPE and not a SIGPIPE: a
 * library must not change what signals do in the program that uses it.
 */
static ssize_t write_some(struct evbuffer *out, int fd)
{
    struct evbuffer_iovec parts[WRITE_PARTS];
    struct msghdr msg = {0};
    int n = evbuffer_peek(out, -1, NULL, parts, WRITE_PARTS);

    msg.msg_iov = parts; /* on Unix the same struct */
    msg.msg_iovlen = (size_t)(n < WRITE_PARTS ? n : WRITE_PARTS);
    ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
    if (sent > 0)
        (void)evbuffer_drain(out, (size_t)sent);
    return sent;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct transport *t = arg;
    unsigned life = t->life;

    t->writing = false;
    if (write_some(t->out, fd) < 0 && !try_later(errno)) {
        int err = errno;
        on_readable(fd, what, t); /* what was said before the end */
        if (t->life == life)
            lose_stream(t, err);
        return;
    }
    if (evbuffer_get_length(t->out) > 0) {
        t->writing = true;
        event_add(&t->writable, NULL);
    }
}

void transport_write(struct transport *t, const void *p, size_t n,
                     void (*release)(const void *p, size_t n, void *extra),
                     void *extra)
{
    assert(t->is_open && n > 0);
    bool copy = n <= COPY_BYTES;
    int rc = copy ? evbuffer_add(t->out, p, n)
                  : evbuffer_add_reference(t->out, p, n, release, extra);
    if (rc != 0)
        abort(); /* out of memory, as mem_new */
    if (copy)
        release(p, n, extra);
    /* Active events of this turn run first, and may write more. */
    if (!t->writing)
        event_active(&t->writable, EV_WRITE, 0);
    t->writing = true;
}

size_t transport_unsent(const struct transport *t)
{
    return evbuffer_get_length(t->out);
}
