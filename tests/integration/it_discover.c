/*
 * Story: a worker is given patterns instead of names of queues.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum { WAIT_MS = 30000 };

static int setup(void **state)
{
    *state = redis_start(NULL);
    return 0;
}

static int teardown(void **state)
{
    redis_stop(*state);
    return 0;
}

static void push(struct redis *r, const char *queue)
{
    redis_do(r, "SADD belt:queues %s", queue);
    queue_fill(r, queue, "t", 1, 10);
}

struct wanted {
    struct redis *r;
    const char *queue;
    long long done;
};

static bool is_done(void *arg)
{
    struct wanted *w = arg;
    return queue_stat(w->r, w->queue, "done") == w->done;
}

static void queues_are_found_now_and_later(void **state)
{
    struct redis *r = *state;
    push(r, "mail.a");
    push(r, "news");
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", "mail.*", "--handler", "t=builtin:noop", NULL});
    struct wanted a = {r, "mail.a", 10}, b = {r, "mail.b", 10};
    assert_true(wait_until(is_done, &a, WAIT_MS));
    push(r, "mail.b");
    assert_true(wait_until(is_done, &b, WAIT_MS));
    assert_int_equal(redis_int(r, "LLEN belt:{news}"), 10);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, WAIT_MS), 0);
    worker_free(w);
    assert_int_equal(redis_int(r, "ZCARD belt:{mail.a}:leases"), 0);
    assert_int_equal(redis_int(r, "EXISTS belt:{news}:leases"), 0);
}

static void burst_looks_once_before_it_ends(void **state)
{
    struct redis *r = *state;
    push(r, "img.a");
    push(r, "img.b");
    struct worker *w =
        worker_start(r, NULL,
                     (const char *[]){"-q", "img.?,no.such.*", "--burst",
                                      "--handler", "t=builtin:noop", NULL});
    assert_int_equal(worker_wait(w, WAIT_MS), 0);
    worker_free(w);
    assert_int_equal(queue_stat(r, "img.a", "done"), 10);
    assert_int_equal(queue_stat(r, "img.b", "done"), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queues_are_found_now_and_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(burst_looks_once_before_it_ends, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
