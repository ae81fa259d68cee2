/*
 * Claims about requests that wait for the end of a job, whatever becomes of the
 * connections to Redis.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/http_wait.h"
#include "tests/unit/unit.h"

static int start_impatient(void **state)
{
    return wait_start_with(
        state, (const char *const[]){"--redis-timeout", "200ms", NULL});
}

static void it_waits_on_when_redis_is_restarted(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int fd = wait_ask_and_await(f, "a");
    redis_shutdown(f->r);
    redis_restart(f->r);
    wait_for_subscribers(f, "a", 1);
    wait_tell(f, "a", "done", "state done result late");
    wait_answered(fd, 200, "\"result\":\"late\"");
}

/* What is published while it hears nothing is not lost. */
static void an_end_is_seen_that_nobody_heard_of(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int fd = wait_ask_and_await(f, "a");
    redis_do(f->r, "MULTI");
    wait_hash(f, "a", "state done result unheard");
    redis_do(f->r, "CLIENT KILL TYPE pubsub");
    redis_do(f->r, "EXEC");
    wait_answered(fd, 200, "\"result\":\"unheard\"");
}

static void without_redis_the_end_of_the_time_is_a_503(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int fd = wait_ask(f, "a", "?wait=1", "");
    wait_for_subscribers(f, "a", 1);
    redis_kill9(f->r);
    wait_answered(fd, 503, "redis-away");
}

static bool has_lost(void *arg)
{
    return worker_said(arg, "waits_lost");
}

/* Nothing is closed, but nothing comes. */
static void a_redis_that_hangs_is_noticed(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int fd = wait_ask_and_await(f, "a");
    assert_int_equal(kill(redis_pid(f->r), SIGSTOP), 0);
    bool noticed = wait_until(has_lost, f->w, WEB_MS);
    assert_int_equal(kill(redis_pid(f->r), SIGCONT), 0);
    assert_true(noticed);
    wait_for_subscribers(f, "a", 1);
    wait_tell(f, "a", "done", "state done");
    wait_answered(fd, 200, "done");
}

static void an_error_of_redis_is_told(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int fd = wait_ask_and_await(f, "a");
    redis_do(f->r, "SET belt:{q}:job:b x");
    wait_answered(wait_ask(f, "b", "?wait=60", ""), 500, "WRONGTYPE");
    redis_do(f->r, "MULTI");
    redis_do(f->r, "DEL belt:{q}:job:a");
    redis_do(f->r, "SET belt:{q}:job:a x");
    redis_do(f->r, "PUBLISH belt:{q}:job:a done");
    redis_do(f->r, "EXEC");
    wait_answered(fd, 500, "WRONGTYPE");
}

static bool are_rejected(void *arg)
{
    const struct web *f = arg;
    redisReply *r = redis_cmd(f->r, "INFO commandstats");
    const char *at = strstr(r->str, "cmdstat_hmget:");
    bool found = at && (at = strstr(at, "rejected_calls=")) &&
                 strtol(at + strlen("rejected_calls="), NULL, 10) > 0;

    freeReplyObject(r);
    return found;
}

/* A replica whose master is away answers nothing, for a while. */
static void an_error_that_passes_does_not_end_it(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int fd = wait_ask_and_await(f, "a");
    wait_for_calls(f, "hmget", 2);
    redis_do(f->r, "CONFIG SET replica-serve-stale-data no");
    redis_do(f->r, "REPLICAOF 127.0.0.1 1");
    redis_do(f->r, "PUBLISH belt:{q}:job:a done");
    assert_true(wait_until(are_rejected, f, WEB_MS));
    redis_do(f->r, "REPLICAOF NO ONE");
    wait_hash(f, "a", "state done"); /* which nobody tells of */
    wait_answered(fd, 200, "done");
}

static bool is_refused(void *arg)
{
    return worker_said(arg, "waits_refused");
}

static void who_may_not_subscribe_looks_now_and_then(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    redis_do(f->r, "ACL SETUSER default resetchannels");
    int fd = wait_ask(f, "a", "?wait=60", "");
    assert_true(wait_until(is_refused, f->w, WEB_MS));
    wait_for_calls(f, "hmget", 2); /* from now on only by itself */
    wait_hash(f, "a", "state done");
    wait_answered(fd, 200, "done");
}

#define CLAIM(test, setup)                                                     \
    cmocka_unit_test_setup_teardown(test, setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(it_waits_on_when_redis_is_restarted, wait_start),
        CLAIM(an_end_is_seen_that_nobody_heard_of, wait_start),
        CLAIM(without_redis_the_end_of_the_time_is_a_503, wait_start),
        CLAIM(a_redis_that_hangs_is_noticed, start_impatient),
        CLAIM(an_error_of_redis_is_told, wait_start),
        CLAIM(an_error_that_passes_does_not_end_it, wait_start),
        CLAIM(who_may_not_subscribe_looks_now_and_then, wait_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
