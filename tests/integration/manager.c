/*
 * Manager: hears what services tell.
 *
 * Thread: the test's main thread.
 */
#include "tests/integration/manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60 * 1000 };

struct manager {
    struct redis *redis; /* borrowed */
    char *path;          /* owned */
    int fd;              /* owned */
    struct buf heard;    /* lines */
    pid_t from;          /* who sent the last one */
    bool several;        /* not all came from that one */
};

struct manager *manager_new(struct redis *r)
{
    static unsigned n;
    struct manager *m = mem_new(sizeof(*m));
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int on = 1;
    m->redis = r;
    m->path = mem_printf("%s/notify-%u", redis_dir(r), n++);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", m->path);
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_not_equal(m->fd, -1);
    assert_int_equal(
        setsockopt(m->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    assert_int_equal(bind(m->fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return m;
}

void manager_free(struct manager *m)
{
    if (m == NULL)
        return;
    (void)close(m->fd);
    (void)unlink(m->path);
    free(m->path);
    buf_done(&m->heard);
    free(m);
}

struct worker *manager_exec(struct manager *m, const char *const *argv,
                            int64_t limit_us)
{
    char socket_env[160], limit_env[64];
    const char *env[3] = {socket_env, limit_us > 0 ? limit_env : NULL, NULL};
    (void)snprintf(socket_env, sizeof(socket_env), "NOTIFY_SOCKET=%s", m->path);
    (void)snprintf(limit_env, sizeof(limit_env), "WATCHDOG_USEC=%lld",
                   (long long)limit_us);
    return worker_exec(m->redis, argv, env);
}

static bool hear_one(struct manager *m)
{
    char text[2048];
    union {
        char room[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof(control.room)};
    ssize_t n = recvmsg(m->fd, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    struct ucred who = {0};
    assert_non_null(c);
    assert_int_equal(c->cmsg_type, SCM_CREDENTIALS);
    memcpy(&who, CMSG_DATA(c), sizeof(who));
    m->several = m->several || (m->from != 0 && m->from != who.pid);
    m->from = who.pid;
    buf_append(&m->heard, text, (size_t)n);
    buf_char(&m->heard, '\n');
    return true;
}

const char *manager_heard(struct manager *m)
{
    while (hear_one(m))
        continue;
    return m->heard.len > 0 ? m->heard.data : "";
}

unsigned manager_count(struct manager *m, const char *beginning)
{
    unsigned n = 0;
    for (const char *p = manager_heard(m); *p != '\0';
         p += strcspn(p, "\n") + 1)
        n += strncmp(p, beginning, strlen(beginning)) == 0;
    return n;
}

struct wanted {
    struct manager *m;
    const char *beginning;
    unsigned n;
};

static bool was_heard(void *arg)
{
    struct wanted *w = arg;
    return manager_count(w->m, w->beginning) >= w->n;
}

void manager_await(struct manager *m, const char *beginning, unsigned n)
{
    struct wanted w = {m, beginning, n};
    if (!wait_until(was_heard, &w, PATIENCE_MS))
        fail_msg("%s was not heard %u times, but:\n%s", beginning, n,
                 manager_heard(m));
}

bool manager_is_silent(struct manager *m, const char *beginning, int64_t for_ms)
{
    struct wanted w = {m, beginning, manager_count(m, beginning) + 1};
    return !wait_until(was_heard, &w, for_ms);
}

void manager_expect_only(struct manager *m, pid_t pid)
{
    (void)manager_heard(m);
    assert_false(m->several);
    assert_int_equal(m->from, pid);
}
