/*
 * A small HTTP server for tests.
 *
 * A thread accepts, and each connection has one more. What never ends ends
 * when the other side closes, which is part of what is tested: a client that
 * leaves a connection hanging keeps http_server_stop waiting.
 */
#include "tests/unit/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/mem.h"
#include "common/base/thread.h"
#include "tests/unit/unit.h"

enum { CONNECTIONS_MAX = 256, PATIENCE_MS = 20 * 1000, REQUEST_MAX = 8 << 20 };

struct http_server {
    int listen_fd, port, quit_fd, came_fd;
    SSL_CTX *tls; /* owned, or NULL */
    X509 *cert;   /* owned, or NULL */
    pthread_t thread;
    pthread_t threads[CONNECTIONS_MAX];
    atomic_uint connections;

    struct mutex mu;    /* guards what follows */
    struct buf request; /* the last one */
};

struct connection {
    struct http_server *s; /* borrowed */
    int fd;                /* owned */
    SSL *ssl;              /* owned, or NULL */
    struct buf in;         /* owned */
};

/* ---- bytes ---- */

static ssize_t get(struct connection *c, void *p, size_t n)
{
    return c->ssl != NULL ? SSL_read(c->ssl, p, (int)n) : read(c->fd, p, n);
}

static bool put(struct connection *c, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t sent = c->ssl != NULL ? SSL_write(c->ssl, at, (int)n)
                                      : send(c->fd, at, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool put_text(struct connection *c, const char *text)
{
    return put(c, text, strlen(text));
}

/* Waits until the other side has closed. */
static void hang(struct connection *c)
{
    char byte;

    while (get(c, &byte, 1) > 0)
        continue;
}

/* ---- requests ---- */

/* Returns the length of one whole request at the start of in, or 0. */
static size_t whole(const struct buf *in)
{
    const char *end, *length;
    size_t head, body = 0;

    if (in->len == 0 || (end = strstr(in->data, "\r\n\r\n")) == NULL)
        return 0;
    head = (size_t)(end - in->data) + 4;
    length = strcasestr(in->data, "\r\nContent-Length:");
    if (length != NULL && length < end)
        body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
    return in->len >= head + body ? head + body : 0;
}

/* Returns the length of the request, or 0 when there is none any more. */
static size_t read_request(struct connection *c)
{
    char part[16384];
    size_t n;

    while ((n = whole(&c->in)) == 0) {
        ssize_t got = get(c, part, sizeof(part));

        if (got <= 0 || c->in.len > REQUEST_MAX)
            return 0;
        buf_append(&c->in, part, (size_t)got);
    }
    return n;
}

static void remember(struct connection *c, size_t n)
{
    struct http_server *s = c->s;
    uint64_t one = 1;

    mutex_lock(&s->mu);
    buf_clear(&s->request);
    buf_append(&s->request, c->in.data, n);
    mutex_unlock(&s->mu);
    assert(write(s->came_fd, &one, sizeof(one)) == sizeof(one));
}

static bool answer(struct connection *c, const char *status,
                   const char *headers, const char *body, size_t len)
{
    char head[512];

    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n",
             status, len, headers);
    return put_text(c, head) && put(c, body, len);
}

static bool big(struct connection *c, size_t n)
{
    char *body = mem_new(n + 1);
    bool ok;

    memset(body, 'b', n);
    ok = answer(c, "200 OK", "", body, n);
    free(body);
    return ok;
}

/* Sends text until the other side has enough, or for ever. */
static void repeat(struct connection *c, const char *text, int pause_ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    while (put_text(c, text))
        if (pause_ms > 0 && poll(&p, 1, pause_ms) > 0)
            return;
}

static void reset(struct connection *c)
{
    struct linger l = {.l_onoff = 1};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* Returns whether the connection goes on. */
static bool serve(struct connection *c, const char *path, const char *body,
                  size_t len)
{
    char text[256];

    if (strcmp(path, "/ok") == 0)
        return answer(c, "200 OK", "", body, len);
    if (sscanf(path, "/status/%200s", text) == 1) {
        strcat(text, " Said");
        return answer(c, text, "", "first line\nsecond", 17);
    }
    if (sscanf(path, "/after/%200s", text) == 1) {
        char header[256];

        for (char *p = text; *p != '\0'; p++)
            if (*p == '_')
                *p = ' ';
        snprintf(header, sizeof(header), "Retry-After: %.200s\r\n", text);
        return answer(c, "429 Slow", header, "", 0);
    }
    if (strncmp(path, "/big/", 5) == 0)
        return big(c, strtoul(path + 5, NULL, 10));
    if (strcmp(path, "/redirect") == 0)
        return answer(c, "302 Found", "Location: /ok\r\n", "", 0);
    if (strcmp(path, "/hang") == 0)
        hang(c);
    else if (strcmp(path, "/trickle") == 0 &&
             put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"))
        repeat(c, "t", 5);
    else if (strcmp(path, "/reset") == 0)
        reset(c);
    else if (strcmp(path, "/half") == 0)
        put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    else if (strcmp(path, "/garbage") == 0)
        put_text(c, "\001\377 what?\r\n\r\n");
    else if (strcmp(path, "/flood") == 0 &&
             put_text(c, "HTTP/1.0 200 OK\r\n\r\n"))
        repeat(c, "flooooooooooooooooooooooooooooooooooooooooooooooooood", 0);
    else if (strcmp(path, "/headers") == 0 &&
             put_text(c, "HTTP/1.1 200 OK\r\n"))
        repeat(c, "X-More: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
               0);
    return false; /* "/close" among others */
}

static void *connection_main(void *arg)
{
    struct connection *c = arg;
    char path[128];
    size_t n;
    bool goes_on = c->ssl == NULL || SSL_accept(c->ssl) == 1;

    while (goes_on && (n = read_request(c)) > 0) {
        const char *body = strstr(c->in.data, "\r\n\r\n") + 4;
        size_t head = (size_t)(body - c->in.data);

        remember(c, n);
        goes_on = sscanf(c->in.data, "POST %100s ", path) == 1 &&
                  serve(c, path, body, n - head);
        memmove(c->in.data, c->in.data + n, c->in.len - n + 1);
        c->in.len -= n;
    }
    SSL_free(c->ssl);
    close(c->fd);
    buf_done(&c->in);
    free(c);
    return NULL;
}

static void *accept_main(void *arg)
{
    struct http_server *s = arg;

    for (;;) {
        struct pollfd p[] = {{.fd = s->listen_fd, .events = POLLIN},
                             {.fd = s->quit_fd, .events = POLLIN}};
        unsigned i = atomic_load(&s->connections);
        struct connection *c;

        if (poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents != 0)
            return NULL;
        assert(i < CONNECTIONS_MAX);
        c = mem_new(sizeof(*c));
        c->s = s;
        c->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        assert(c->fd >= 0);
        /* Heads and bodies are two writes. */
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (s->tls != NULL) {
            c->ssl = SSL_new(s->tls);
            SSL_set_fd(c->ssl, c->fd);
        }
        pthread_create(&s->threads[i], NULL, connection_main, c);
        atomic_store(&s->connections, i + 1);
    }
}

/* ---- start and stop ---- */

static void make_certificate(struct http_server *s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_EXTENSION *ext =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

    assert_true(key != NULL && ext != NULL);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_add_ext(x, ext, -1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    s->tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(s->tls, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(s->tls, key), 1);
    s->cert = x;
    X509_EXTENSION_free(ext);
    EVP_PKEY_free(key);
}

struct http_server *http_server_start(bool tls)
{
    struct http_server *s = mem_new(sizeof(*s));
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);

    signal(SIGPIPE, SIG_IGN); /* of SSL_write */
    mutex_init(&s->mu);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->quit_fd = eventfd(0, EFD_CLOEXEC);
    s->came_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(s->listen_fd, 64), 0);
    assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&sa, &len),
                     0);
    s->port = ntohs(sa.sin_port);
    if (tls)
        make_certificate(s);
    assert_int_equal(pthread_create(&s->thread, NULL, accept_main, s), 0);
    return s;
}

void http_server_stop(struct http_server *s)
{
    uint64_t one = 1;

    assert_int_equal(write(s->quit_fd, &one, sizeof(one)), sizeof(one));
    pthread_join(s->thread, NULL);
    for (unsigned i = 0; i < atomic_load(&s->connections); i++)
        pthread_join(s->threads[i], NULL);
    close(s->listen_fd);
    close(s->quit_fd);
    close(s->came_fd);
    SSL_CTX_free(s->tls);
    X509_free(s->cert);
    buf_done(&s->request);
    mutex_done(&s->mu);
    free(s);
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_certificate(const struct http_server *s, const char *path)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, s->cert), 1);
    assert_int_equal(fclose(f), 0);
}

struct buf http_server_request(struct http_server *s)
{
    struct buf b = {0};

    mutex_lock(&s->mu);
    buf_append(&b, s->request.data, s->request.len);
    mutex_unlock(&s->mu);
    return b;
}

unsigned http_server_connections(struct http_server *s)
{
    return atomic_load(&s->connections);
}

void http_server_await_request(struct http_server *s)
{
    struct pollfd p = {.fd = s->came_fd, .events = POLLIN};
    uint64_t came;

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(read(s->came_fd, &came, sizeof(came)), sizeof(came));
}
