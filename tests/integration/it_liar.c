/*
 * Claims about a real worker whose server lies: whatever it is answered, the
 * worker goes on asking, does not crash, and ends when it is told to.
 *
 * The server is on the test's own loop. It answers most commands as Redis
 * might, with jobs and numbers at random, some with an answer of another
 * command, an error or a number that cannot be, and cuts a few in the middle.
 * What it says depends on a seed; BELT_TEST_SEED=N adds N to those of the
 * tests.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/reader.h"
#include "common/redis/script.h"
#include "tests/integration/manager.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum {
    COMMANDS = 1500, /* answered before the worker is told to end */
    LIES = 100,      /* of so many answers one is a lie, */
    CUTS = 400,      /* and of so many one is cut */
    PATIENCE_MS = 90 * 1000,
    COMMAND_MAX = 1 << 20,
};

struct peer {
    LIST_ENTRY(peer) link;
    struct liar *liar;
    struct bufferevent *bev;
    struct reader *commands; /* they look like replies */
};

struct liar {
    struct redis *redis; /* lends its directory; nobody talks to it */
    struct event_base *base;
    struct evconnlistener *listener;
    struct worker *worker;
    struct manager *manager;
    char *url, *path;
    uint64_t random;
    unsigned answered, lies, cuts;
    bool honest;  /* from now on */
    bool starves; /* tells that jobs wait, and brings none */
    LIST_HEAD(, peer) peers;
};

static uint64_t rnd(struct liar *l, uint64_t n)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random % n;
}

#define PICK(l, a) (a)[rnd((l), sizeof(a) / sizeof((a)[0]))]

/* ---- what it says ---- */

static void say_int(struct buf *out, int64_t n)
{
    buf_printf(out, ":%lld\r\n", (long long)n);
}

static void say_text(struct buf *out, const char *text)
{
    buf_printf(out, "$%zu\r\n%s\r\n", strlen(text), text);
}

static void say_job(struct liar *l, struct buf *out)
{
    static const char *const jobs[] = {
        "{\"id\":\"j1\",\"type\":\"x\",\"payload\":1}",
        "{\"id\":\"j2\",\"type\":\"x\",\"keep\":1000}",
        "{\"id\":\"j3\",\"type\":\"nope\"}",
        "{\"id\":\"j4\",\"type\":\"fail\",\"attempt\":2,\"max_attempts\":3}",
        "{\"recovered\":[[1764000000000],2,3],\"id\":\"j5\",\"type\":\"x\"}",
        "{\"type\":\"x\"}",
        "{\"id\":\"j6\",\"type\":\"x\",\"backoff\":[1]}",
        "no job",
        "\xff",
        "",
    };

    say_text(out, PICK(l, jobs));
}

static void say_number(struct liar *l, struct buf *out)
{
    static const int64_t odd[] = {-1,        999,       15000,
                                  INT64_MIN, INT64_MAX, INT64_C(1) << 53};

    say_int(out, rnd(l, 50) == 0 ? PICK(l, odd) : (int64_t)rnd(l, 4));
}

static void say_lie(struct liar *l, struct buf *out)
{
    static const char *const lies[] = {
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "+OK\r\n",
        ":-9223372036854775808\r\n",
        "-\r\n",
        "-ERR x\r\n",
        "-OOM x\r\n",
        "-NOSCRIPT x\r\n",
        "-LOADING x\r\n",
        "-READONLY x\r\n",
        "-UNBLOCKED x\r\n",
        "-WRONGTYPE x\r\n",
        "*1\r\n$6\r\nFENCED\r\n",
        "*1\r\n$7\r\nREFUSED\r\n",
        "*1\r\n$5\r\nTAKEN\r\n",
        "*2\r\n$6\r\nFORMAT\r\n:9\r\n",
        "*1\r\n$6\r\nPAUSED\r\n",
        "*2\r\n$4\r\nMORE\r\n:9223372036854775807\r\n",
        "*3\r\n$4\r\nMORE\r\n:1\r\n*1\r\n:1\r\n",
        "*3\r\n$2\r\nOK\r\n:1\r\n*0\r\n",
        "*2147483647\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
    };

    buf_str(out, PICK(l, lies));
}

static void say_jobs(struct liar *l, struct buf *out, unsigned n)
{
    while (n-- > 0)
        say_job(l, out);
}

static void say_renew(struct liar *l, struct buf *out)
{
    static const char *const lanes[] = {"", "h-1-x.1", "{\xff}\x1b[31m"};

    buf_str(out, "*14\r\n+OK\r\n");
    say_int(out, clock_wall_ms());
    for (int i = 0; i < 4; i++)
        say_number(l, out);
    say_int(out, rnd(l, 30) == 0);
    say_number(l, out);
    say_number(l, out);
    say_text(out, PICK(l, lanes));
    for (int i = 0; i < 4; i++)
        say_number(l, out);
}

static void say_script(struct liar *l, struct buf *out, enum script s)
{
    static const char *const pushed[] = {"OK", "SAME", "HELD", "FULL", "OTHER"};
    static const char *const ticked[] = {"OK", "SKIPPED", "STALE"};
    static const char *const reaped[] = {"ALIVE", "NONE", "FORGOTTEN", "OK"};
    unsigned n = (unsigned)rnd(l, 4);

    switch (s) {
    case SCRIPT_push_one:
        buf_printf(out, "*2\r\n+%s\r\n", PICK(l, pushed));
        say_number(l, out);
        break;
    case SCRIPT_tick:
        buf_printf(out, "*2\r\n+%s\r\n", PICK(l, ticked));
        say_number(l, out);
        break;
    case SCRIPT_register:
        buf_str(out, "*2\r\n+OK\r\n");
        say_int(out, clock_wall_ms());
        break;
    case SCRIPT_fetch:
        buf_printf(out, "*%u\r\n+%s\r\n:7\r\n", n + 3,
                   rnd(l, 2) == 0 ? "MORE" : "EMPTY");
        say_number(l, out);
        say_jobs(l, out, n);
        break;
    case SCRIPT_fetch_bulk:
        buf_printf(out, "*5\r\n+%s\r\n:7\r\n",
                   rnd(l, 2) == 0 ? "MORE" : "EMPTY");
        say_int(out, n);
        say_int(out, rnd(l, 10) == 0);
        say_number(l, out);
        break;
    case SCRIPT_rebind:
        buf_printf(out, "*%u\r\n+OK\r\n", n + 3);
        say_int(out, clock_wall_ms());
        say_number(l, out);
        say_jobs(l, out, n);
        break;
    case SCRIPT_renew:
        say_renew(l, out);
        break;
    case SCRIPT_promote:
        buf_str(out, "*3\r\n");
        say_number(l, out);
        say_number(l, out);
        say_int(out, clock_wall_ms());
        break;
    case SCRIPT_reap:
        buf_printf(out, "*3\r\n+%s\r\n", PICK(l, reaped));
        say_number(l, out);
        say_number(l, out);
        break;
    default:
        buf_str(out, "*2\r\n+OK\r\n");
        say_number(l, out);
        break;
    }
}

/* Returns false: the answer is any. */
static bool say_starving(struct buf *out, const struct reply *command)
{
    const struct reply *verb = reply_at(command, 0), *sha;

    sha = reply_at(command, 1);
    if (reply_str_is(verb, "BLMOVE"))
        return true; /* not answered */
    if (!reply_str_is(verb, "EVALSHA"))
        return false;
    if (reply_str_is(sha, script_sha(SCRIPT_fetch))) {
        buf_str(out, "*3\r\n+EMPTY\r\n:7\r\n:0\r\n");
        return true;
    }
    if (reply_str_is(sha, script_sha(SCRIPT_rebind))) {
        buf_str(out, "*3\r\n+OK\r\n:0\r\n:0\r\n");
        return true;
    }
    if (!reply_str_is(sha, script_sha(SCRIPT_renew)))
        return false;
    buf_str(out, "*14\r\n+OK\r\n");
    say_int(out, clock_wall_ms());
    buf_str(out, ":0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:5\r\n"
                 ":-1\r\n$0\r\n\r\n:15000\r\n:-1\r\n:-1\r\n:0\r\n");
    return true;
}

static void say_answer(struct liar *l, struct buf *out,
                       const struct reply *command)
{
    const struct reply *verb = reply_at(command, 0), *sha;

    if (reply_str_is(verb, "EVALSHA")) {
        sha = reply_at(command, 1);
        int s = 0;
        while (s < SCRIPT_COUNT &&
               !reply_str_is(sha, script_sha((enum script)s)))
            s++;
        say_script(l, out, (enum script)s);
    } else if (reply_str_is(verb, "PING")) {
        buf_str(out, "+PONG\r\n");
    } else if (reply_str_is(verb, "CLIENT")) {
        buf_str(out, ":1\r\n");
    } else if (reply_str_is(verb, "ZRANGE")) { /* who is to be cancelled */
        buf_str(out, "*4\r\n+j1\r\n");
        say_int(out, clock_wall_ms());
        buf_str(out, "+no id\r\n+x\r\n");
    } else if (reply_str_is(verb, "BLMOVE")) {
        say_job(l, out);
    } else if (reply_str_is(verb, "LPOP")) {
        buf_str(out, "*2\r\n");
        say_jobs(l, out, 2);
    } else if (reply_str_is(verb, "BLPOP")) {
        buf_str(out, "*2\r\n+key\r\n");
        say_job(l, out);
    } else if (reply_str_is(verb, "HGETALL")) {
        buf_str(out, "*2\r\n+h-1-x.1\r\n+{\"host\":\"h\",\"pid\":1}\r\n");
    } else {
        say_number(l, out);
    }
}

/* ---- the server ---- */

static void peer_free(struct peer *p)
{
    LIST_REMOVE(p, link);
    reader_free(p->commands);
    bufferevent_free(p->bev);
    free(p);
}

static void on_said(struct bufferevent *bev, void *arg)
{
    struct peer *p = arg;
    struct liar *l = p->liar;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(in);
    const struct reply *command = NULL;
    struct buf out = {0};
    bool cut = false;

    reader_feed(p->commands, (char *)evbuffer_pullup(in, -1), len);
    evbuffer_drain(in, len);
    while (!cut && reader_next(p->commands, &command, NULL) == 0 &&
           command != NULL) {
        size_t before = out.len;
        l->answered++;
        cut = !l->honest && rnd(l, CUTS) == 0;
        bool lie = !l->honest && rnd(l, LIES) == 0;
        if (l->starves && say_starving(&out, command))
            continue;
        if (lie)
            say_lie(l, &out);
        else
            say_answer(l, &out, command);
        if (cut)
            out.len = before + rnd(l, out.len - before);
        l->lies += lie;
        l->cuts += cut;
    }
    if (cut) {
        (void)send(bufferevent_getfd(bev), out.data, out.len, MSG_NOSIGNAL);
        peer_free(p);
    } else if (out.len > 0) {
        bufferevent_write(bev, out.data, out.len);
    }
    buf_done(&out);
}

static void on_gone(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    peer_free(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
                      struct sockaddr *sa, int len, void *arg)
{
    struct liar *l = arg;
    struct peer *p = mem_new(sizeof(*p));

    (void)sa;
    (void)len;
    p->liar = l;
    p->commands = reader_new(COMMAND_MAX);
    p->bev = bufferevent_socket_new(evconnlistener_get_base(listener), fd,
                                    BEV_OPT_CLOSE_ON_FREE);
    LIST_INSERT_HEAD(&l->peers, p, link);
    bufferevent_setcb(p->bev, on_said, NULL, on_gone, p);
    bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

static int setup(void **state)
{
    struct liar *l = mem_new(sizeof(*l));
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    l->redis = redis_start(NULL);
    l->base = event_base_new();
    l->path = mem_printf("%s/liar", redis_dir(l->redis));
    l->url = mem_printf("unix://%s", l->path);
    LIST_INIT(&l->peers);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", l->path);
    l->listener = evconnlistener_new_bind(
        l->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
        16, (struct sockaddr *)&un, sizeof(un));
    *state = l;
    return l->listener != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct liar *l = *state;

    worker_free(l->worker);
    manager_free(l->manager);
    while (!LIST_EMPTY(&l->peers))
        peer_free(LIST_FIRST(&l->peers));
    evconnlistener_free(l->listener);
    event_base_loop(l->base, EVLOOP_NONBLOCK); /* libevent frees its own */
    event_base_free(l->base);
    (void)unlink(l->path);
    redis_stop(l->redis);
    free(l->path);
    free(l->url);
    free(l);
    return 0;
}

/* ---- claims ---- */

static bool has_ended(void *arg)
{
    const struct liar *l = arg;

    return worker_has_ended(l->worker);
}

static bool was_asked_enough(void *arg)
{
    const struct liar *l = arg;

    return (l->answered >= COMMANDS && l->lies > 0 && l->cuts > 0) ||
           has_ended(arg);
}

static void expect_it_lives(struct liar *l, uint64_t seed,
                            const char *const *flags)
{
    const char *argv[16] = {BELT_WORKER_BIN,
                            "-u",
                            l->url,
                            "--threads=3",
                            "--lease=3s",
                            "--drain-timeout=1s",
                            "--log-level=error",
                            "--handler=x=builtin:noop",
                            "--handler=fail=builtin:fail"};

    if (getenv("BELT_TEST_SEED") != NULL)
        seed += strtoull(getenv("BELT_TEST_SEED"), NULL, 10);
    l->random = seed * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = 0; flags[i] != NULL; i++)
        argv[9 + i] = flags[i];
    l->worker = worker_exec(l->redis, argv, NULL);
    bool asked = loop_until(l->base, was_asked_enough, l, PATIENCE_MS);
    if (!asked || has_ended(l))
        fail_msg("seed %d: %u commands, see %s", (int)seed, l->answered,
                 worker_log(l->worker));
    l->honest = true;
    worker_signal(l->worker, SIGTERM);
    assert_true(loop_until(l->base, has_ended, l, PATIENCE_MS));
    int code = worker_wait(l->worker, PATIENCE_MS);
    if (code != EX_OK && code != EX_UNAVAILABLE)
        fail_msg("seed %d: exit code %d", (int)seed, code);
    print_message("  %u answers, %u lies, %u cuts\n", l->answered, l->lies,
                  l->cuts);
}

static void a_worker_survives_a_liar(void **state)
{
    expect_it_lives(*state, 1, (const char *const[]){"-q", "a", NULL});
}

static void with_weights_and_fences(void **state)
{
    expect_it_lives(*state, 2,
                    (const char *const[]){"-q", "a:2,b:1", "--fence", NULL});
}

static void at_most_once(void **state)
{
    expect_it_lives(
        *state, 3,
        (const char *const[]){"-q", "a,b", "--delivery=at-most-once", NULL});
}

static bool gave_up(void *arg)
{
    const struct liar *l = arg;

    (void)manager_heard(l->manager); /* it has room for a few only */
    return worker_said(l->worker, "ev=stuck") || has_ended(arg);
}

/*
 * Bound, with room, told by each renewal that jobs wait: none comes, and to
 * bind again does not help. Its loop turns, but it says that it is stuck, and
 * gives its manager no sign of life any more.
 */
static void a_worker_that_gets_none_of_the_jobs_notices_it(void **state)
{
    struct liar *l = *state;
    struct manager *m = manager_new(l->redis);

    l->manager = m;
    l->starves = l->honest = true;
    l->worker = manager_exec(
        m,
        (const char *const[]){BELT_WORKER_BIN, "-u", l->url, "--lease=3s",
                              "--handler=x=builtin:noop", NULL},
        200 * 1000);
    assert_true(loop_until(l->base, gave_up, l, PATIENCE_MS));
    assert_false(has_ended(l));
    assert_true(manager_count(m, "READY=1") == 1);
    assert_true(manager_count(m, "WATCHDOG=1") > 10);
    assert_true(worker_said(l->worker, "queue=default"));
    unsigned before = manager_count(m, "WATCHDOG=1");
    /* For three limits. */
    assert_false(loop_until(l->base, has_ended, l, 600));
    assert_int_equal(manager_count(m, "WATCHDOG=1"), before);
    assert_int_equal(manager_count(m, "STATUS=0 of 4 busy; default; stuck"), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_worker_survives_a_liar),
        T(with_weights_and_fences),
        T(at_most_once),
        T(a_worker_that_gets_none_of_the_jobs_notices_it),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
