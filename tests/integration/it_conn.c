/*
 * Claims about a connection to a Redis that behaves, dies and comes back.
 */
#include "common/redis/conn.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/conn_fixture.h"
#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { MIB = 1 << 20, FD_LIMIT = 1024 };

static struct redis *server;

static void pipelined_replies_come_in_order(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    for (int i = 0; i < 1000; i++)
        CALL(f, "INCR", "counter");
    fixture_wait_answers(f);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(f->answers[i].n, i + 1);
    assert_true(conn_rtt_us(f->c) > 0);
    assert_int_equal(conn_unsent_bytes(f->c), 0);
}

/* A session's subscriptions end with it. */
static void subscribed_it_hears_what_is_published(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    f->cfg.on_message = fixture_on_message;
    fixture_up(f);
    for (int i = 1; i <= 2; i++) {
        struct answer *a = CALL(f, "SUBSCRIBE", "news");
        fixture_wait_answers(f);
        assert_int_equal(a->err, 0);
        assert_int_equal(redis_int(server, "PUBLISH news x%d", i), 1);
        fixture_wait_messages(f, i);
        assert_string_equal(f->channel, "news");
        assert_true(f->message[0] == 'x' && f->message[1] == '0' + i);
        redis_do(server, "CLIENT KILL TYPE pubsub");
        fixture_wait_ups(f, i + 1);
        assert_int_equal(redis_int(server, "PUBLISH news x"), 0);
    }
}

static void a_call_while_down_is_refused_and_not_called_back(void **state)
{
    struct fixture *f = *state;
    struct args a = {0};

    loop_role_assert();
    fixture_open(f);
    args_str(&a, "PING");
    struct answer *ans = fixture_answer(f);
    assert_int_equal(conn_call(f->c, &a, clock_ms() + PATIENCE_MS, false,
                               fixture_on_reply, ans),
                     ERR_REFUSED);
    args_done(&a);
    f->asked = 0;
    assert_false(conn_is_up(f->c));
    fixture_wait_ups(f, 1);
    assert_true(conn_is_up(f->c));
    CALL(f, "PING");
    fixture_wait_answers(f);
}

static void a_call_past_its_deadline_is_refused(void **state)
{
    struct fixture *f = *state;
    struct args a = {0};

    loop_role_assert();
    fixture_up(f);
    args_str(&a, "PING");
    assert_int_equal(
        conn_call(f->c, &a, clock_ms(), false, fixture_on_reply, NULL),
        ERR_REFUSED);
    args_done(&a);
}

static bool somebody_is_blocked(void *arg)
{
    char info[4096];

    (void)arg;
    redis_str(server, info, sizeof(info), "INFO clients");
    return strstr(info, "blocked_clients:0") == NULL;
}

static struct answer *block(struct fixture *f, int64_t deadline_ms) ON_LOOP
{
    static const char *const words[] = {"BLPOP", "none", "0", NULL};
    struct answer *a = fixture_call_until(f, words, deadline_ms, true);

    assert_true(loop_until(f->base, somebody_is_blocked, NULL, PATIENCE_MS));
    return a;
}

static void client_kill_takes_it_down_and_up_again(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    struct answer *a = block(f, clock_ms() + PATIENCE_MS);
    redis_do(server, "CLIENT KILL TYPE normal SKIPME yes");
    fixture_wait_answers(f);
    assert_int_equal(a->err, ERR_UNKNOWN);
    fixture_wait_ups(f, 2);
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->down_err, ERR_CLOSED);
    CALL(f, "PING");
    fixture_wait_answers(f);
    assert_string_equal(f->answers[1].text, "PONG");
}

static void a_deadline_takes_it_down_and_fails_the_others(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    struct answer *late = block(f, clock_ms() + 300);
    struct answer *behind = CALL(f, "INCR", "behind");
    fixture_wait_answers(f);
    assert_int_equal(late->err, ERR_UNKNOWN);
    assert_int_equal(behind->err, ERR_UNKNOWN);
    fixture_wait_ups(f, 2);
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->down_err, ERR_TIMEOUT);
}

static void the_earliest_deadline_counts_not_the_first(void **state)
{
    static const char *const get[] = {"GET", "x", NULL};
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    block(f, INT64_MAX);
    int64_t began_ms = clock_ms();
    fixture_call_until(f, get, began_ms + 200, false);
    fixture_wait_downs(f, 1);
    assert_true(clock_ms() - began_ms >= 200);
    assert_true(clock_ms() - began_ms < PATIENCE_MS / 2);
}

static void what_was_never_sent_is_refused(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    struct answer *a = CALL(f, "INCR", "never");
    conn_close(f->c);
    assert_int_equal(a->times, 1);
    assert_int_equal(a->err, ERR_REFUSED);
    assert_int_equal(f->downs, 0);
    conn_open(f->c);
    fixture_wait_ups(f, 2);
    a = CALL(f, "EXISTS", "never");
    fixture_wait_answers(f);
    assert_int_equal(a->n, 0);
}

static bool half_sent(void *arg)
{
    const struct fixture *f = arg;

    loop_role_assert();
    return conn_unsent_bytes(f->c) < (size_t)8 * MIB;
}

/* Stopped, Redis reads nothing: the kernel takes part of the first. */
static void half_sent_is_unknown_and_the_rest_refused(void **state)
{
    struct fixture *f = *state;
    char *big = mem_new((size_t)8 * MIB + 1);

    loop_role_assert();
    fixture_up(f);
    kill(redis_pid(server), SIGSTOP);
    memset(big, 'x', (size_t)8 * MIB);
    struct answer *half = CALL(f, "SET", "big", big);
    struct answer *rest = CALL(f, "INCR", "rest");
    bool sent = loop_until(f->base, half_sent, f, PATIENCE_MS);
    free(big);
    conn_close(f->c);
    kill(redis_pid(server), SIGCONT);
    assert_true(sent);
    assert_int_equal(half->err, ERR_UNKNOWN);
    assert_int_equal(rest->err, ERR_REFUSED);
    assert_int_equal(redis_int(server, "EXISTS rest"), 0);
}

static void a_restarted_redis_is_found_again(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    redis_kill9(server);
    fixture_wait_downs(f, 3); /* lost, and refused at least twice */
    assert_int_equal(f->down_err, ERR_SYSTEM);
    assert_int_equal(strncmp(f->why, "connect: ", 9), 0);
    redis_restart(server);
    fixture_wait_ups(f, 2);
    CALL(f, "PING");
    fixture_wait_answers(f);
}

static void set_user(struct fixture *f, const char *user, const char *password)
{
    snprintf(f->cfg.url.user, sizeof(f->cfg.url.user), "%s", user);
    snprintf(f->cfg.url.password, sizeof(f->cfg.url.password), "%s", password);
}

static void user_password_database_and_name_are_sent(void **state)
{
    struct fixture *f = *state;
    static const char *const wanted[] = {" db=3 ", " name=belt-test ",
                                         " user=belt "};

    loop_role_assert();
    redis_do(server, "ACL SETUSER belt on >secret allkeys +@all");
    set_user(f, "belt", "secret");
    f->cfg.url.db = 3;
    f->cfg.name = "belt-test";
    fixture_up(f);
    char line[1024];
    redis_str(server, line, sizeof(line), "CLIENT LIST TYPE normal");
    for (size_t i = 0; i < 3; i++)
        if (!strstr(line, wanted[i]))
            fail_msg("no%s in %s", wanted[i], line);
}

static void a_wrong_password_is_told_and_tried_again(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    redis_do(server, "ACL SETUSER belt on >secret allkeys +@all");
    set_user(f, "belt", "wrong");
    fixture_open(f);
    fixture_wait_downs(f, 2);
    assert_int_equal(f->ups, 0);
    assert_int_equal(f->down_err, ERR_REDIS);
    assert_int_equal(strncmp(f->why, "WRONGPASS", 9), 0);
    redis_do(server, "ACL SETUSER belt >wrong");
    fixture_wait_ups(f, 1);
}

static void a_password_without_user_is_the_default_users(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    redis_do(server, "ACL SETUSER default resetpass >pw");
    set_user(f, "", "pw");
    fixture_up(f);
    redis_do(server, "ACL SETUSER default nopass");
    assert_int_equal(f->downs, 0);
}

static void a_missing_password_is_told(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    redis_do(server, "ACL SETUSER default resetpass >pw");
    fixture_open(f);
    fixture_wait_downs(f, 1);
    redis_do(server, "ACL SETUSER default nopass");
    assert_int_equal(f->down_err, ERR_REDIS);
    assert_int_equal(strncmp(f->why, "NOAUTH", 6), 0);
}

static void a_user_who_may_not_ping_or_be_named_comes_up(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    redis_do(server, "ACL SETUSER belt on >secret allkeys +get");
    redis_do(server, "ACL SETUSER belt -@all +get");
    set_user(f, "belt", "secret");
    f->cfg.name = "belt-test";
    fixture_up(f);
    struct answer *a = CALL(f, "SET", "x", "1");
    fixture_wait_answers(f);
    assert_int_equal(strncmp(a->text, "NOPERM", 6), 0);
}

static void a_database_out_of_range_is_told(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    f->cfg.url.db = 99;
    fixture_open(f);
    fixture_wait_downs(f, 1);
    assert_string_equal(f->why, "ERR DB index is out of range");
}

static void ten_megabytes_come_back(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    redis_do(server, "SETRANGE big %d x", 10 * MIB - 1);
    CALL(f, "GET", "big");
    CALL(f, "STRLEN", "big");
    CALL(f, "GET", "big");
    fixture_wait_answers(f);
    assert_int_equal(f->answers[0].len, 10 * MIB);
    assert_int_equal(f->answers[1].n, 10 * MIB);
    assert_int_equal(f->answers[2].len, 10 * MIB);
}

static void a_reply_over_the_limit_takes_it_down(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    f->cfg.reply_max_bytes = MIB;
    fixture_up(f);
    redis_do(server, "SETRANGE big %d x", 2 * MIB);
    CALL(f, "GETRANGE", "big", "0", "1000000");
    struct answer *a = CALL(f, "GET", "big");
    fixture_wait_answers(f);
    assert_int_equal(f->answers[0].len, 1000001);
    assert_int_equal(a->err, ERR_UNKNOWN);
    assert_int_equal(f->down_err, ERR_TOO_BIG);
    fixture_wait_ups(f, 2);
}

static void blocking_calls_are_no_round_trips(void **state)
{
    static const char *const words[] = {"BLPOP", "none", "1", NULL};
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    int64_t before = conn_rtt_us(f->c);
    fixture_call_until(f, words, clock_ms() + PATIENCE_MS, true);
    CALL(f, "PING");
    fixture_wait_answers(f);
    assert_int_equal(conn_rtt_us(f->c), before);
    CALL(f, "PING");
    fixture_wait_answers(f);
    assert_true(conn_rtt_us(f->c) > 0 && conn_rtt_us(f->c) < 1000 * 1000);
}

static void note_fds(bool open[FD_LIMIT])
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *d;

    assert_non_null(dir);
    while ((d = readdir(dir))) {
        int fd = atoi(d->d_name);
        if (d->d_name[0] != '.' && fd < FD_LIMIT && fd != dirfd(dir))
            open[fd] = true;
    }
    closedir(dir);
}

/* By name, so that the resolver's are among them. */
static void its_descriptors_are_closed_on_exec(void **state)
{
    bool before[FD_LIMIT] = {false}, after[FD_LIMIT] = {false};
    struct fixture *f = *state;
    int fresh = 0;
    struct errbuf eb;
    char url[64];

    loop_role_assert();
    snprintf(url, sizeof(url), "redis://localhost%s",
             strrchr(redis_tcp_url(server), ':'));
    assert_int_equal(url_parse(url, &f->cfg.url, &eb), 0);
    note_fds(before);
    fixture_up(f);
    note_fds(after);
    for (int fd = 0; fd < FD_LIMIT; fd++) {
        if (!after[fd] || before[fd])
            continue;
        fresh++;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    assert_true(fresh > 0);
}

static int setup(void **state)
{
    loop_role_bind();
    redis_do(server, "FLUSHALL");
    *state = fixture_new(redis_url(server));
    return 0;
}

static int teardown(void **state)
{
    loop_role_assert();
    fixture_free(*state);
    return 0;
}

static int start_server(void **state)
{
    const struct redis_opts opts = {.tcp = true};

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    server = redis_start(&opts);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    redis_stop(server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pipelined_replies_come_in_order),
        TEST(subscribed_it_hears_what_is_published),
        TEST(a_call_while_down_is_refused_and_not_called_back),
        TEST(a_call_past_its_deadline_is_refused),
        TEST(client_kill_takes_it_down_and_up_again),
        TEST(a_deadline_takes_it_down_and_fails_the_others),
        TEST(the_earliest_deadline_counts_not_the_first),
        TEST(what_was_never_sent_is_refused),
        TEST(half_sent_is_unknown_and_the_rest_refused),
        TEST(a_restarted_redis_is_found_again),
        TEST(user_password_database_and_name_are_sent),
        TEST(a_wrong_password_is_told_and_tried_again),
        TEST(a_password_without_user_is_the_default_users),
        TEST(a_missing_password_is_told),
        TEST(a_user_who_may_not_ping_or_be_named_comes_up),
        TEST(a_database_out_of_range_is_told),
        TEST(ten_megabytes_come_back),
        TEST(a_reply_over_the_limit_takes_it_down),
        TEST(blocking_calls_are_no_round_trips),
        TEST(its_descriptors_are_closed_on_exec),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
