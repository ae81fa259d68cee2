/*
 * Scenarios: what handlers do, what is done to them, and what strangers push.
 *
 * Thread: the test's.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "common/base/buf.h"
#include "tests/faults/scenarios.h"

/* ---- killed ---- */

/*
 * Kills a process only if it runs the handler, whatever its number was, and
 * waits for its end.
 */
static bool kill_handler(int pid)
{
    char link[64], program[BATTLE_PATH_MAX];
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return false;
    (void)snprintf(link, sizeof(link), "/proc/%d/exe", pid);
    ssize_t n = readlink(link, program, sizeof(program) - 1);
    bool ours = n > 0 && (size_t)n == strlen(BATTLE_HANDLER_BIN) &&
                memcmp(program, BATTLE_HANDLER_BIN, (size_t)n) == 0;
    bool killed =
        ours && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    struct pollfd end = {.fd = fd, .events = POLLIN};
    if (killed)
        (void)poll(&end, 1, BATTLE_PATIENCE_MS);
    (void)close(fd);
    return killed;
}

/* The newest that runs, plus 1; 0: there was none. */
static size_t kill_newest(struct battle *b)
{
    size_t n;
    struct run *runs = record_read(b->record, &n);
    while (n > 0 && (runs[n - 1].exit >= 0 || !kill_handler(runs[n - 1].pid)))
        n--;
    free(runs);
    return n;
}

/*
 * What was hit behind its last line may have ended by itself, and is no
 * strike. Handlers are short and may all be gone when we come: then there have
 * to be more jobs, or the battle would wait for ever for the next handler.
 */
static bool has_killed_one(void *arg)
{
    struct battle *b = arg;
    size_t n, hit = kill_newest(b);
    if (hit == 0) {
        battle_top_up(b);
        return false;
    }
    struct run *runs = record_read(b->record, &n);
    bool killed = runs[hit - 1].exit < 0;
    free(runs);
    return killed;
}

void strike_kill_handler(struct battle *b)
{
    battle_say(b, "kill -9 of a running handler");
    battle_await(b, "a handler to kill", has_killed_one, b);
}

static void judge_kill_handler(struct battle *b)
{
    if (battle_stat(b, "retried") + battle_stat(b, "dead") < b->strikes)
        battle_breach(b, "%u handlers were killed, %lld jobs tried again",
                      b->strikes, battle_stat(b, "retried"));
}

/* ---- misbehaving ---- */

static void judge_bad_handlers(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "a handler took its worker's lease");
}

/* ---- strangers: envelopes ---- */

static void push_bytes(struct battle *b, const char *bytes, size_t len)
{
    redisReply *reply = redis_cmd(b->redis, "RPUSH belt:{q} %b", bytes, len);
    freeReplyObject(reply);
}

static void push_long(struct battle *b, const char *before, char fill, size_t n,
                      const char *after)
{
    struct buf out = {0};
    buf_str(&out, before);
    buf_reserve(&out, n);
    for (size_t i = 0; i < n; i++)
        buf_char(&out, fill);
    buf_str(&out, after);
    push_bytes(b, out.data, out.len);
    buf_done(&out);
}

enum { HOSTILE = 10 };

void strike_hostile(struct battle *b)
{
    static const char *const small[] = {
        "",
        "not JSON",
        "{}",
        "[1,2,3]",
        "{\"type\":7}",
        "{\"id\":\"a\nb\",\"type\":\"x\"}",
        "{\"id\":\"\x1b]0;owned\x07\",\"type\":\"x\"}"};
    static const char with_nul[] = "{\"type\":\"x\0\",\"payload\":1}";
    battle_say(b, "%d envelopes that are none", HOSTILE);
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
        push_bytes(b, small[i], strlen(small[i]));
    push_bytes(b, with_nul, sizeof(with_nul) - 1);
    push_long(b, "{\"type\":\"battle\",\"payload\":", '[', 10000, "");
    push_long(b, "{\"type\":\"", 'x', 1 << 20, "\"}");
}

static void judge_hostile(struct battle *b)
{
    long long wanted = (long long)b->strikes * HOSTILE;
    if (battle_stat(b, "invalid") != wanted)
        battle_breach(b, "%lld invalid envelopes are dead, %lld were pushed",
                      battle_stat(b, "invalid"), wanted);
    if (battle_stat(b, "reaped") != 0)
        battle_breach(b, "an envelope took a worker's lease");
}

/* ---- strangers: HTTP ---- */

enum { CLIENTS = 40 };

static int connect_to(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* What it said of the address that it listens at; 0: nothing. */
static int port_of(const struct fighter *f)
{
    int port = 0;
    char *line = NULL;
    size_t cap = 0;
    FILE *log = fopen(worker_log(f->w), "re");
    while (log != NULL && getline(&line, &cap, log) >= 0) {
        const char *at = strstr(line, "ev=listen ");
        const char *colon = at != NULL ? strstr(at, "127.0.0.1:") : NULL;
        if (colon != NULL)
            port = atoi(colon + strlen("127.0.0.1:"));
    }
    free(line);
    if (log != NULL)
        (void)fclose(log);
    return port;
}

/* Half requests, garbage, and silence, left open while jobs run. */
static void strike_http(struct battle *b)
{
    static const char *const texts[] = {
        "GET /metrics HT", "", "\x16\x03\x01garbage\r\n\r\n",
        "POST /livez HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"};
    int fds[CLIENTS], port = port_of(&b->army[battle_someone(b)]), open = 0;
    battle_say(b, "%d slow and malformed HTTP clients", CLIENTS);
    if (port == 0)
        battle_breach(b, "a worker said no address");
    for (unsigned i = 0; i < CLIENTS; i++) {
        const char *text = texts[i % (sizeof(texts) / sizeof(texts[0]))];
        fds[i] = connect_to(port);
        open += fds[i] >= 0;
        if (fds[i] >= 0)
            (void)send(fds[i], text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (open == 0)
        battle_breach(b, "nobody could connect");
    battle_await_starts(b, 30);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
}

static void judge_http(struct battle *b)
{
    if (battle_stat(b, "reaped") != 0 || battle_said(b, "ev=rebind") != 0)
        battle_breach(b, "HTTP clients disturbed the work");
}

static const struct kind slow_kinds[] = {
    {"sleep:30", 80}, {"ok", 20}, {NULL, 0}};
static const struct kind bad_kinds[] = {
    {"ok", 70},   {"flood:2", 5}, {"deaf:30000", 3}, {"fork", 7},
    {"close", 8}, {"leak", 5},    {"crash:1", 2},    {NULL, 0}};
static const char *const short_timeout[] = {"--timeout", "3s", NULL};
static const char *const listening[] = {"--listen", "127.0.0.1:0", NULL};

const struct scenario scenarios_handler[] = {
    {.name = "kill-handler",
     .what = "SIGKILL of a running handler",
     .jobs = 10000,
     .short_jobs = 300,
     .jobs_per_strike = 30,
     .no_reruns = true,
     .kills_handlers = true,
     .kinds = slow_kinds,
     .strike = strike_kill_handler,
     .judge = judge_kill_handler},
    {.name = "bad-handlers",
     .what = "handlers that flood, ignore TERM, fork away, close pipes, leak",
     .jobs = 3000,
     .short_jobs = 200,
     .flags = short_timeout,
     .kinds = bad_kinds,
     .no_reruns = true,
     .kills_handlers = true, /* by their timeout */
     .judge = judge_bad_handlers},
    {.name = "hostile",
     .what = "malformed, huge and hostile envelopes among the jobs",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 60,
     .no_reruns = true,
     .strike = strike_hostile,
     .judge = judge_hostile},
    {.name = "slow-http",
     .what = "slow and malformed clients at the workers' HTTP endpoints",
     .jobs = 5000,
     .short_jobs = 300,
     .jobs_per_strike = 60,
     .flags = listening,
     .no_reruns = true,
     .strike = strike_http,
     .judge = judge_http},
    {.name = NULL}};
