/*
 * What measurements rest on: the envelopes are what they should be, and a job
 * that is not where it belongs, or a program that fails, is noticed.
 *
 * Thread: main.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/bench/bench.h"
#include "tests/bench/fails.h"

enum { JOBS = 250, BYTES = 200 };

static struct bench bench;
static const struct batch jobs = {"q", 0, JOBS, BYTES};

static int setup_all(void **state)
{
    (void)state;
    bench.redis = redis_start(NULL);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    redis_stop(bench.redis);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    bench_empty(&bench);
    return 0;
}

static void expect_ready(struct bench *b)
{
    bench_expect_ready(b, jobs.queue, JOBS);
}

static void expect_done(struct bench *b)
{
    bench_expect_done(b, jobs.queue, JOBS, JOBS);
}

static void an_envelope_has_its_size_and_its_id(void **state)
{
    static const size_t sizes[] = {ENVELOPE_MIN, BYTES, 20480};
    struct envelope e;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        envelope_init(&e, sizes[i]);
        envelope_set(&e, 12345);
        assert_int_equal(strlen(e.text), sizes[i] + 1);
        assert_int_equal(e.len, sizes[i]);
        json_t *o = json_loads(e.text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(o, "id")),
                            "01M84TE1FZD2NK2AJY00012345");
        json_decref(o);
        envelope_done(&e);
    }
}

static void the_textbook_takes_what_it_pushed(void **state)
{
    struct cost push, settle;

    (void)state;
    textbook_push(&bench, &jobs, &push);
    assert_false(fails(expect_ready, &bench));
    textbook_settle(&bench, jobs.queue, JOBS, &settle);
    assert_int_equal(redis_int(bench.redis, "DBSIZE"), 0);
    assert_true(push.wall_s > 0 && settle.wall_s > 0);
    assert_true(push.commands >= JOBS && settle.commands >= 2 * JOBS);
}

static void settle_too_few(struct bench *b)
{
    struct cost c;

    textbook_settle(b, jobs.queue, JOBS - 1, &c);
}

static void the_textbook_notices_what_it_left(void **state)
{
    struct cost c;

    (void)state;
    textbook_push(&bench, &jobs, &c);
    assert_true(fails(settle_too_few, &bench));
}

static void belt_pushes_and_settles_what_is_counted(void **state)
{
    const char *flags[] = {"-q",      jobs.queue, "--handler", "*=builtin:noop",
                           "--burst", NULL};
    struct cost push, settle;

    (void)state;
    bench_push(&bench, &jobs, &push);
    assert_false(fails(expect_ready, &bench));
    assert_true(fails(expect_done, &bench));
    bench_worker(&bench, flags, &settle);
    assert_true(fails(expect_ready, &bench));
    assert_false(fails(expect_done, &bench));
    assert_true(settle.scripts > 0 && settle.commands > settle.scripts);
    assert_true(settle.peak_kib > 0);
}

static void a_job_too_few_is_noticed(void **state)
{
    struct cost c;

    (void)state;
    textbook_push(&bench, &jobs, &c);
    redis_do(bench.redis, "LPOP belt:{q}");
    assert_true(fails(expect_ready, &bench));
}

static void a_job_elsewhere_is_noticed(void **state)
{
    static const char *const commands[] = {
        "RPUSH belt:{q}:active:lane job", "ZADD belt:{q}:retry 1 job",
        "ZADD belt:{q}:dead 1 job", "ZADD belt:{q}:scheduled 1 job"};
    struct cost c;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        bench_empty(&bench);
        textbook_push(&bench, &jobs, &c);
        assert_false(fails(expect_ready, &bench));
        freeReplyObject(redis_cmd(bench.redis, commands[i]));
        assert_true(fails(expect_ready, &bench));
    }
}

static void a_wrong_count_is_noticed(void **state)
{
    (void)state;
    redis_do(bench.redis, "HSET belt:{q}:stats done %d pushed %d", JOBS, JOBS);
    assert_false(fails(expect_done, &bench));
    redis_do(bench.redis, "HINCRBY belt:{q}:stats done 1");
    assert_true(fails(expect_done, &bench));
    redis_do(bench.redis, "HINCRBY belt:{q}:stats done -1");
    redis_do(bench.redis, "HINCRBY belt:{q}:stats pushed -1");
    assert_true(fails(expect_done, &bench));
}

static void run_false(struct bench *b)
{
    static const char *const argv[] = {"/bin/false", NULL};
    struct cost c;

    bench_run(b, argv, -1, &c);
}

static void run_what_is_not_there(struct bench *b)
{
    static const char *const argv[] = {"/nowhere/program", NULL};
    struct cost c;

    bench_run(b, argv, -1, &c);
}

static void a_program_that_fails_is_noticed(void **state)
{
    (void)state;
    assert_true(fails(run_false, &bench));
    assert_true(fails(run_what_is_not_there, &bench));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_has_its_size_and_its_id),
        cmocka_unit_test_setup(the_textbook_takes_what_it_pushed, setup),
        cmocka_unit_test_setup(the_textbook_notices_what_it_left, setup),
        cmocka_unit_test_setup(belt_pushes_and_settles_what_is_counted, setup),
        cmocka_unit_test_setup(a_job_too_few_is_noticed, setup),
        cmocka_unit_test_setup(a_job_elsewhere_is_noticed, setup),
        cmocka_unit_test_setup(a_wrong_count_is_noticed, setup),
        cmocka_unit_test_setup(a_program_that_fails_is_noticed, setup),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
