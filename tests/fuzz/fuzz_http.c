/*
 * Fuzzer: what clients of belt serve may send, over a real socket.
 *
 * The whole HTTP side but Redis, which is away. Whatever comes, in chunks and
 * with an end at any point: an answer begins with a status of HTTP/1 and has
 * the headers that all of ours have, so no page of evhttp's leaves; and when
 * the client has gone nothing of it is left, neither link nor bytes.
 *
 * Input: a byte, the size of the chunks (0: all at once), then what is sent.
 *
 * Thread: the fuzzer's only one, which is the loop; side threads have nothing
 * to do without Redis.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/log.h"
#include "producer/serve/metrics.h"
#include "producer/serve/push.h"
#include "producer/serve/server_priv.h"
#include "producer/serve/side.h"
#include "producer/serve/wait.h"

enum { TURNS_MAX = 2000, CHUNKS_MAX = 64, ANSWER_MAX = 256 * 1024 };

static struct options options;
static struct serve serve;
static struct sockaddr_un place;
static char answer[ANSWER_MAX + 1];

static void remove_place(void)
{
    (void)unlink(place.sun_path);
}

/* Once, for all inputs. */
static void begin(void)
{
    static char program[] = "belt-serve", name[] = "serve", flag[] = "--listen",
                url_flag[] = "-u", url[] = "unix:///none/redis", text[128];
    static char *argv[] = {program, name, url_flag, url, flag, text, NULL};
    struct conn_config cfg = {0};
    struct address at;
    struct errbuf eb;

    loop_role_assert();
    log_setup(LOG_LVL_ERROR, LOG_LOGFMT);
    place.sun_family = AF_UNIX;
    (void)snprintf(place.sun_path, sizeof(place.sun_path),
                   "/tmp/fuzz_http.%d.sock", (int)getpid());
    (void)snprintf(text, sizeof(text), "unix:%s", place.sun_path);
    int rc = options_parse(6, argv, &options, &eb);
    assert(rc == 0);
    options.max_bytes = 2048;
    options.max_bulk = 4096;
    options.max_headers = 2048;
    options.side_threads = 1;
    serve = (struct serve){.o = &options,
                           .ns = options.ns,
                           .max_connections = options.max_connections};
    serve.base = event_base_new();
    rc = url_parse(url, &serve.url, &eb);
    assert(rc == 0);
    cfg.url = serve.url;
    serve.conn = conn_new(serve.base, &cfg); /* never opened */
    serve.metrics = serve_metrics_new();
    serve.waits = waits_new(&serve);
    serve.pushes = pushes_new(&serve);
    serve.side = side_new(&serve);
    rc = address_parse(text, &at, &eb);
    assert(rc == 0);
    serve.server = server_new(&serve, &at, &eb);
    assert(serve.server != NULL);
    (void)atexit(remove_place);
}

static void turn(void)
{
    for (int i = 0; i < 4; i++)
        (void)event_base_loop(serve.base, EVLOOP_NONBLOCK);
}

/* Reads what there is; returns false at the end. */
static bool take(int fd, size_t *len)
{
    char more[4096];
    for (;;) {
        ssize_t n = recv(fd, more, sizeof(more), 0);
        if (n < 0)
            return true;
        if (n == 0)
            return false;
        size_t room = ANSWER_MAX - *len;
        size_t kept = (size_t)n < room ? (size_t)n : room;
        memcpy(answer + *len, more, kept);
        *len += kept;
    }
}

/* The first answer is one of ours; the others begin where its body ends. */
static void check_answer(size_t len)
{
    answer[len] = '\0';
    if (len == 0)
        return;
    assert(strncmp(answer, "HTTP/1.", 7) == 0);
    const char *end = strstr(answer, "\r\n\r\n");
    assert(end != NULL);
    if (strncmp(answer + 9, "100", 3) == 0) {
        check_answer(0);
        return;
    }
    long status = strtol(answer + 9, NULL, 10);
    assert(status >= 200 && status < 600);
    const char *header = strstr(answer, "\r\nX-Content-Type-Options: nosniff");
    assert(header != NULL && header < end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = 0, done = 1;
    bool open = true;
    loop_role_assert();
    if (serve.base == NULL)
        begin();
    if (size == 0)
        return 0;
    size_t chunk = data[0] == 0 ? size : data[0];
    if (size / chunk > CHUNKS_MAX)
        chunk = size / CHUNKS_MAX + 1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (const struct sockaddr *)&place, sizeof(place));
    assert(fd >= 0 && rc == 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    while (open && done < size) {
        size_t n = size - done < chunk ? size - done : chunk;
        ssize_t sent = send(fd, data + done, n, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        done += (size_t)sent;
        turn();
        open = take(fd, &len);
    }
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; open && i < TURNS_MAX; i++) {
        turn();
        open = take(fd, &len);
    }
    assert(!open);
    (void)close(fd);
    turn();
    check_answer(len);
    assert(server_is_empty(serve.server));
    assert(serve.server->held == 0);
    return 0;
}
