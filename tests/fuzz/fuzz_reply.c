/*
 * Fuzzer: what a hostile or broken server may send, through the connection.
 *
 * The server is a socket of this process; it sends the bytes of the input in
 * chunks, closes when the input says so, and does not care what it was asked.
 * Whatever it sends: each call is answered exactly once, in order, as done,
 * refused or unknown, and never from inside; what was refused was not sent;
 * after a close nothing comes; memory stays within what the longest reply is
 * allowed; all bytes are taken, and everything ends.
 *
 * Input: flags, calls, reaction, limit (see begin), then the server's bytes.
 * MARK and one more byte stand for an event (see happen).
 *
 * Thread: the fuzzer's only one, which is the loop thread.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/sockios.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/fuzz/reply_calls.h"

enum {
    MARK = 0xff,
    HEADER = 4,
    CALLS_MAX = 32,
    SESSIONS_MAX = 3,
    TURNS_MAX = 10000,
    SMALL_CHUNKS = 64, /* what is left then comes at once */
    RUN_UNIT = 5000,   /* 31 of them still fit into the socket */
    REPLY_SMALL = 700,
    REPLY_BIG = 64 * 1024,
    FEED_BYTES = 16 * 1024, /* taken at a time, and then judged */
    /* Buffers of both sides, scripts on their way, libevent's own. */
    MEMORY_SLACK = 768 * 1024,
};

enum reaction { CLOSE = 1, REOPEN, RESTART, CALL, CLOSE_CALL, CALL_EACH };

struct input; /* one at a time */

struct call {
    struct input *in;
    unsigned kind;
    bool answered, refused;
    char marker[16];
};

struct input {
    struct conn *c;
    struct conn_config cfg;
    const uint8_t *p, *end; /* what the server still has to send */
    size_t chunk;
    unsigned small_chunks;
    bool greets; /* the server sends what a good one would, first */

    int peer; /* the server's end; -1: none */
    unsigned sessions;
    struct buf said; /* by the connection, in all sessions */

    struct call calls[CALLS_MAX];
    unsigned asked, answered, at_first;
    unsigned kind, last_plain;
    unsigned react_at;
    enum reaction reaction;
    bool inside, closed, read_failed;
    size_t memory; /* before it began */
};

static struct event_base *base;
static int listener = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void on_answer(void *arg, int err, const struct reply *r);
static void on_up(void *arg);
static void on_down(void *arg, int err, const char *why);

/*
 * Takes the place of random_below (ulid.h) in this program: no pause before a
 * reconnect, and the same input does the same each time.
 */
uint64_t __wrap_random_below(uint64_t n);

uint64_t __wrap_random_below(uint64_t n)
{
    assert(n > 0);
    return 0;
}

/* ---- memory ---- */

/* What a sanitizer counts, where there is one; else what malloc does. */
size_t sanitizer_bytes(void) __asm__("__sanitizer_get_current_allocated_bytes")
    __attribute__((weak));

static size_t allocated(void)
{
    struct mallinfo2 m;

    if (sanitizer_bytes != NULL)
        return sanitizer_bytes();
    m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* A reply is held as bytes, in a buffer that doubles, and as objects. */
static void check_memory(const struct input *in)
{
    size_t now = allocated();

    assert(now <= in->memory ||
           now - in->memory <= 6 * in->cfg.reply_max_bytes + MEMORY_SLACK);
}

/* ---- calls ---- */

static void make_call(struct input *in, unsigned kind) ON_LOOP
{
    struct call *k = &in->calls[in->asked];

    if (in->asked == CALLS_MAX)
        return;
    *k = (struct call){.in = in, .kind = kind % CALL_KINDS};
    (void)snprintf(k->marker, sizeof(k->marker), "call-%u.", in->asked);
    bool up = conn_is_up(in->c);
    in->asked++;
    in->inside = true;
    int rc = call_send(in->c, kind, k->marker, on_answer, k);
    in->inside = false;
    assert(rc == (up ? 0 : ERR_REFUSED));
    if (rc != 0)
        in->asked--; /* its callback will not run */
}

static void close_conn(struct input *in) ON_LOOP
{
    in->closed = true;
    conn_close(in->c);
    assert(!conn_is_up(in->c));
}

static void open_conn(struct input *in) ON_LOOP
{
    if (in->sessions == SESSIONS_MAX)
        return;
    in->closed = false;
    conn_open(in->c);
}

static void react(struct input *in) ON_LOOP
{
    bool now = in->answered == in->react_at;

    if (in->reaction == CALL_EACH)
        make_call(in, in->kind++);
    if (!now)
        return;
    switch (in->reaction) {
    case CLOSE:
        close_conn(in);
        break;
    case REOPEN:
        close_conn(in);
        open_conn(in);
        break;
    case RESTART:
        in->closed = false;
        conn_restart(in->c);
        break;
    case CLOSE_CALL:
        close_conn(in);
        make_call(in, in->kind++);
        break;
    case CALL:
    default:
        make_call(in, in->kind++);
        break;
    }
}

static void on_answer(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct call *k = arg;
    struct input *in = k->in;

    assert(!in->inside && !k->answered);
    k->answered = true;
    in->answered++;
    assert(err == 0 ? r != NULL : r == NULL);
    assert(err == 0 || err == ERR_REFUSED || err == ERR_UNKNOWN);
    k->refused = err == ERR_REFUSED;
    /* Scripts may be sent once more, behind others. */
    if (k->kind == CALL_PLAIN) {
        unsigned index = (unsigned)(k - in->calls) + 1;
        assert(index > in->last_plain);
        in->last_plain = index;
    }
    check_memory(in);
    if (err == 0 || !in->read_failed) {
        size_t bytes = call_read(err, r);
        assert(bytes <= in->cfg.reply_max_bytes + FEED_BYTES);
    }
    in->read_failed = in->read_failed || err != 0;
    react(in);
}

static void on_up(void *arg)
{
    loop_role_assert();
    struct input *in = arg;

    assert(!in->closed && conn_is_up(in->c));
    for (unsigned i = 0; i < in->at_first && conn_is_up(in->c); i++)
        make_call(in, in->kind++);
}

static void on_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    struct input *in = arg;

    assert(!in->closed && !conn_is_up(in->c));
    assert(err < 0 && strlen(why) < sizeof(struct errbuf));
}

/* ---- the server ---- */

static void hear(struct input *in)
{
    ssize_t n = 1;

    while (in->peer >= 0 && n > 0) {
        char chunk[16384];
        n = recv(in->peer, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n > 0)
            buf_append(&in->said, chunk, (size_t)n);
        /* The end, or a reset because of what it did not read. */
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close(in->peer);
            in->peer = -1;
        }
    }
}

/* Runs the loop until the connection has taken all that was sent. */
static void settle_down(struct input *in)
{
    int untaken = 0, turns = 0;

    do {
        event_base_loop(base, EVLOOP_NONBLOCK);
        hear(in);
        check_memory(in);
        if (in->peer < 0 || ioctl(in->peer, SIOCOUTQ, &untaken) != 0)
            untaken = 0;
        assert(turns++ < TURNS_MAX);
    } while (untaken > 0);
}

static void say(struct input *in, const void *p, size_t n)
{
    const char *bytes = p;
    ssize_t put = 0;

    while (in->peer >= 0 && n > 0 && put >= 0) {
        put = send(in->peer, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0) {
            bytes += put;
            n -= (size_t)put;
        }
        settle_down(in);
    }
}

static void greet(struct input *in)
{
    const struct url *u = &in->cfg.url;

    if (u->password[0] != '\0')
        say(in, "+OK\r\n", 5);
    say(in, "+PONG\r\n", 7);
    if (u->db != 0)
        say(in, "+OK\r\n", 5);
    if (in->cfg.name != NULL)
        say(in, "+OK\r\n", 5);
}

/* Waits for the next session unless one is on. Returns whether there is one. */
static bool in_session(struct input *in) ON_LOOP
{
    if (in->peer >= 0)
        return true;
    for (int turns = 0; in->peer < 0; turns++) {
        if (in->sessions == SESSIONS_MAX)
            return false;
        assert(turns < TURNS_MAX);
        in->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (in->peer >= 0)
            break;
        open_conn(in);
        event_base_loop(base, EVLOOP_ONCE);
    }
    in->sessions++;
    settle_down(in);
    if (in->greets)
        greet(in);
    return true;
}

static void say_run(struct input *in, size_t n)
{
    char run[31 * RUN_UNIT];

    assert(n <= sizeof(run));
    memset(run, 'x', n);
    say(in, run, n);
}

static void happen(struct input *in, uint8_t what) ON_LOOP
{
    switch (what % 8) {
    case 0: /* the server closes */
        if (in->peer >= 0)
            close(in->peer);
        in->peer = -1;
        settle_down(in);
        break;
    case 1:
    case 2:
    case 3:
        make_call(in, what / 8);
        break;
    case 4:
        close_conn(in);
        assert(in->answered == in->asked);
        settle_down(in);
        break;
    case 5:
        in->closed = false;
        conn_restart(in->c);
        settle_down(in);
        break;
    case 6: /* the byte itself */
        say(in, &(uint8_t){MARK}, 1);
        break;
    default: /* many bytes, or none and so a pause between two chunks */
        settle_down(in);
        say_run(in, (size_t)(what / 8) * RUN_UNIT);
        break;
    }
}

static void say_next(struct input *in)
{
    size_t left = (size_t)(in->end - in->p);
    const uint8_t *mark = memchr(in->p, MARK, left);
    size_t n = mark != NULL ? (size_t)(mark - in->p) : left;

    if (n > in->chunk && in->small_chunks++ < SMALL_CHUNKS)
        n = in->chunk;
    say(in, in->p, n);
    in->p += n;
}

/* ---- one input ---- */

static bool start_up(void)
{
    struct event_config *ec = event_config_new();

    /* A name in no directory, so that nothing is left behind. */
    (void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                   "belt-fuzz-reply-%d", (int)getpid());
    (void)signal(SIGPIPE, SIG_IGN);
    event_config_set_flag(ec, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(ec);
    event_config_free(ec);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return base != NULL && listener >= 0 &&
           bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(listener, 16) == 0;
}

static void begin(struct input *in, const uint8_t *data, size_t size) ON_LOOP
{
    static const size_t chunks[] = {SIZE_MAX, 1, 2, 3, 7, 16, 64, 250};
    uint8_t flags = data[0];

    *in = (struct input){.peer = -1, .p = data + HEADER, .end = data + size};
    in->cfg = (struct conn_config){
        .reconnect_max_ms = 1, .on_up = on_up, .on_down = on_down, .arg = in};
    in->cfg.url.is_unix = true;
    memcpy(in->cfg.url.path, address.sun_path, sizeof(in->cfg.url.path));
    if ((flags & 3) != 0)
        (void)snprintf(in->cfg.url.password, 8, "secret");
    if ((flags & 3) == 2)
        (void)snprintf(in->cfg.url.user, 8, "me");
    in->cfg.url.db = (flags & 4) != 0 ? 7 : 0;
    in->cfg.name = (flags & 8) != 0 ? "fuzz" : NULL;
    in->greets = (flags & 16) == 0;
    in->chunk = chunks[flags >> 5];
    in->at_first = data[1] & 15;
    in->kind = data[1] >> 4;
    in->react_at = data[2] & 15;
    in->reaction = (enum reaction)(data[2] >> 5);
    in->cfg.reply_max_bytes = (data[3] & 1) != 0 ? REPLY_SMALL : REPLY_BIG;
    in->memory = allocated();
    in->c = conn_new(base, &in->cfg);
}

/* Ends it, and checks what can be told only then. */
static void finish(struct input *in) ON_LOOP
{
    in->closed = true;
    in->reaction = CALL; /* refused now */
    conn_free(in->c);
    assert(in->answered == in->asked);
    hear(in);
    if (in->peer >= 0)
        close(in->peer);
    for (unsigned i = 0; i < in->asked; i++) {
        const struct call *k = &in->calls[i];
        assert(k->answered);
        if (k->kind == CALL_PLAIN && k->refused && in->said.len > 0)
            assert(memmem(in->said.data, in->said.len, k->marker,
                          strlen(k->marker)) == NULL);
    }
    buf_done(&in->said);
    event_base_loop(base, EVLOOP_NONBLOCK); /* libevent frees its own */
    assert(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED |
                                               EVENT_BASE_COUNT_ACTIVE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct input in; /* callbacks point into it */

    loop_role_bind();
    if (base == NULL && !start_up())
        abort();
    if (size < HEADER)
        return 0;
    begin(&in, data, size);
    while (in.p < in.end && in_session(&in)) {
        if (*in.p == MARK) {
            happen(&in, in.end - in.p > 1 ? in.p[1] : 6);
            in.p += in.end - in.p > 1 ? 2 : 1;
        } else {
            say_next(&in);
        }
    }
    finish(&in);
    return 0;
}
