/*
 * Claims about scripts that Redis does not have, or has lost.
 */
#include "common/redis/script.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/redis/keys.h"
#include "tests/integration/conn_fixture.h"
#include "tests/support/redis.h"
#include "tests/unit/unit.h"

static struct redis *server;

/* Pushes one envelope; the answer's n is the depth if it was executed. */
static void on_pushed(void *arg, int err, const struct reply *r)
{
    struct answer *a = arg;

    fixture_on_reply(arg, err, r);
    a->n = -1;
    if (r && reply_at(r, 1))
        reply_int(reply_at(r, 1), &a->n);
}

static struct answer *push_until(struct fixture *f, const char *envelope,
                                 int64_t deadline_ms) ON_LOOP
{
    struct answer *ans = fixture_answer(f);
    struct args a = {0};
    struct keys k;

    keys_init(&k, "belt", "q");
    script_args(&a, SCRIPT_push, 4);
    args_str(&a, k.ready);
    args_str(&a, k.config);
    args_str(&a, k.stats);
    args_str(&a, k.stats);
    args_int(&a, 0);
    args_int(&a, 1);
    args_str(&a, envelope);
    assert_int_equal(
        script_call(f->c, SCRIPT_push, &a, deadline_ms, on_pushed, ans), 0);
    args_done(&a);
    return ans;
}

static struct answer *push(struct fixture *f, const char *envelope) ON_LOOP
{
    return push_until(f, envelope, clock_ms() + PATIENCE_MS);
}

static long long loads(void)
{
    char info[8192];

    redis_str(server, info, sizeof(info), "INFO commandstats");
    const char *p = strstr(info, "cmdstat_script|load:calls=");
    return p ? atoll(strchr(p, '=') + 1) : 0;
}

static void every_script_loads_under_its_sha(void **state)
{
    char sha[64];

    (void)state;
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        enum script s = (enum script)i;
        redis_str(server, sha, sizeof(sha), "SCRIPT LOAD %s", script_source(s));
        assert_string_equal(sha, script_sha(s));
        assert_int_equal(strncmp(script_source(s), "-- ", 3), 0);
        assert_int_equal(strncmp(script_source(s) + 3, script_name(s),
                                 strlen(script_name(s))),
                         0);
    }
}

static void a_missing_script_is_loaded_and_called_once_more(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    struct answer *a = push(f, "{\"type\":\"x\"}");
    fixture_wait_answers(f);
    assert_int_equal(a->err, 0);
    assert_int_equal(a->n, 1);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 1);
}

static void a_flush_inside_a_pipeline_keeps_answers_matched(void **state)
{
    struct fixture *f = *state;
    struct answer *pushes[200], *echoes[200];
    char text[200][16];

    loop_role_assert();
    fixture_up(f);
    for (int i = 0; i < 200; i++) {
        if (i == 100)
            CALL(f, "SCRIPT", "FLUSH");
        snprintf(text[i], sizeof(text[i]), "{\"n\":%d}", i);
        pushes[i] = push(f, text[i]);
        echoes[i] = CALL(f, "ECHO", text[i]);
    }
    fixture_wait_answers(f);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(pushes[i]->err, 0);
        assert_in_range(pushes[i]->n, 1, 200);
        assert_string_equal(echoes[i]->text, text[i]);
    }
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 200);
    assert_int_equal(f->downs, 0);
}

static void one_load_serves_all_that_came_back(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    redis_do(server, "CONFIG RESETSTAT");
    for (int i = 0; i < 100; i++)
        push(f, "{}");
    fixture_wait_answers(f);
    assert_int_equal(loads(), 1);
    redis_do(server, "SCRIPT FLUSH");
    push(f, "{}");
    fixture_wait_answers(f);
    assert_int_equal(loads(), 2);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 101);
}

static void the_error_of_the_load_is_told(void **state)
{
    struct fixture *f = *state;

    loop_role_assert();
    redis_do(server, "ACL SETUSER belt on >pw allkeys +@all -script|load");
    snprintf(f->cfg.url.user, sizeof(f->cfg.url.user), "belt");
    snprintf(f->cfg.url.password, sizeof(f->cfg.url.password), "pw");
    fixture_up(f);
    struct answer *a = push(f, "{}");
    fixture_wait_answers(f);
    assert_int_equal(a->err, 0);
    assert_int_equal(strncmp(a->text, "NOPERM", 6), 0);
}

static void close_at_noscript(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct answer *a = arg;

    fixture_on_reply(arg, err, r);
    conn_close(a->f->c);
}

/* The call in front closes when its answer comes, the push's right behind. */
static void a_lost_connection_fails_it_once(void **state)
{
    struct fixture *f = *state;
    struct args args = {0};

    loop_role_assert();
    fixture_up(f);
    args_str(&args, "PING");
    struct answer *before = push(f, "{}");
    assert_int_equal(conn_call(f->c, &args, clock_ms() + PATIENCE_MS, false,
                               close_at_noscript, fixture_answer(f)),
                     0);
    args_done(&args);
    fixture_wait_answers(f);
    assert_int_equal(before->err, ERR_REFUSED); /* NOSCRIPT, load unsent */
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 0);
}

static int setup(void **state)
{
    loop_role_bind();
    redis_do(server, "FLUSHALL");
    redis_do(server, "SCRIPT FLUSH");
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
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    server = redis_start(NULL);
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
        TEST(every_script_loads_under_its_sha),
        TEST(a_missing_script_is_loaded_and_called_once_more),
        TEST(a_flush_inside_a_pipeline_keeps_answers_matched),
        TEST(one_load_serves_all_that_came_back),
        TEST(the_error_of_the_load_is_told),
        TEST(a_lost_connection_fails_it_once),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
