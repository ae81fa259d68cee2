/*
 * Claims about a connection to a server that misbehaves: says nonsense, says
 * nothing, says too much, or is not there.
 *
 * The server is a listener on the test's own loop, with a script: what it
 * says to the first bytes of each connection, and to all that come later.
 */
#include "common/redis/conn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/conn_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { PEERS_MAX = 64 };

static char dir[64], path[80];

struct fake {
    struct fixture *f;
    struct evconnlistener *listener;
    const char *first, *later; /* NULL: silence */
    bool close_after_first;
    struct peer {
        struct fake *fake;
        struct bufferevent *bev;
        bool greeted;
    } peers[PEERS_MAX];
    int accepted;
};

static void on_peer_said(struct bufferevent *bev, void *arg)
{
    struct peer *p = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    const char *line = p->greeted ? p->fake->later : p->fake->first;

    evbuffer_drain(in, evbuffer_get_length(in));
    p->greeted = true;
    if (line)
        bufferevent_write(bev, line, strlen(line));
}

static void on_peer_written(struct bufferevent *bev, void *arg)
{
    struct peer *p = arg;

    if (p->fake->close_after_first && p->greeted) {
        bufferevent_free(bev);
        p->bev = NULL;
    }
}

static void on_peer_gone(struct bufferevent *bev, short what, void *arg)
{
    struct peer *p = arg;

    (void)what;
    bufferevent_free(bev);
    p->bev = NULL;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd,
                      struct sockaddr *sa, int len, void *arg)
{
    struct fake *fake = arg;

    (void)sa;
    (void)len;
    if (fake->accepted == PEERS_MAX) {
        close(fd);
        return;
    }
    struct peer *p = &fake->peers[fake->accepted++];
    p->fake = fake;
    p->bev = bufferevent_socket_new(evconnlistener_get_base(l), fd,
                                    BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(p->bev, on_peer_said, on_peer_written, on_peer_gone, p);
    bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

static void fake_listen(struct fake *fake)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    memcpy(un.sun_path, path, strlen(path) + 1);
    fake->listener = evconnlistener_new_bind(
        fake->f->base, on_accept, fake, LEV_OPT_CLOSE_ON_FREE, 16,
        (struct sockaddr *)&un, sizeof(un));
    assert_non_null(fake->listener);
}

static void garbage_takes_it_down_and_backs_off(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "HTTP/1.1 400 Bad Request\r\n\r\n";
    fake_listen(fake);
    int64_t began_ms = clock_ms();
    fixture_open(f);
    fixture_wait_downs(f, 5);
    /* At least half of 50, 100, 200 and 400, less the clock's grain. */
    assert_true(clock_ms() - began_ms >= 370);
    assert_int_equal(f->ups, 0);
    assert_int_equal(f->down_err, ERR_REDIS);
    assert_int_equal(strncmp(f->why, "Protocol error", 14), 0);
}

static void open_again(struct fixture *f)
{
    loop_role_assert();
    conn_close(f->c);
    conn_open(f->c);
}

static void reopening_does_not_shorten_the_pause(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    f->when_down = open_again; /* and nobody listens */
    int64_t began_ms = clock_ms();
    fixture_open(f);
    fixture_wait_downs(f, 5);
    assert_true(clock_ms() - began_ms >= 370);
    assert_int_equal(f->down_err, ERR_SYSTEM);
}

static void the_pause_has_a_limit(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    f->cfg.reconnect_max_ms = 4;
    fixture_open(f);
    fixture_wait_downs(f, 50); /* doubling, these would take an age */
    assert_int_equal(f->ups, 0);
}

static void silence_in_the_greeting_times_out(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake_listen(fake);
    f->cfg.connect_timeout_ms = 100;
    fixture_open(f);
    fixture_wait_downs(f, 2);
    assert_int_equal(f->down_err, ERR_TIMEOUT);
    assert_true(fake->accepted >= 2);
}

static void silence_later_times_out(void **state)
{
    static const char *const words[] = {"GET", "x", NULL};
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = fixture_call_until(f, words, clock_ms() + 100, false);
    fixture_wait_answers(f);
    assert_int_equal(a->err, ERR_UNKNOWN);
    assert_int_equal(f->down_err, ERR_TIMEOUT);
    fixture_wait_ups(f, 2);
}

/* The first half comes well before its deadline, however busy we are. */
enum { HALF = 600 * 1000, WHOLE = 1000 * 1000, HALF_MS = 1000 };

/* The fake answers GET with the first half of a string. */
static struct answer *ask_for_half(struct fake *fake) ON_LOOP;

static struct answer *ask_for_half(struct fake *fake)
{
    static const char *const words[] = {"GET", "x", NULL};
    static char half[HALF + 16];

    int n = snprintf(half, sizeof(half), "$%d\r\n", WHOLE);
    memset(half + n, 'x', HALF);
    half[n + HALF] = '\0';
    fake->first = "+PONG\r\n";
    fake->later = half;
    fake_listen(fake);
    fixture_up(fake->f);
    return fixture_call_until(fake->f, words, clock_ms() + HALF_MS, false);
}

static bool is_past(void *arg)
{
    return clock_ms() > *(const int64_t *)arg;
}

static void a_reply_on_its_way_is_waited_for(void **state)
{
    static char rest[WHOLE - HALF + 2];
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    struct answer *a = ask_for_half(fake);
    int64_t later_ms = clock_ms() + HALF_MS + 100;
    assert_true(loop_until(f->base, is_past, &later_ms, PATIENCE_MS));
    assert_int_equal(f->answered, 0);
    memset(rest, 'x', sizeof(rest) - 2);
    memcpy(rest + sizeof(rest) - 2, "\r\n", 2);
    bufferevent_write(fake->peers[0].bev, rest, sizeof(rest));
    fixture_wait_answers(f);
    assert_int_equal(a->err, 0);
    assert_int_equal(a->len, WHOLE);
    assert_int_equal(f->downs, 0);
}

static void a_reply_that_stands_still_times_out(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    struct answer *a = ask_for_half(fake);
    fixture_wait_answers(f);
    assert_int_equal(a->err, ERR_UNKNOWN);
    assert_int_equal(f->down_err, ERR_TIMEOUT);
}

static void loading_is_told_and_tried_again(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "-LOADING Redis is loading the dataset in memory\r\n";
    fake_listen(fake);
    fixture_open(f);
    fixture_wait_downs(f, 2);
    assert_int_equal(f->down_err, ERR_REDIS);
    assert_int_equal(strncmp(f->why, "LOADING", 7), 0);
    fake->first = "+PONG\r\n";
    fixture_wait_ups(f, 1);
}

static void what_is_said_before_closing_is_told(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "-ERR max number of clients reached\r\n";
    fake->close_after_first = true;
    f->cfg.name = "belt-test";
    fake_listen(fake);
    fixture_open(f);
    fixture_wait_downs(f, 1);
    assert_string_equal(f->why, "ERR max number of clients reached");
}

static bool is_all_sent(void *arg)
{
    loop_role_assert();
    return conn_unsent_bytes(arg) == 0;
}

/* We write before we look: the end is met by the write. */
static void what_is_said_before_a_write_fails_is_told(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = CALL(f, "GET", "x");
    assert_true(loop_until(f->base, is_all_sent, f->c, PATIENCE_MS));
    int fd = bufferevent_getfd(fake->peers[0].bev);
    assert_int_equal(send(fd, ":7\r\n", 4, 0), 4);
    assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
    struct answer *b = CALL(f, "GET", "y");
    fixture_wait_answers(f);
    assert_int_equal(a->err, 0);
    assert_int_equal(a->n, 7);
    assert_int_equal(b->err, ERR_REFUSED);
    fixture_wait_downs(f, 1);
    assert_int_equal(f->down_err, ERR_CLOSED);
}

static void an_echo_is_no_redis(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "*1\r\n$4\r\nPING\r\n";
    fake_listen(fake);
    fixture_open(f);
    fixture_wait_downs(f, 1);
    assert_int_equal(f->down_err, ERR_REDIS);
    assert_string_equal(f->why, "not a Redis");
}

static void a_reply_nobody_asked_for_takes_it_down(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake->later = ":1\r\n:2\r\n";
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = CALL(f, "GET", "x");
    fixture_wait_downs(f, 1);
    assert_int_equal(a->times, 1);
    assert_int_equal(a->n, 1);
    assert_int_equal(f->down_err, ERR_REDIS);
}

#define MESSAGE(text) "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n" text

/* In front of, between and behind the answers, of which they take none. */
static void messages_are_no_answers(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake->later = MESSAGE("$1\r\nx\r\n") ":1\r\n" MESSAGE(
        "$1\r\ny\r\n") ":2\r\n" MESSAGE("$2\r\nzz\r\n");
    f->cfg.on_message = fixture_on_message;
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = CALL(f, "PING", "1"), *b = CALL(f, "PING", "2");
    fixture_wait_messages(f, 3);
    assert_string_equal(f->channel, "c");
    assert_string_equal(f->message, "zz");
    assert_int_equal(a->n, 1);
    assert_int_equal(b->n, 2);
    assert_int_equal(f->downs, 0);
}

/* Deadlines are those of answers. */
static void messages_do_not_make_up_for_an_answer(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake->later = MESSAGE("$1\r\nx\r\n");
    f->cfg.on_message = fixture_on_message;
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = fixture_call_until(f, (const char *[]){"PING", NULL},
                                          clock_ms() + 100, false);
    fixture_wait_answers(f);
    assert_int_equal(f->messages, 1);
    assert_int_equal(a->err, ERR_UNKNOWN);
    assert_int_equal(f->down_err, ERR_TIMEOUT);
}

static void what_is_no_message_takes_it_down(void **state)
{
    static const char *const lies[] = {
        MESSAGE(":1\r\n"), "*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n",
        "*3\r\n$8\r\npmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"};
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    f->cfg.on_message = fixture_on_message;
    fake_listen(fake);
    fixture_up(f);
    for (int i = 0; i < 3; i++) {
        fixture_wait_ups(f, i + 1);
        bufferevent_write(fake->peers[i].bev, lies[i], strlen(lies[i]));
        fixture_wait_downs(f, i + 1);
        assert_int_equal(f->down_err, ERR_REDIS);
        assert_string_equal(f->why, "reply to no request");
    }
    assert_int_equal(f->messages, 0);
}

static void without_a_listener_a_message_takes_it_down(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake_listen(fake);
    fixture_up(f);
    const char *text = MESSAGE("$1\r\nx\r\n");
    bufferevent_write(fake->peers[0].bev, text, strlen(text));
    fixture_wait_downs(f, 1);
    assert_int_equal(f->down_err, ERR_REDIS);
}

static void an_array_too_big_to_be_true_takes_it_down(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake->later = "*2147483647\r\n";
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = CALL(f, "GET", "x");
    fixture_wait_answers(f);
    assert_int_equal(a->err, ERR_UNKNOWN);
    assert_int_equal(f->down_err, ERR_TOO_BIG);
}

static void close_and_open(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct answer *a = arg;
    struct conn *c = a->f->c;
    int64_t n = 0;

    fixture_on_reply(arg, err, r);
    conn_close(c);
    assert_false(conn_is_up(c));
    conn_open(c);
    assert_true(reply_int(r, &n)); /* lent until we return */
    assert_int_equal(n, 1);
}

/* Three answers arrive together: the first callback ends their session. */
static void a_callback_may_close_and_open(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;
    struct args args = {0};

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake->later = ":1\r\n:2\r\n:3\r\n";
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = fixture_answer(f);
    args_str(&args, "GET");
    assert_int_equal(conn_call(f->c, &args, clock_ms() + PATIENCE_MS, false,
                               close_and_open, a),
                     0);
    args_done(&args);
    struct answer *b = CALL(f, "GET"), *c = CALL(f, "GET");
    fixture_wait_ups(f, 2);
    assert_int_equal(a->n, 1);
    assert_int_equal(b->err, ERR_UNKNOWN);
    assert_int_equal(c->err, ERR_UNKNOWN);
    assert_int_equal(f->answered, 3);
    assert_int_equal(f->downs, 0);
}

static void restart(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct answer *a = arg;

    fixture_on_reply(arg, err, r);
    conn_restart(a->f->c);
}

static void every_failed_call_may_restart_at_the_price_of_one(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;
    struct args args = {0};

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake->later = "nonsense\r\n";
    f->cfg.reconnect_max_ms = 4 * PATIENCE_MS;
    fake_listen(fake);
    fixture_up(f);
    args_str(&args, "GET");
    for (int i = 0; i < 1000; i++)
        conn_call(f->c, &args, clock_ms() + PATIENCE_MS, false, restart,
                  fixture_answer(f));
    args_done(&args);
    fixture_wait_answers(f);
    for (int i = 0; i < 1000; i++)
        assert_true(f->answers[i].err == ERR_UNKNOWN ||
                    f->answers[i].err == ERR_REFUSED);
    assert_int_equal(f->answers[0].err, ERR_UNKNOWN);
    fixture_wait_ups(f, 2); /* which would not see the longest pause end */
    assert_int_equal(f->downs, 1);
}

static void freeing_fails_what_is_pending(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;

    loop_role_assert();
    fake->first = "+PONG\r\n";
    fake_listen(fake);
    fixture_up(f);
    struct answer *a = CALL(f, "GET", "x");
    conn_free(f->c);
    f->c = NULL;
    assert_int_equal(a->times, 1);
    assert_int_equal(a->err, ERR_REFUSED);
}

/* RFC 6761: .invalid never resolves; without a network nothing answers. */
static void a_name_that_does_not_resolve_is_told_in_time(void **state)
{
    struct fake *fake = *state;
    struct fixture *f = fake->f;
    struct errbuf eb;

    loop_role_assert();
    assert_int_equal(url_parse("redis://redis.invalid", &f->cfg.url, &eb), 0);
    f->cfg.connect_timeout_ms = 100;
    fixture_open(f);
    fixture_wait_downs(f, 3);
    assert_int_equal(f->ups, 0);
    assert_true(f->down_err == ERR_TIMEOUT || f->down_err == ERR_SYSTEM);
}

static int setup(void **state)
{
    struct fake *fake = mem_new(sizeof(*fake));
    char url[96];

    loop_role_bind();
    snprintf(url, sizeof(url), "unix://%s", path);
    fake->f = fixture_new(url);
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    struct fake *fake = *state;

    loop_role_assert();
    for (int i = 0; i < fake->accepted; i++)
        if (fake->peers[i].bev)
            bufferevent_free(fake->peers[i].bev);
    if (fake->listener)
        evconnlistener_free(fake->listener);
    unlink(path);
    fixture_free(fake->f);
    free(fake);
    return 0;
}

static int make_dir(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    snprintf(dir, sizeof(dir), "/tmp/belt-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/sock", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(garbage_takes_it_down_and_backs_off),
        TEST(reopening_does_not_shorten_the_pause),
        TEST(the_pause_has_a_limit),
        TEST(silence_in_the_greeting_times_out),
        TEST(silence_later_times_out),
        TEST(a_reply_on_its_way_is_waited_for),
        TEST(a_reply_that_stands_still_times_out),
        TEST(loading_is_told_and_tried_again),
        TEST(what_is_said_before_closing_is_told),
        TEST(what_is_said_before_a_write_fails_is_told),
        TEST(an_echo_is_no_redis),
        TEST(a_reply_nobody_asked_for_takes_it_down),
        TEST(messages_are_no_answers),
        TEST(messages_do_not_make_up_for_an_answer),
        TEST(what_is_no_message_takes_it_down),
        TEST(without_a_listener_a_message_takes_it_down),
        TEST(an_array_too_big_to_be_true_takes_it_down),
        TEST(a_callback_may_close_and_open),
        TEST(every_failed_call_may_restart_at_the_price_of_one),
        TEST(freeing_fails_what_is_pending),
        TEST(a_name_that_does_not_resolve_is_told_in_time),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
