/*
 * Claims about GET of a job with ?wait=: it is answered when the job has ended,
 * without asking meanwhile, and whatever becomes of the connections.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

enum { MANY = 1000, JOBS = 100, SPARE_FDS = 200 };

static int start_with(void **state, const char *const *flags)
{
    const struct redis_opts opts = {.appendonly = true};
    struct web *f = mem_new(sizeof(*f));

    f->r = redis_start(&opts);
    *state = f;
    web_begin(f, flags);
    return 0;
}

static int start(void **state)
{
    return start_with(state, NULL);
}

static int start_few(void **state)
{
    return start_with(state,
                      (const char *const[]){"--max-waits", "1",
                                            "--longest-wait", "5s", NULL});
}

static int start_many(void **state)
{
    return start_with(state,
                      (const char *const[]){"--max-connections", "1100", NULL});
}

/* ---- the job ---- */

static void hash(struct web *f, const char *id, const char *fields)
{
    char *command = mem_printf("HSET belt:{q}:job:%s %s", id, fields);

    redis_do(f->r, command);
    free(command);
}

/* Writes the last news, and tells of it, in one step. */
static void tell(struct web *f, const char *id, const char *state,
                 const char *fields)
{
    redis_do(f->r, "MULTI");
    hash(f, id, fields);
    redis_do(f->r, "PUBLISH belt:{q}:job:%s %s", id, state);
    redis_do(f->r, "EXEC");
}

struct stat {
    struct web *f;
    const char *what;
    long long n;
};

static long long calls_of(struct web *f, const char *command)
{
    redisReply *r = redis_cmd(f->r, "INFO commandstats");
    char *line = mem_printf("cmdstat_%s:calls=", command);
    const char *at = strstr(r->str, line);
    long long n = at ? strtoll(at + strlen(line), NULL, 10) : 0;

    freeReplyObject(r);
    free(line);
    return n;
}

static long long subscribers(struct web *f, const char *id)
{
    redisReply *r = redis_cmd(f->r, "PUBSUB NUMSUB belt:{q}:job:%s", id);
    long long n = r->elements == 2 ? r->element[1]->integer : -1;

    freeReplyObject(r);
    return n;
}

static bool is_heard(void *arg)
{
    const struct stat *s = arg;

    return subscribers(s->f, s->what) == s->n;
}

static bool are_calls(void *arg)
{
    const struct stat *s = arg;

    return calls_of(s->f, s->what) >= s->n;
}

static void await_subscribers(struct web *f, const char *id, long long n)
{
    struct stat s = {f, id, n};

    if (!wait_until(is_heard, &s, WEB_MS))
        fail_msg("%lld are subscribed to %s, not %lld", subscribers(f, id), id,
                 n);
}

static void await_calls(struct web *f, const char *command, long long n)
{
    struct stat s = {f, command, n};

    if (!wait_until(are_calls, &s, WEB_MS))
        fail_msg("%s: %lld calls, not %lld", command, calls_of(f, command), n);
}

/* ---- the request ---- */

static int ask(struct web *f, const char *id, const char *query,
               const char *headers)
{
    int fd = web_connect(f);
    char *text = mem_printf("GET /v1/queues/q/jobs/%s%s HTTP/1.1\r\n"
                            "Host: localhost\r\n%s\r\n",
                            id, query, headers);

    assert_true(fd >= 0);
    assert_true(web_say(fd, text));
    free(text);
    return fd;
}

/* Asks, and returns when the server is subscribed. */
static int ask_and_await(struct web *f, const char *id)
{
    int fd = ask(f, id, "?wait=60", "");

    await_subscribers(f, id, 1);
    return fd;
}

/* Takes the answer: its status, and a text that is in its body. */
static void answered(int fd, int status, const char *text)
{
    struct web_reply a;

    if (!web_take(fd, false, &a))
        fail_msg("no answer");
    if (a.status != status || !strstr(a.body, text))
        fail_msg("%d %s, not %d %s", a.status, a.body, status, text);
    web_reply_done(&a);
    close(fd);
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
        hash(f, "a", "state active");
        int fd = ask_and_await(f, "a");
        redis_do(f->r, "PUBLISH belt:{q}:job:a done"); /* but it is not */
        tell(f, "a", ends[i].state, ends[i].fields);
        answered(fd, 200, ends[i].text);
        await_subscribers(f, "a", 0);
        fd = ask(f, "a", "?wait=60", ""); /* it has ended: at once */
        answered(fd, 200, ends[i].text);
    }
    await_subscribers(f, "a", 0);
}

/* With the real ones: belt pushes, belt-worker runs. */
static void it_is_answered_when_a_worker_has_done_it(void **state)
{
    static const char *const flags[] = {"-q", "q", "--handler",
                                        "t=exec:/bin/echo hello", NULL};
    struct web *f = *state;

    EXPECT(f->r, NULL, 0, "q/a", "", "push", "t", "-q", "q", "--id", "a",
           "--keep", "1m");
    int fd = ask_and_await(f, "a");
    struct worker *w = worker_start(f->r, NULL, flags);
    answered(fd, 200, "\"result\":\"hello\\n\"");
    web_expect(f, "GET", "/v1/queues/q/jobs/a/result", NULL, NULL, 200,
               "hello\n");
    worker_free(w);
}

static void what_cannot_be_waited_for_is_answered_at_once(void **state)
{
    struct web *f = *state;

    answered(ask(f, "nowhere", "?wait=60", ""), 404, "not found");
    redis_do(f->r, "ZADD belt:{q}:dead 5 %s",
             "{\"id\":\"plain\",\"type\":\"t\"}");
    answered(ask(f, "plain", "?wait=60", ""), 200, "\"state\":\"dead\"");
    hash(f, "a", "state active");
    answered(ask(f, "a", "?wait=0", ""), 200, "\"state\":\"active\"");
    int fd = ask_and_await(f, "a");
    redis_do(f->r, "MULTI");
    redis_do(f->r, "DEL belt:{q}:job:a");
    redis_do(f->r, "PUBLISH belt:{q}:job:a removed");
    redis_do(f->r, "EXEC");
    answered(fd, 404, "not found");
}

/* One look before it is subscribed, one then, one in the end. */
static void nobody_asks_while_it_waits(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    hash(f, "a", "state ready type t");
    long long looks = calls_of(f, "hmget"),
              subscribed = calls_of(f, "subscribe");
    int64_t began_ms = clock_ms();
    int fd = ask(f, "a", "?wait=2", "");
    assert_true(web_take(fd, false, &a));
    close(fd);
    assert_true(clock_ms() - began_ms >=
                1900); /* timers of a loop are coarse */
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"state\":\"ready\""));
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    web_reply_done(&a);
    assert_int_equal(calls_of(f, "hmget") - looks, 3);
    assert_int_equal(calls_of(f, "subscribe") - subscribed, 1);
    await_subscribers(f, "a", 0);
}

static void two_share_a_subscription(void **state)
{
    struct web *f = *state;

    hash(f, "a", "state active");
    int one = ask_and_await(f, "a");
    await_calls(f, "hmget", 2);
    int other = ask(f, "a", "?wait=60", "");
    await_calls(f, "hmget", 4); /* it waits */
    assert_int_equal(calls_of(f, "subscribe"), 1);
    assert_int_equal(subscribers(f, "a"), 1);
    tell(f, "a", "done", "state done");
    answered(one, 200, "done");
    answered(other, 200, "done");
    assert_int_equal(calls_of(f, "hmget"), 5);
    await_subscribers(f, "a", 0);
}

static void who_goes_is_not_waited_for(void **state)
{
    struct web *f = *state;

    hash(f, "a", "state active");
    int one = ask_and_await(f, "a");
    int other = ask(f, "a", "?wait=60", "");
    await_calls(f, "hmget", 4);
    close(one);
    tell(f, "a", "active", "state active"); /* a look, for the other alone */
    await_calls(f, "hmget", 5);
    assert_int_equal(subscribers(f, "a"), 1);
    close(other);
    await_subscribers(f, "a", 0);
    assert_false(worker_has_ended(f->w));
}

static void prefer_is_as_good_as_the_query(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    hash(f, "a", "state active");
    int fd = ask(f, "a", "", "Prefer: respond-async, wait=100\r\n");
    await_subscribers(f, "a", 1);
    tell(f, "a", "done", "state done");
    assert_true(web_take(fd, false, &a));
    assert_int_equal(a.status, 200);
    assert_string_equal(web_header(&a, "Preference-Applied"), "wait=60");
    web_reply_done(&a);
    close(fd);
    hash(f, "a", "state active");
    fd = ask(f, "a", "", "Prefer: waits=9, wait, wait=x\r\n");
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
        answered(ask(f, "a", wrong[i], ""), 400, "invalid-query");
}

static void only_so_many_may_wait(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    hash(f, "a", "state active");
    hash(f, "b", "state active");
    int one = ask(f, "a", "?wait=5", "");
    await_subscribers(f, "a", 1);
    int other = ask(f, "b", "?wait=5", "");
    assert_true(web_take(other, false, &a));
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "overloaded"));
    assert_non_null(strstr(a.body, "--max-waits"));
    assert_string_equal(web_header(&a, "Retry-After"), "1");
    web_reply_done(&a);
    close(other);
    tell(f, "a", "done", "state done");
    answered(one, 200, "done");
    other = ask(f, "b", "?wait=5", ""); /* there is room again */
    await_subscribers(f, "b", 1);
    tell(f, "b", "done", "state done");
    answered(other, 200, "done");
}

static void a_stop_answers_those_who_wait(void **state)
{
    struct web *f = *state;
    struct web_reply a;

    hash(f, "a", "state active progress 7");
    int fd = ask_and_await(f, "a");
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

/* ---- losses ---- */

static void it_waits_on_when_redis_is_restarted(void **state)
{
    struct web *f = *state;

    hash(f, "a", "state active");
    int fd = ask_and_await(f, "a");
    redis_shutdown(f->r);
    redis_restart(f->r);
    await_subscribers(f, "a", 1);
    tell(f, "a", "done", "state done result late");
    answered(fd, 200, "\"result\":\"late\"");
}

/* What is published while it hears nothing is not lost. */
static void an_end_is_seen_that_nobody_heard_of(void **state)
{
    struct web *f = *state;

    hash(f, "a", "state active");
    int fd = ask_and_await(f, "a");
    redis_do(f->r, "MULTI");
    hash(f, "a", "state done result unheard");
    redis_do(f->r, "CLIENT KILL TYPE pubsub");
    redis_do(f->r, "EXEC");
    answered(fd, 200, "\"result\":\"unheard\"");
}

static void without_redis_the_end_of_the_time_is_a_503(void **state)
{
    struct web *f = *state;

    hash(f, "a", "state active");
    int fd = ask(f, "a", "?wait=1", "");
    await_subscribers(f, "a", 1);
    redis_kill9(f->r);
    answered(fd, 503, "redis-away");
}

static bool is_refused(void *arg)
{
    return worker_said(arg, "waits_refused");
}

static void who_may_not_subscribe_looks_now_and_then(void **state)
{
    struct web *f = *state;

    hash(f, "a", "state active");
    redis_do(f->r, "ACL SETUSER default resetchannels");
    int fd = ask(f, "a", "?wait=60", "");
    assert_true(wait_until(is_refused, f->w, WEB_MS));
    await_calls(f, "hmget", 2); /* from now on only by itself */
    hash(f, "a", "state done");
    answered(fd, 200, "done");
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
        hash(f, id, "state active");
    }
    long threads = threads_of(worker_pid(f->w));
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "j%d", i % JOBS);
        fds[i] = ask(f, id, "?wait=60", "");
    }
    web_until(f, "/metrics", 200, "belt_http_waits 1000\n");
    assert_int_equal(calls_of(f, "subscribe"), JOBS);
    assert_int_equal(threads_of(worker_pid(f->w)), threads);
    answered(ask(f, "j0", "?wait=60", ""), 503, "overloaded");
    for (int i = 0; i < JOBS; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        tell(f, id, "done", "state done");
    }
    for (int i = 0; i < MANY; i++)
        answered(fds[i], 200, "\"state\":\"done\"");
    assert_int_equal(threads_of(worker_pid(f->w)), threads);
}

#define CLAIM(test, setup)                                                     \
    cmocka_unit_test_setup_teardown(test, setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(it_is_answered_when_the_job_ends, start),
        CLAIM(it_is_answered_when_a_worker_has_done_it, start),
        CLAIM(what_cannot_be_waited_for_is_answered_at_once, start),
        CLAIM(nobody_asks_while_it_waits, start),
        CLAIM(two_share_a_subscription, start),
        CLAIM(who_goes_is_not_waited_for, start),
        CLAIM(prefer_is_as_good_as_the_query, start),
        CLAIM(a_time_that_is_none_is_told, start_few),
        CLAIM(only_so_many_may_wait, start_few),
        CLAIM(a_stop_answers_those_who_wait, start),
        CLAIM(it_waits_on_when_redis_is_restarted, start),
        CLAIM(an_end_is_seen_that_nobody_heard_of, start),
        CLAIM(without_redis_the_end_of_the_time_is_a_503, start),
        CLAIM(who_may_not_subscribe_looks_now_and_then, start),
        CLAIM(a_thousand_cost_no_thread, raise_and_start_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
