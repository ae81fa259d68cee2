/*
 * Claims about a transaction that pushes: whole, or not begun.
 */
#include "producer/append.h"

#include <signal.h>
#include <string.h>

#include "common/base/text.h"
#include "tests/integration/conn_fixture.h"
#include "tests/support/redis.h"
#include "tests/unit/unit.h"

static struct redis *server;

static int setup(void **state)
{
    loop_role_bind();
    redis_do(server, "FLUSHALL");
    redis_do(server, "CONFIG RESETSTAT");
    *state = fixture_new(redis_url(server));
    return 0;
}

static int teardown(void **state)
{
    loop_role_assert();
    fixture_free(*state);
    return 0;
}

static int send(struct fixture *f, const struct bytes *envelopes, unsigned n,
                conn_reply_cb cb, void *arg) ON_LOOP
{
    static struct errbuf refusal; /* outlives the calls */
    struct keys k;

    keys_init(&k, "belt", "q");
    return append_send(f->c, &k, envelopes, n, &refusal, cb, arg);
}

static void a_refused_one_is_not_begun(void **state)
{
    /* Of the second no more is read: no request can hold it, as if there were
     * no memory for it. */
    static const char begins[256] = "b";
    static const struct bytes huge[] = {{"a", 1}, {begins, (size_t)513 << 20}};
    static const struct bytes small[] = {{"c", 1}, {"d", 1}};
    struct fixture *f = *state;

    loop_role_assert();
    fixture_up(f);
    assert_int_equal(send(f, huge, 2, NULL, NULL), ERR_NOMEM);
    struct answer *pong = CALL(f, "PING");
    fixture_wait_answers(f);
    assert_string_equal(pong->text, "PONG"); /* and not QUEUED */
    assert_int_equal(send(f, small, 2, fixture_on_reply, fixture_answer(f)), 0);
    fixture_wait_answers(f);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_refused_one_is_not_begun, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
