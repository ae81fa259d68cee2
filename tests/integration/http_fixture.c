/*
 * HTTP fixture: a belt-serve, and a client for it.
 *
 * Thread: the test's.
 */
#include "tests/integration/http_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum { FLAGS_MAX = 32, PART = 64 * 1024 };

int web_setup(void **state)
{
    struct web *f = mem_new(sizeof(*f));
    f->r = redis_start(NULL);
    *state = f;
    return 0;
}

int web_teardown(void **state)
{
    struct web *f = *state;
    worker_free(f->w);
    redis_stop(f->r);
    free(f);
    return 0;
}

/* ---- the server ---- */

static bool listens(void *arg)
{
    return worker_said(arg, "ev=listen ") || worker_has_ended(arg);
}

static int find_port(struct worker *w)
{
    static const char before[] = "addr=127.0.0.1:";
    char line[512];
    int port = 0;
    FILE *log = fopen(worker_log(w), "re");
    assert_non_null(log);
    while (port == 0 && fgets(line, sizeof(line), log) != NULL) {
        const char *at = strstr(line, before);
        if (strstr(line, "ev=listen ") != NULL && at != NULL)
            port = (int)strtol(at + strlen(before), NULL, 10);
    }
    (void)fclose(log);
    return port;
}

static void begin(struct web *f, const char *limit, const char *const *flags)
{
    const char *argv[FLAGS_MAX] = {limit ? "prlimit" : BELT_SERVE_BIN};
    unsigned n = 1;
    if (limit) {
        argv[n++] = limit;
        argv[n++] = BELT_SERVE_BIN;
    }
    argv[n++] = "serve";
    argv[n++] = "-u";
    argv[n++] = redis_url(f->r);
    argv[n++] = "--listen";
    argv[n++] = "127.0.0.1:0";
    for (; flags != NULL && *flags != NULL; flags++) {
        assert_true(n < FLAGS_MAX - 1);
        argv[n++] = *flags;
    }
    worker_free(f->w);
    f->w = worker_exec(f->r, argv, NULL);
    if (!wait_until(listens, f->w, WEB_MS) || (f->port = find_port(f->w)) == 0)
        fail_msg("%s: nothing listens", worker_log(f->w));
}

void web_begin_alone(struct web *f, const char *const *flags)
{
    begin(f, NULL, flags);
}

void web_begin_limited(struct web *f, const char *limit,
                       const char *const *flags)
{
    begin(f, limit, flags);
    web_until(f, "/readyz", 200, NULL);
}

void web_begin(struct web *f, const char *const *flags)
{
    web_begin_alone(f, flags);
    web_until(f, "/readyz", 200, NULL);
}

/* ---- the client ---- */

int web_connect(const struct web *f)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

bool web_send(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

bool web_say(int fd, const char *text)
{
    return web_send(fd, text, strlen(text));
}

/* Appends at most size bytes of what comes; 0: the end, or too late. */
static size_t read_some(int fd, struct buf *in, size_t size, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = deadline - clock_ms();
    if (left <= 0 || poll(&p, 1, (int)left) <= 0)
        return 0;
    buf_reserve(in, size);
    ssize_t n = recv(fd, in->data + in->len, size, 0);
    if (n <= 0)
        return 0;
    in->len += (size_t)n;
    in->data[in->len] = '\0';
    return (size_t)n;
}

/* One byte at a time, so that nothing of the next answer is taken. */
static bool read_head(int fd, struct buf *in, int64_t deadline)
{
    while (in->len < 4 || memcmp(in->data + in->len - 4, "\r\n\r\n", 4) != 0) {
        if (read_some(fd, in, 1, deadline) == 0)
            return false;
    }
    return true;
}

static void take_headers(struct web_reply *a, char *line)
{
    char *end;
    a->status = (int)strtol(line + strlen("HTTP/1.1 "), NULL, 10);
    for (line = strstr(line, "\r\n") + 2; (end = strstr(line, "\r\n")) != line;
         line = end + 2) {
        char *colon = strchr(line, ':');
        assert_true(colon != NULL && colon < end);
        assert_true(a->header_count < WEB_HEADERS_MAX);
        *colon = *end = '\0';
        a->names[a->header_count] = line;
        a->values[a->header_count++] = colon + 1 + strspn(colon + 1, " ");
    }
}

bool web_take(int fd, bool head, struct web_reply *ret)
{
    int64_t deadline = clock_ms() + WEB_MS;
    struct buf in = {0};
    *ret = (struct web_reply){.body = ""};
    if (!read_head(fd, &in, deadline) || strncmp(in.data, "HTTP/1.", 7) != 0) {
        buf_done(&in);
        return false;
    }
    size_t head_len = in.len;
    const char *at = strcasestr(in.data, "\r\nContent-Length:");
    size_t body_len = at && !head ? (size_t)strtol(at + 17, NULL, 10) : 0;
    while (in.len < head_len + body_len) {
        size_t left = head_len + body_len - in.len;
        if (read_some(fd, &in, left < PART ? left : PART, deadline) == 0) {
            buf_done(&in);
            return false;
        }
    }
    ret->len = in.len;
    ret->text = buf_take(&in);
    take_headers(ret, ret->text);
    ret->body = ret->text + head_len;
    ret->body_len = body_len;
    return true;
}

bool web_is_closed(int fd)
{
    int64_t deadline = clock_ms() + WEB_MS;
    char part[4096];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - clock_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        if (recv(fd, part, sizeof(part), 0) <= 0)
            return true;
    }
}

void web_reply_done(struct web_reply *a)
{
    free(a->text);
    *a = (struct web_reply){.body = ""};
}

const char *web_header(const struct web_reply *a, const char *name)
{
    for (int i = 0; i < a->header_count; i++) {
        if (strcasecmp(a->names[i], name) == 0)
            return a->values[i];
    }
    return "";
}

void web_ask(const struct web *f, const char *method, const char *path,
             const char *headers, const char *body, struct web_reply *ret)
{
    struct buf out = {0};
    int fd = web_connect(f);
    if (fd < 0)
        fail_msg("%s %s: nothing listens", method, path);
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
    buf_str(&out, headers != NULL ? headers : "");
    if (body != NULL)
        buf_printf(&out, "Content-Length: %zu\r\n", strlen(body));
    buf_str(&out, "\r\n");
    buf_str(&out, body != NULL ? body : "");
    (void)web_send(fd, out.data, out.len);
    if (!web_take(fd, strcmp(method, "HEAD") == 0, ret))
        fail_msg("%s %s: no answer", method, path);
    (void)close(fd);
    buf_done(&out);
}

void web_expect(const struct web *f, const char *method, const char *path,
                const char *headers, const char *body, int status,
                const char *text)
{
    struct web_reply a;
    web_ask(f, method, path, headers, body, &a);
    if (a.status != status || (text != NULL && strstr(a.body, text) == NULL))
        fail_msg("%s %s: %d %s, not %d %s", method, path, a.status, a.body,
                 status, text != NULL ? text : "");
    web_reply_done(&a);
}

struct wanted {
    const struct web *f;
    const char *path, *text;
    int status;
    struct web_reply a;
};

static bool says(void *arg)
{
    struct wanted *t = arg;
    web_reply_done(&t->a);
    web_ask(t->f, "GET", t->path, NULL, NULL, &t->a);
    return t->a.status == t->status &&
           (t->text == NULL || strstr(t->a.body, t->text) != NULL);
}

void web_until(const struct web *f, const char *path, int status,
               const char *text)
{
    struct wanted t = {.f = f, .path = path, .text = text, .status = status};
    if (!wait_until(says, &t, WEB_MS))
        fail_msg("%s says %d %s, not %d %s", path, t.a.status, t.a.body, status,
                 text != NULL ? text : "");
    web_reply_done(&t.a);
}
