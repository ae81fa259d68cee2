/*
 * Listen fixture: a worker with an HTTP endpoint, and a client for it.
 *
 * Thread: the test's.
 */
#include "tests/integration/listen_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum { FLAGS_MAX = 24 };

int listen_setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    f->r = redis_start(NULL);
    *state = f;
    return 0;
}

int listen_teardown(void **state)
{
    struct fixture *f = *state;
    worker_free(f->w);
    redis_stop(f->r);
    free(f);
    return 0;
}

struct said {
    struct worker *w;
    const char *text;
};

static bool has_said(void *arg)
{
    struct said *s = arg;
    return worker_said(s->w, s->text);
}

int listen_port(struct worker *w, const char *text)
{
    struct said s = {w, "ev=listen "};
    char line[512];
    int port = 0;
    if (!wait_until(has_said, &s, LISTEN_MS))
        fail_msg("%s: nothing listens", worker_log(w));
    FILE *log = fopen(worker_log(w), "re");
    assert_non_null(log);
    while (port == 0 && fgets(line, sizeof(line), log) != NULL) {
        const char *at = strstr(line, text);
        if (strstr(line, "ev=listen ") != NULL && at != NULL)
            port = (int)strtol(at + strlen(text), NULL, 10);
    }
    (void)fclose(log);
    if (port <= 0)
        fail_msg("%s: no port behind %s", worker_log(w), text);
    return port;
}

void listen_begin(struct fixture *f, const char *const *flags)
{
    const char *all[FLAGS_MAX] = {"--listen", "127.0.0.1:0"};
    unsigned n = 2;
    for (; *flags != NULL; flags++) {
        assert_true(n < FLAGS_MAX - 1);
        all[n++] = *flags;
    }
    f->w = worker_start(f->r, NULL, all);
    f->port = listen_port(f->w, "addr=127.0.0.1:");
}

/* ---- the client ---- */

int http_connect(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

bool http_send(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

bool http_read_all(int fd, char *out, size_t size, size_t *ret_len)
{
    int64_t deadline_ms = clock_ms() + LISTEN_MS;
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - clock_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);
        if (n <= 0) /* also a reset, when it had not read all of ours */
            break;
        len += (size_t)n;
        assert_true(len < size - 1);
    }
    out[len] = '\0';
    *ret_len = len;
    return true;
}

bool http_is_closed(int fd)
{
    char part[4096];
    for (;;) {
        ssize_t n = recv(fd, part, sizeof(part), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        if (n < 0)
            return false;
    }
}

void http_ask_raw(const struct fixture *f, const char *request, size_t len,
                  struct response *ret)
{
    size_t n = 0;
    int fd = http_connect(f->port);
    ret->status = 0;
    ret->headers = ret->text;
    ret->body = "";
    ret->body_len = 0;
    assert_true(fd >= 0);
    (void)http_send(fd, request, len);
    if (!http_read_all(fd, ret->text, sizeof(ret->text), &n))
        fail_msg("no end of the answer to %.60s", request);
    (void)close(fd);
    char *end = strstr(ret->text, "\r\n\r\n");
    if (n == 0 || strncmp(ret->text, "HTTP/1.", 7) != 0 || end == NULL)
        return;
    ret->status = (int)strtol(ret->text + 9, NULL, 10);
    end[2] = '\0';
    ret->body = end + 4;
    ret->body_len = n - (size_t)(ret->body - ret->text);
}

void http_ask(const struct fixture *f, const char *method, const char *path,
              struct response *ret)
{
    char *request =
        mem_printf("%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path);
    http_ask_raw(f, request, strlen(request), ret);
    free(request);
}

bool http_header_is(const struct response *a, const char *name,
                    const char *value)
{
    char *line = mem_printf("\r\n%s: %s\r\n", name, value);
    bool is = strstr(a->headers, line) != NULL;
    free(line);
    return is;
}

struct wanted {
    const struct fixture *f;
    const char *path, *text;
    int status;
    struct response a;
};

static bool says(void *arg)
{
    struct wanted *t = arg;
    http_ask(t->f, "GET", t->path, &t->a);
    return t->a.status == t->status &&
           (t->text == NULL || strstr(t->a.body, t->text) != NULL);
}

void http_until(const struct fixture *f, const char *path, int status,
                const char *text)
{
    struct wanted *t = mem_new(sizeof(*t));
    *t = (struct wanted){.f = f, .path = path, .text = text, .status = status};
    if (!wait_until(says, t, LISTEN_MS))
        fail_msg("%s says %d %s, not %d %s", path, t->a.status, t->a.body,
                 status, text != NULL ? text : "");
    free(t);
}

struct sample {
    const struct fixture *f;
    const char *name;
    double value, is;
    struct response a;
};

static bool has_value(void *arg)
{
    struct sample *s = arg;
    char *start = mem_printf("\n%s ", s->name);
    http_ask(s->f, "GET", "/metrics", &s->a);
    const char *at = strstr(s->a.body, start);
    s->is = at != NULL ? strtod(at + strlen(start), NULL) : -1;
    free(start);
    return at != NULL && s->is == s->value;
}

void metric_until(const struct fixture *f, const char *sample, double value)
{
    struct sample *s = mem_new(sizeof(*s));
    *s = (struct sample){.f = f, .name = sample, .value = value};
    if (!wait_until(has_value, s, LISTEN_MS))
        fail_msg("%s is %g, not %g", sample, s->is, value);
    free(s);
}
