/*
 * Claims about GET of a job with ?wait=: it is answered when the job has ended,
 * without asking meanwhile.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/http_wait.h"
#include "tests/unit/unit.h"

enum { MANY = 1000, JOBS = 100, SPARE_FDS = 200 };

static int start_few(void **state)
{
    return wait_start_with(state,
                           (const char *const[]){"--max-waits", "1",
                                                 "--longest-wait", "5s", NULL});
}

static int start_many(void **state)
{
    return wait_start_with(
        state, (const char *const[]){"--max-connections", "1100", NULL});
}

/* ---- claims ---- */

static void it_is_answered_when_the_job_ends(void **state)
{
    static const struct {
        const char *state, *fields, *text;
    } ends[] = {
        {"done", "state done result {\"a\":1}", "\"result\":{\"a\":1}"},
        {"dead", "state dead exit 7 error no", "\"error\":\"no\""},
        {"cancelled", "state cancelled", "\"state\":\"cancelled\""},
        {"expired", "state expired", "\"state\":\"expired\""},
    };
    struct web *f = *state;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        redis_do(f->r, "DEL belt:{q}:job:a");
        wait_hash(f, "a", "state active");
        int fd = wait_ask_and_await(f, "a");
        redis_do(f->r, "PUBLISH belt:{q}:job:a done"); /* but it is not */
        wait_tell(f, "a", ends[i].state, ends[i].fields);
        wait_answered(fd, 200, ends[i].text);
        wait_for_subscribers(f, "a", 0);
        fd = wait_ask(f, "a", "?wait=60", ""); /* it has ended: at once */
        wait_answered(fd, 200, ends[i].text);
    }
    wait_for_subscribers(f, "a", 0);
}

/* With the real ones: belt pushes, belt-worker runs. */
static void it_is_answered_when_a_worker_has_done_it(void **state)
{
    static const char *const flags[] = {"-q", "q", "--handler",
                                        "t=exec:/bin/echo hello", NULL};
    struct web *f = *state;

    EXPECT(f->r, NULL, 0, "q/a", "", "push", "t", "-q", "q", "--id", "a",
           "--keep", "1m");
    int fd = wait_ask_and_await(f, "a");
    struct worker *w = worker_start(f->r, NULL, flags);
    wait_answered(fd, 200, "\"result\":\"hello\\n\"");
    web_expect(f, "GET", "/v1/queues/q/jobs/a/result", NULL, NULL, 200,
               "hello\n");
    worker_free(w);
}

static void what_cannot_be_waited_for_is_answered_at_once(void **state)
{
    struct web *f = *state;

    wait_answered(wait_ask(f, "nowhere", "?wait=60", ""), 404, "not found");
    redis_do(f->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"plain\",\"type\":\"t\"}");
    wait_answered(wait_ask(f, "plain", "?wait=60", ""), 200,
                  "\"state\":\"dead\"");
    wait_hash(f, "a", "state active");
    wait_answered(wait_ask(f, "a", "?wait=0", ""), 200, "\"state\":\"active\"");
    int fd = wait_ask_and_await(f, "a");
    redis_do(f->r, "MULTI");
    redis_do(f->r, "DEL belt:{q}:job:a");
    redis_do(f->r, "PUBLISH belt:{q}:job:a removed");
    redis_do(f->r, "EXEC");
    wait_answered(fd, 404, "not found");
}

/* One look before it is subscribed, one then, one in the end. */
static void nobody_asks_while_it_waits(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    wait_hash(f, "a", "state ready type t");
    long long looks = wait_calls(f, "hmget"),
              subscribed = wait_calls(f, "subscribe");
    int64_t began_ms = clock_ms();
    int fd = wait_ask(f, "a", "?wait=2", "");
    assert_true(web_take(fd, false, &a));
    close(fd);
    assert_true(clock_ms() - began_ms >=
                1900); /* timers of a loop are coarse */
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"state\":\"ready\""));
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    web_reply_done(&a);
    assert_int_equal(wait_calls(f, "hmget") - looks, 3);
    assert_int_equal(wait_calls(f, "subscribe") - subscribed, 1);
    wait_for_subscribers(f, "a", 0);
}

static void two_share_a_subscription(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int one = wait_ask_and_await(f, "a");
    wait_for_calls(f, "hmget", 2);
    int other = wait_ask(f, "a", "?wait=60", "");
    wait_for_calls(f, "hmget", 4); /* it waits */
    assert_int_equal(wait_calls(f, "subscribe"), 1);
    assert_int_equal(wait_subscribers(f, "a"), 1);
    wait_tell(f, "a", "done", "state done");
    wait_answered(one, 200, "done");
    wait_answered(other, 200, "done");
    assert_int_equal(wait_calls(f, "hmget"), 5);
    wait_for_subscribers(f, "a", 0);
}

static void who_goes_is_not_waited_for(void **state)
{
    struct web *f = *state;

    wait_hash(f, "a", "state active");
    int one = wait_ask_and_await(f, "a");
    int other = wait_ask(f, "a", "?wait=60", "");
    wait_for_calls(f, "hmget", 4);
    close(one);
    wait_tell(f, "a", "active",
              "state active"); /* a look, for the other alone */
    wait_for_calls(f, "hmget", 5);
    assert_int_equal(wait_subscribers(f, "a"), 1);
    close(other);
    wait_for_subscribers(f, "a", 0);
    assert_false(worker_has_ended(f->w));
}

static void prefer_is_as_good_as_the_query(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    wait_hash(f, "a", "state active");
    int fd = wait_ask(f, "a", "", "Prefer: respond-async, wait=100\r\n");
    wait_for_subscribers(f, "a", 1);
    wait_tell(f, "a", "done", "state done");
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Preference-Applied"), "wait=60");
    web_reply_done(&a);
    close(fd);
    wait_hash(f, "a", "state active");
    fd = wait_ask(f, "a", "", "Prefer: waits=9, wait, wait=x\r\n");
    assert_true(web_take(fd, false, &a)); /* at once */
    assert_string_equal(web_header(&a, "Preference-Applied"), "");
    web_reply_done(&a);
    close(fd);
}

static void a_time_that_is_none_is_told(void **state)
{
    static const char *const wrong[] = {"?wait=6",
                                        "?wait=-1",
                                        "?wait=",
                                        "?wait=1s",
                                        "?wait=99999999999999999999",
                                        "?for=1",
                                        "?wait=1&wait=1"};
    struct web *f = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        wait_answered(wait_ask(f, "a", wrong[i], ""), 400, "invalid-query");
}

static void only_so_many_may_wait(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    wait_hash(f, "a", "state active");
    wait_hash(f, "b", "state active");
    int one = wait_ask(f, "a", "?wait=5", "");
    wait_for_subscribers(f, "a", 1);
    int other = wait_ask(f, "b", "?wait=5", "");
    assert_true(web_take(other, false, &a));
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "overloaded"));
    assert_non_null(strstr(a.body, "--max-waits"));
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    web_reply_done(&a);
    close(other);
    wait_tell(f, "a", "done", "state done");
    wait_answered(one, 200, "done");
    other = wait_ask(f, "b", "?wait=5", ""); /* there is room again */
    wait_for_subscribers(f, "b", 1);
    wait_tell(f, "b", "done", "state done");
    wait_answered(other, 200, "done");
}

static void a_stop_answers_those_who_wait(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    wait_hash(f, "a", "state active progress 7");
    int fd = wait_ask_and_await(f, "a");
    int64_t began_ms = clock_ms();
    worker_signal(f->w, SIGTERM);
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"progress\":7"));
    web_reply_done(&a);
    close(fd);
    assert_int_equal(worker_wait(f->w, WEB_MS), 0);
    assert_true(clock_ms() - began_ms < 30000); /* of --drain-timeout */
}

/* ---- many ---- */

static long threads_of(pid_t pid)
{
    char path[64], line[256];
    long n = -1;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (n < 0 && fgets(line, sizeof(line), file))
        n = strncmp(line, "Threads:", 8) == 0 ? strtol(line + 8, NULL, 10) : -1;
    (void)fclose(file);
    return n;
}

static int raise_and_start_many(void **state)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < MANY + SPARE_FDS)
        limit.rlim_cur = MANY + SPARE_FDS;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return start_many(state);
}

static void a_thousand_cost_no_thread(void **state)
{
    struct web *f = *state;
    static int fds[MANY];
    char id[16];

    for (int i = 0; i < JOBS; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        wait_hash(f, id, "state active");
    }
    long threads = threads_of(worker_pid(f->w));
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "j%d", i % JOBS);
        fds[i] = wait_ask(f, id, "?wait=60", "");
    }
    web_until(f, "/metrics", 200, "belt_http_waits 1000\n");
    assert_int_equal(wait_calls(f, "subscribe"), JOBS);
    assert_int_equal(threads_of(worker_pid(f->w)), threads);
    wait_answered(wait_ask(f, "j0", "?wait=60", ""), 503, "overloaded");
    for (int i = 0; i < JOBS; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        wait_tell(f, id, "done", "state done");
    }
    for (int i = 0; i < MANY; i++)
        wait_answered(fds[i], 200, "\"state\":\"done\"");
    assert_int_equal(threads_of(worker_pid(f->w)), threads);
}

#define CLAIM(test, setup)                                                     \
    cmocka_unit_test_setup_teardown(test, setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(it_is_answered_when_the_job_ends, wait_start),
        CLAIM(it_is_answered_when_a_worker_has_done_it, wait_start),
        CLAIM(what_cannot_be_waited_for_is_answered_at_once, wait_start),
        CLAIM(nobody_asks_while_it_waits, wait_start),
        CLAIM(two_share_a_subscription, wait_start),
        CLAIM(who_goes_is_not_waited_for, wait_start),
        CLAIM(prefer_is_as_good_as_the_query, wait_start),
        CLAIM(a_time_that_is_none_is_told, start_few),
        CLAIM(only_so_many_may_wait, start_few),
        CLAIM(a_stop_answers_those_who_wait, wait_start),
        CLAIM(a_thousand_cost_no_thread, raise_and_start_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
