/*
 * Claims about libbelt, as a program that is linked to libbelt.so sees it: what
 * it pushes, what it is told, and that errors name what is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belt/belt.h>

#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define MINUTE_MS 60000

static struct belt_client *belt;
static struct belt_error error;

static int setup(void **state)
{
    struct belt_client_options options = {.size = sizeof(options),
                                          .url = redis_url(runs_redis)};

    (void)runs_clear(state);
    belt = belt_client_open(&options, &error);
    if (!belt)
        fail_msg("%s", error.text);
    return 0;
}

static int teardown(void **state)
{
    belt_client_close(belt);
    return runs_over(state);
}

/* For the queue q, with options in pairs. The list ends with NULL. */
static struct belt_job *make(const char *type, ...) __attribute__((sentinel));
static struct belt_job *make(const char *type, ...)
{
    struct belt_job *job = belt_job_new(type);
    const char *name;
    va_list ap;

    assert_int_equal(belt_job_set(job, "queue", "q", &error), 0);
    va_start(ap, type);
    while ((name = va_arg(ap, const char *))) {
        if (belt_job_set(job, name, va_arg(ap, const char *), &error) != 0)
            fail_msg("%s", error.text);
    }
    va_end(ap);
    return job;
}

/* Pushes and frees it; the code must be this one. */
static struct belt_pushed push(struct belt_job *job, int code)
{
    struct belt_pushed pushed;
    int rc = belt_client_push(belt, job, &pushed, &error);

    if (rc != code)
        fail_msg("code %d instead of %d: %s", rc, code, rc ? error.text : "");
    assert_int_equal(pushed.code, code);
    belt_job_free(job);
    return pushed;
}

#define EXPECT_ERROR(call, wanted, part)                                       \
    do {                                                                       \
        assert_int_equal((call), (wanted));                                    \
        assert_int_equal(error.code, (wanted));                                \
        if (!strstr(error.text, (part)))                                       \
            fail_msg("\"%s\" does not say \"%s\"", error.text, (part));        \
    } while (0)

static void a_job_runs_and_its_result_comes_exactly(void **state)
{
    static const char wanted[] = "a\0b \xff\n";
    struct belt_pushed pushed;
    size_t n = 0;

    (void)state;
    struct worker *w = runs_worker(
        "--handler", runs_handler("odd", "printf 'a\\0b \\377\\n'"), NULL);
    pushed = push(make("odd", "keep", "1h", "id", "one", NULL), 0);
    assert_int_equal(pushed.state, BELT_PUSH_DONE);
    assert_string_equal(pushed.job, "q/one");
    struct belt_status *s = belt_client_wait(belt, "q/one", MINUTE_MS, &error);
    assert_non_null(s);
    assert_string_equal(belt_status_job(s), "q/one");
    assert_string_equal(belt_status_state(s), "done");
    assert_true(belt_status_is_over(s));
    const char *result = belt_status_get(s, "result", &n);
    assert_int_equal(n, sizeof(wanted) - 1);
    assert_memory_equal(result, wanted, n);
    assert_int_equal(belt_status_get_int(s, "attempt", -1), 1);
    assert_true(belt_status_get_int(s, "ended_at", 0) >=
                belt_status_get_int(s, "started_at", INT64_MAX));
    assert_null(belt_status_get(s, "error", NULL));
    assert_null(belt_status_get(s, "nothing", NULL));
    belt_status_free(s);

    s = belt_client_result(belt, "one", &error); /* the queue is found */
    assert_non_null(s);
    assert_string_equal(belt_status_job(s), "q/one");
    belt_status_free(s);
    runs_end(w);
}

static void a_failure_has_its_exit_code_and_a_text(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler", runs_handler("bad", "echo wrong >&2; exit 65"), NULL);
    struct belt_pushed pushed = push(make("bad", "keep", "1h", NULL), 0);
    struct belt_status *s =
        belt_client_wait(belt, pushed.job, MINUTE_MS, &error);

    assert_non_null(s);
    assert_string_equal(belt_status_state(s), "dead");
    assert_int_equal(belt_status_get_int(s, "exit", 0), 65);
    assert_non_null(strstr(belt_status_get(s, "error_text", NULL), "wrong"));
    belt_status_free(s);
    runs_end(w);
}

static void options_become_members(void **state)
{
    struct belt_job *job =
        make("t", "id", "x", "max-attempts", "3", "timeout", "90s", "keep",
             "1h", "backoff", "fixed:30s", "expires", "2h", "meta", "{\"a\":1}",
             "then", "{\"type\":\"u\"}", "unique", "key:10m", "on_conflict",
             "error", "after", "other/y", NULL);
    char text[1024];
    static const char unique[] =
        "\"unique\":{\"key\":\"key\",\"until\":\"time\",\"ttl\":600000,"
        "\"on_conflict\":\"error\"}";
    static const char *const members[] = {
        "{\"id\":\"x\",\"type\":\"t\"",
        "\"max_attempts\":3,\"timeout\":90000,\"keep\":3600000",
        "\"backoff\":{\"kind\":\"fixed\",\"delay\":30000}",
        unique,
        "\"then\":{\"type\":\"u\"}",
        "\"meta\":{\"a\":1}",
        "\"expires_at\":",
        "\"after\":\"other/y\"",
        "\"payload\":{\"n\":12345678901234567890}"};

    (void)state;
    assert_int_equal(
        belt_job_set_payload(job, "{\"n\":12345678901234567890}", 26, &error),
        0);
    push(job, 0);
    redis_str(runs_redis, text, sizeof(text), "LINDEX belt:{q} 0");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (!strstr(text, members[i]))
            fail_msg("%s is not in %s", members[i], text);
    }
    assert_int_equal(redis_int(runs_redis, "SISMEMBER belt:queues q"), 1);
}

static void front_in_and_text_are_heeded(void **state)
{
    struct belt_job *job = make("last", NULL);
    char text[512];

    (void)state;
    push(job, 0);
    job = make("first", "front", "1", NULL);
    assert_int_equal(belt_job_set_payload_text(job, "a \"b\"", 5, &error), 0);
    push(job, 0);
    redis_str(runs_redis, text, sizeof(text), "LINDEX belt:{q} 0");
    assert_non_null(strstr(text, "\"type\":\"first\""));
    assert_non_null(strstr(text, "\"payload\":\"a \\\"b\\\"\""));
    job = make("later", NULL);
    assert_int_equal(belt_job_set_int(job, "in", MINUTE_MS, &error), 0);
    struct belt_pushed pushed = push(job, 0);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:scheduled"), 1);

    struct belt_status *s = belt_client_status(belt, pushed.job, &error);
    assert_non_null(s);
    assert_string_equal(belt_status_state(s), "scheduled");
    assert_string_equal(belt_status_get(s, "type", NULL), "later");
    assert_true(belt_status_get_int(s, "due_at", 0) > 0);
    assert_int_equal(belt_status_get_int(s, "attempt", -1), 0);
    assert_false(belt_status_is_over(s));
    belt_status_free(s);
}

static void a_bad_option_is_named(void **state)
{
    static const struct {
        const char *name, *value, *text;
    } cases[] = {
        {"max_attemps", "3", "did you mean max_attempts?"},
        {"max_attempts", "0", "max_attempts: "},
        {"timeout", "5", "timeout: "},
        {"timeout", "400d", "timeout: "},
        {"keep", "-1s", "keep: "},
        {"at", "tomorrow", "at: "},
        {"expires", "soon", "expires: \"soon\" is neither"},
        {"backoff", "sometimes", "backoff: "},
        {"queue", "a b", "queue: \"a b\""},
        {"id", "a/b", "id: \"a/b\""},
        {"after", "a b/c", "after: \"a b/c\": neither QUEUE/ID nor ID"},
        {"then", "{", "then: "},
        {"front", "maybe", "front: "},
        {"expires_at", "1", "expires_at: "},
    };
    struct belt_job *job = make("t", NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        EXPECT_ERROR(belt_job_set(job, cases[i].name, cases[i].value, &error),
                     BELT_ERR_INVALID, cases[i].text);
    EXPECT_ERROR(belt_job_set_int(job, "timeout", -1, &error), BELT_ERR_INVALID,
                 "timeout: -1: too small");
    EXPECT_ERROR(belt_job_set_int(job, "unique", 1, &error), BELT_ERR_INVALID,
                 "unique: not for a number");
    EXPECT_ERROR(belt_job_set_payload(job, "{]", 2, &error), BELT_ERR_INVALID,
                 "payload: ");
    EXPECT_ERROR(belt_job_set_payload_text(job, "\xff", 1, &error),
                 BELT_ERR_INVALID, "payload: byte 0");
    push(job, 0); /* nothing of that has stayed */
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 1);
}

static void what_does_not_go_together_is_told_by_the_push(void **state)
{
    static const struct {
        const char *names[2], *values[2], *text;
    } cases[] = {
        {{"in", "at"}, {"1m", "2030-01-01T00:00:00Z"}, "in and at"},
        {{"front", "in"}, {"1", "1m"}, "front"},
        {{"until", "keep"}, {"done", "1h"}, "belong to unique"},
        {{"unique", "until"}, {"k:1h", "done"}, "needs no until"},
        {{"unique", "on_conflict"}, {"k", "fight"}, "on_conflict: fight"},
        {{"then", "keep"}, {"[1]", "1h"}, "then"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct belt_pushed pushed =
            push(make("t", cases[i].names[0], cases[i].values[0],
                      cases[i].names[1], cases[i].values[1], NULL),
                 BELT_ERR_INVALID);
        assert_int_equal(pushed.state, BELT_PUSH_REFUSED);
        if (!strstr(error.text, cases[i].text))
            fail_msg("%s: %s", cases[i].text, error.text);
    }
    push(make("", NULL), BELT_ERR_INVALID);
    assert_non_null(strstr(error.text, "type"));
    assert_int_equal(redis_int(runs_redis, "DBSIZE"), 0);
}

static void an_option_is_taken_back(void **state)
{
    struct belt_job *job =
        make("t", "in", "1h", "unique", "k", "keep", "1h", "then",
             "{\"type\":\"u\"}", "expires", "1h", "front", "no", NULL);
    static const char *const names[] = {"in",   "unique",  "keep",
                                        "then", "expires", "front"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(belt_job_set(job, names[i], NULL, &error), 0);
    push(job, 0);
    redis_str(runs_redis, text, sizeof(text), "LINDEX belt:{q} 0");
    assert_non_null(strstr(text, "\"type\":\"t\",\"created_at\":"));
    assert_null(strstr(text, "unique"));
    assert_null(strstr(text, "then"));
}

static void a_unique_key_is_held(void **state)
{
    struct belt_pushed pushed;

    (void)state;
    push(make("t", "id", "a", "unique", "k:1h", NULL), 0);
    pushed = push(make("t", "id", "a", "unique", "k:1h", NULL), 0);
    assert_int_equal(pushed.state, BELT_PUSH_SAME);
    pushed = push(make("t", "id", "b", "unique", "k:1h", NULL), 0);
    assert_int_equal(pushed.state, BELT_PUSH_HELD);
    assert_string_equal(pushed.job, "q/a");
    pushed = push(
        make("t", "id", "b", "unique", "k:1h", "on_conflict", "error", NULL),
        BELT_ERR_HELD);
    assert_int_equal(pushed.state, BELT_PUSH_HELD);
    assert_string_equal(pushed.job, "q/a");
    assert_string_equal(error.text, "k is held by q/a");
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 1);

    push(make("t", "id", "c", "in", "1h", "unique", "d", NULL), 0);
    pushed = push(make("t", "id", "e", "in", "2h", "unique", "d", "on_conflict",
                       "replace", NULL),
                  0);
    assert_int_equal(pushed.state, BELT_PUSH_REPLACED);
    assert_string_equal(pushed.job, "q/c");
}

static void a_full_queue_refuses(void **state)
{
    struct belt_job *jobs[5];
    struct belt_pushed pushed[5];

    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:config max_length 3");
    for (int i = 0; i < 5; i++)
        jobs[i] = make("t", NULL);
    EXPECT_ERROR(belt_client_push_many(belt, jobs, 5, pushed, &error),
                 BELT_ERR_FULL, "job 3: q is full");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pushed[i].state,
                         i < 3 ? BELT_PUSH_DONE : BELT_PUSH_REFUSED);
        assert_int_equal(pushed[i].code, i < 3 ? 0 : BELT_ERR_FULL);
        belt_job_free(jobs[i]);
    }
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 3);
    push(make("t", NULL), BELT_ERR_FULL);
    assert_non_null(strstr(error.text, "q is full: 3 jobs wait"));
}

static void many_go_in_order_and_bad_ones_stay_behind(void **state)
{
    enum { N = 3000 };
    struct belt_job *jobs[N];
    static struct belt_pushed pushed[N];
    char id[16], text[256];

    (void)state;
    for (int i = 0; i < N; i++) {
        (void)snprintf(id, sizeof(id), "j%d", i);
        jobs[i] = make(i % 1000 == 7 ? "" : "t", "id", id, NULL);
        if (i % 500 == 9) /* these go by themselves, in their place */
            assert_int_equal(
                belt_job_set(jobs[i], "unique", i == 9 ? "k" : id, &error), 0);
    }
    assert_int_equal(belt_job_set(jobs[509], "unique", "k", &error), 0);
    assert_int_equal(belt_job_set(jobs[2999], "queue", "other", &error), 0);
    EXPECT_ERROR(belt_client_push_many(belt, jobs, N, pushed, &error),
                 BELT_ERR_INVALID, "job 7: type");
    for (int i = 0; i < N; i++) {
        int wanted = i % 1000 == 7 ? BELT_PUSH_REFUSED
                     : i == 509    ? BELT_PUSH_HELD
                                   : BELT_PUSH_DONE;
        if (pushed[i].state != wanted)
            fail_msg("%d: %d instead of %d", i, pushed[i].state, wanted);
        belt_job_free(jobs[i]);
    }
    assert_string_equal(pushed[509].job, "q/j9");
    assert_string_equal(pushed[7].job, "");
    assert_string_equal(pushed[8].job, "q/j8");
    assert_string_equal(pushed[2999].job, "other/j2999");
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), N - 5);
    redis_str(runs_redis, text, sizeof(text), "LINDEX belt:{q} 9");
    assert_non_null(strstr(text, "\"id\":\"j10\""));
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{other}"), 1);
}

static void many_without_room_for_what_became_of_them(void **state)
{
    struct belt_job *job = make("t", NULL), *jobs[] = {job, job, job};

    (void)state;
    assert_int_equal(belt_client_push_many(belt, jobs, 3, NULL, &error), 0);
    assert_int_equal(belt_client_push_many(belt, jobs, 0, NULL, NULL), 0);
    belt_job_free(job);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 3);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct belt_pushed pushed = push(make("t", NULL), 0);

    assert_null(belt_client_result(belt, pushed.job, &error));
    assert_int_equal(error.code, BELT_ERR_NOT_FOUND);
    assert_null(belt_client_wait(belt, pushed.job, MINUTE_MS, &error));
    assert_int_equal(error.code, BELT_ERR_NOT_FOUND);
    assert_null(belt_client_status(belt, "q/none", &error));
    assert_int_equal(error.code, BELT_ERR_NOT_FOUND);
    assert_null(belt_client_status(belt, "none", &error));
    assert_int_equal(error.code, BELT_ERR_NOT_FOUND);
    EXPECT_ERROR(belt_client_cancel(belt, "none", NULL, &error),
                 BELT_ERR_NOT_FOUND, "none: in no queue");
    assert_null(belt_client_result(belt, "a b", &error));
    assert_int_equal(error.code, BELT_ERR_INVALID);
    assert_non_null(strstr(error.text, "\"a b\""));
}

static void waiting_has_an_end(void **state)
{
    struct belt_status *s[2];
    const char *const names[] = {"q/a", "q/b"};

    (void)state;
    push(make("t", "id", "a", "keep", "1h", NULL), 0);
    push(make("t", "id", "b", "keep", "1h", NULL), 0);
    assert_null(belt_client_wait(belt, "q/a", 30, &error));
    assert_int_equal(error.code, BELT_ERR_TIMEOUT);
    assert_null(belt_client_wait(belt, "q/a", 0, &error));
    assert_int_equal(error.code, BELT_ERR_TIMEOUT);
    redis_do(runs_redis, "HSET belt:{q}:job:b state done result 7");
    assert_int_equal(
        belt_client_wait_many(belt, names, 2, 1, MINUTE_MS, s, &error), 0);
    assert_null(s[0]);
    assert_string_equal(belt_status_get(s[1], "result", NULL), "7");
    belt_status_free(s[1]);
    assert_int_equal(belt_client_wait_many(belt, names, 2, 0, 30, s, &error),
                     BELT_ERR_TIMEOUT);
    assert_null(s[0]);
    assert_non_null(s[1]); /* what had ended is told all the same */
    belt_status_free(s[1]);
}

static void all_of_many_are_waited_for(void **state)
{
    enum { N = 200 };
    char names[N][BELT_JOB_NAME_SIZE];
    const char *all[N];
    struct belt_status *s[N];

    (void)state;
    struct worker *w =
        runs_worker("--handler", "t=builtin:sleep", "--threads", "4", NULL);
    for (int i = 0; i < N; i++) {
        struct belt_job *job = make("t", "keep", "1h", NULL);
        assert_int_equal(belt_job_set_payload(job, "1", 1, &error), 0);
        struct belt_pushed pushed = push(job, 0);
        memcpy(names[i], pushed.job, sizeof(names[i]));
        all[i] = names[i];
    }
    assert_int_equal(
        belt_client_wait_many(belt, all, N, 0, MINUTE_MS, s, &error), 0);
    for (int i = 0; i < N; i++) {
        assert_string_equal(belt_status_job(s[i]), names[i]);
        assert_string_equal(belt_status_state(s[i]), "done");
        belt_status_free(s[i]);
    }
    runs_end(w);
}

static void cancelling_says_what_it_found(void **state)
{
    int found = -1;

    (void)state;
    push(make("t", "id", "later", "in", "1h", "keep", "1h", NULL), 0);
    push(make("t", "id", "now", "keep", "1h", NULL), 0);
    assert_int_equal(belt_client_cancel(belt, "q/later", &found, &error), 0);
    assert_int_equal(found, BELT_CANCEL_CANCELLED);
    assert_int_equal(belt_client_cancel(belt, "q/later", &found, &error), 0);
    assert_int_equal(found, BELT_CANCEL_ENDED);
    assert_int_equal(belt_client_cancel(belt, "q/now", &found, &error), 0);
    assert_int_equal(found, BELT_CANCEL_MARKED);
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    struct belt_status *s = belt_client_wait(belt, "q/now", MINUTE_MS, &error);
    assert_non_null(s);
    assert_string_equal(belt_status_state(s), "cancelled");
    belt_status_free(s);
    runs_end(w);
}

static void too_big_is_refused_here(void **state)
{
    struct belt_client_options options = {.size = sizeof(options),
                                          .url = redis_url(runs_redis),
                                          .max_bytes = 100};
    struct belt_client *small = belt_client_open(&options, &error);
    struct belt_job *job = make("t", "meta", "{\"a\":\"aaaaaaaaaaaaaaaaaa\"}",
                                "id", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL);

    (void)state;
    EXPECT_ERROR(belt_client_push(small, job, NULL, &error), BELT_ERR_TOO_BIG,
                 "the limit is 100");
    belt_job_free(job);
    belt_client_close(small);
    assert_int_equal(redis_int(runs_redis, "DBSIZE"), 0);
}

static void opening_names_what_is_wrong(void **state)
{
    static const struct {
        struct belt_client_options options;
        int code;
        const char *text;
    } cases[] = {
        {{.url = "http://x"}, BELT_ERR_INVALID, "neither redis://"},
        {{.key_namespace = "a b"}, BELT_ERR_INVALID, "key_namespace: \"a b\""},
        {{.max_bytes = (size_t)1 << 40}, BELT_ERR_INVALID, "max_bytes"},
        {{.idle_max = 5000}, BELT_ERR_INVALID, "idle_max"},
        {{.connect_timeout_ms = -1}, BELT_ERR_INVALID, "connect_timeout_ms"},
        {{.url = "unix:///tmp", .password_file = "/none/there"},
         BELT_ERR_SYSTEM,
         "/none/there"},
        {{.url = "unix:///none/there"}, BELT_ERR_UNREACHABLE, "/none/there"},
    };
    struct belt_client_options wrong = {.size = 4};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct belt_client_options options = cases[i].options;
        options.size = sizeof(options);
        assert_null(belt_client_open(&options, &error));
        assert_int_equal(error.code, cases[i].code);
        if (!strstr(error.text, cases[i].text))
            fail_msg("%s: %s", cases[i].text, error.text);
    }
    assert_null(belt_client_open(&wrong, &error));
    assert_non_null(strstr(error.text, "size: 4"));
    assert_null(belt_client_open(&cases[6].options, NULL)); /* size 0 */
}

static void a_user_who_may_not_is_denied(void **state)
{
    struct belt_client_options options = {.size = sizeof(options)};
    char url[512];

    (void)state;
    redis_do(runs_redis, "ACL SETUSER weak on >pw +ping +client ~*");
    (void)snprintf(url, sizeof(url), "unix://weak:pw@%s",
                   redis_url(runs_redis) + strlen("unix://"));
    options.url = url;
    struct belt_client *weak = belt_client_open(&options, &error);
    assert_non_null(weak);
    struct belt_job *job = make("t", NULL);
    EXPECT_ERROR(belt_client_push(weak, job, NULL, &error), BELT_ERR_DENIED,
                 "NOPERM");
    EXPECT_ERROR(belt_client_push(weak, job, NULL, &error), BELT_ERR_DENIED,
                 "NOPERM");
    belt_job_free(job);
    assert_null(belt_client_result(weak, "q/x", &error));
    assert_int_equal(error.code, BELT_ERR_DENIED);
    assert_null(strstr(belt_client_url(weak), "pw"));
    belt_client_close(weak);
    (void)snprintf(url, sizeof(url), "unix://weak:bad@%s",
                   redis_url(runs_redis) + strlen("unix://"));
    assert_null(belt_client_open(&options, &error));
    assert_int_equal(error.code, BELT_ERR_DENIED);
    assert_null(strstr(error.text, "bad@"));
}

static void codes_have_texts(void **state)
{
    (void)state;
    for (int code = BELT_ERR_SYSTEM; code <= 0; code++)
        assert_string_not_equal(belt_err_text(code), "unknown error");
    assert_string_equal(belt_err_text(1), "unknown error");
    assert_true(belt_client_version()[0] >= '0');
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_job_runs_and_its_result_comes_exactly),
        CLAIM(a_failure_has_its_exit_code_and_a_text),
        CLAIM(options_become_members),
        CLAIM(front_in_and_text_are_heeded),
        CLAIM(a_bad_option_is_named),
        CLAIM(what_does_not_go_together_is_told_by_the_push),
        CLAIM(an_option_is_taken_back),
        CLAIM(a_unique_key_is_held),
        CLAIM(a_full_queue_refuses),
        CLAIM(many_go_in_order_and_bad_ones_stay_behind),
        CLAIM(many_without_room_for_what_became_of_them),
        CLAIM(what_is_not_there_is_not_found),
        CLAIM(waiting_has_an_end),
        CLAIM(all_of_many_are_waited_for),
        CLAIM(cancelling_says_what_it_found),
        CLAIM(too_big_is_refused_here),
        CLAIM(opening_names_what_is_wrong),
        CLAIM(a_user_who_may_not_is_denied),
        CLAIM(codes_have_texts),
    };

    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
