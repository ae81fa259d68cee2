/*
 * Claims about belt status and belt result: what they say of a job, wherever
 * it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define FAR_FUTURE "9999999999999"

/* The row that belt prints with these arguments: a field, as owned text. */
static char *field(int status, const char *name, const char *const *argv)
{
    struct cli_result r = cli_run(runs_redis, NULL, argv);
    json_error_t e;
    json_t *j = json_loads(r.out, 0, &e);

    if (r.status != status || !j)
        fail_msg("status %d: %s%s", r.status, r.out, r.err);
    const json_t *value = json_object_get(json_array_get(j, 0), name);
    assert_non_null(value);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    json_decref(j);
    cli_result_done(&r);
    return text;
}

static void expect_field(const char *name, const char *value,
                         const char *const *argv)
{
    char *text = field(0, name, argv);

    if (strcmp(text, value) != 0)
        fail_msg("%s of %s is %s, not %s", name, argv[1], text, value);
    free(text);
}

#define STATUS(name, value, ...)                                               \
    expect_field((name), (value),                                              \
                 (const char *const[]){"status", __VA_ARGS__, "--json", NULL})

static void hash(const char *id, const char *fields)
{
    char *command = mem_printf("HSET belt:{q}:job:%s %s", id, fields);

    redis_do(runs_redis, command);
    free(command);
}

static void a_kept_job_says_what_it_was_told(void **state)
{
    (void)state;
    redis_do(runs_redis, "ZADD belt:{q}:leases " FAR_FUTURE " w.1");
    hash("a", "state active type mail attempt 2 worker w lane w.1 created_at "
              "1000 started_at 2000 progress 40 message half");
    STATUS("state", "\"active\"", "q/a");
    STATUS("progress", "40", "q/a");
    STATUS("message", "\"half\"", "q/a");
    STATUS("attempt", "2", "q/a");
    STATUS("created_at", "1000", "q/a");
    STATUS("started_at", "2000", "q/a");
    STATUS("kept", "true", "q/a");
    STATUS("ended_at", "null", "q/a");
    EXPECT(runs_redis, NULL, 0, "d ago", "", "status", "q/a");
}

static void what_has_passed_is_put_right(void **state)
{
    (void)state;
    hash("due", "state retry type t due_at 1000 error oops");
    hash("later", "state scheduled type t due_at " FAR_FUTURE);
    hash("lost", "state active type t worker w lane w.1");
    STATUS("state", "\"ready\"", "q/due");
    STATUS("error", "\"oops\"", "q/due");
    STATUS("state", "\"scheduled\"", "q/later");
    EXPECT(runs_redis, NULL, 0, "in ", "", "status", "q/later");
    STATUS("state", "\"recovering\"", "q/lost");
    /* A lane that was bound anew is still the same worker. */
    redis_do(runs_redis, "ZADD belt:{q}:leases " FAR_FUTURE " w.2");
    STATUS("state", "\"active\"", "q/lost");
    redis_do(runs_redis, "DEL belt:{q}:leases");
    redis_do(runs_redis, "ZADD belt:{q}:leases " FAR_FUTURE " ww.1");
    STATUS("state", "\"recovering\"", "q/lost");
}

static void what_is_not_kept_is_looked_for(void **state)
{
    (void)state;
    redis_do(runs_redis, "ZADD belt:{q}:scheduled 5 %s",
             "{\"id\":\"s\",\"type\":\"t\"}");
    redis_do(runs_redis, "ZADD belt:{q}:retry " FAR_FUTURE " %s",
             "{\"recovered\":[7],\"id\":\"r\",\"type\":\"t\",\"attempt\":3,"
             "\"error\":{\"class\":\"exit\",\"message\":\"no\"}}");
    redis_do(runs_redis, "ZADD belt:{q}:dead 77 %s",
             "{\"id\":\"d\",\"type\":\"t\"}");
    redis_do(runs_redis, "ZADD belt:{q}:leases " FAR_FUTURE " host-1-x.3");
    redis_do(runs_redis, "RPUSH belt:{q}:active:host-1-x.3 x %s",
             "{\"id\":\"a\",\"type\":\"t\"}");
    STATUS("state", "\"scheduled\"", "q/s");
    STATUS("due_at", "5", "q/s");
    STATUS("state", "\"retry\"", "q/r");
    STATUS("attempt", "3", "q/r");
    STATUS("error", "\"exit: no\"", "q/r");
    STATUS("state", "\"dead\"", "q/d");
    STATUS("ended_at", "77", "q/d");
    STATUS("state", "\"active\"", "q/a");
    STATUS("worker", "\"host-1-x\"", "q/a");
    STATUS("kept", "false", "q/a");
}

/* The payload of another job may quote the envelope of this one. */
static void only_the_job_itself_is_found(void **state)
{
    (void)state;
    redis_do(runs_redis, "ZADD belt:{q}:dead 1 %s",
             "{\"id\":\"x\",\"type\":\"t\",\"payload\":{\"id\":\"y\"}}");
    redis_do(runs_redis, "ZADD belt:{q}:dead 1 %s", "{\"id\":\"y\"");
    redis_do(runs_redis, "ZADD belt:{q}:dead 1 %s",
             "{\"recovered\":[1],\"id\":\"x\",\"type\":\"t\","
             "\"payload\":{\"id\":\"y\"}}");
    EXPECT(runs_redis, NULL, 1, "(not found)",
           "q/y: not found: not kept, or gone", "status", "q/y");
    STATUS("state", "\"dead\"", "q/x");
}

static void a_long_set_is_looked_through(void **state)
{
    (void)state;
    redis_do(runs_redis, "EVAL %s 0",
             "for i = 1, 3000 do redis.call('ZADD', 'belt:{q}:dead', i, "
             "'{\"id\":\"j' .. i .. '\",\"type\":\"t\"}') end");
    STATUS("ended_at", "2999", "q/j2999");
}

static void a_bare_id_is_looked_for_in_all_queues(void **state)
{
    (void)state;
    redis_do(runs_redis, "SADD belt:queues p q %s r", "no queue");
    hash("kept", "state done type t result 1");
    redis_do(runs_redis, "ZADD belt:{r}:dead 1 %s",
             "{\"id\":\"dead\",\"type\":\"t\"}");
    STATUS("queue", "\"q\"", "kept");
    STATUS("queue", "\"r\"", "dead");
    EXPECT(runs_redis, NULL, 0, "q/kept", "", "result", "kept");
    EXPECT(runs_redis, NULL, 1, "(not found)", "gone: not found", "status",
           "gone");
    EXPECT(runs_redis, NULL, 64, "", "a/b/c: neither QUEUE/ID nor ID", "status",
           "a/b/c");
    EXPECT(runs_redis, NULL, 64, "", "an argument is missing", "status");
}

static void names_come_from_stdin_too(void **state)
{
    (void)state;
    hash("a", "state done type t");
    EXPECT(runs_redis, "q/a\nnonsense\n", 65, "q/a", "line 2: not QUEUE/ID",
           "status", "-");
    EXPECT(runs_redis, "q/a\nq/b\n", 1, "q/a", "q/b: not found", "status", "-");
}

static void raw_gives_the_bytes_of_a_result(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:a state done result %b", "\x1b\0\n",
             (size_t)3);
    struct cli_result r = CLI(runs_redis, NULL, "result", "--raw", "q/a");
    assert_int_equal(r.status, 0);
    assert_int_equal(r.out_len, 3);
    assert_memory_equal(r.out, "\x1b\0\n", 3);
    cli_result_done(&r);
    hash("b", "state expired error late");
    EXPECT(runs_redis, NULL, 1, "", "q/b: expired: late", "result", "--raw",
           "q/b");
    EXPECT(runs_redis, NULL, 1, "", "q/c: not kept", "result", "--raw", "q/c");
    EXPECT(runs_redis, NULL, 64, "", "--raw is for one job", "result", "--raw",
           "q/a", "q/b");
    EXPECT(runs_redis, NULL, 64, "", "--raw is for one job", "result", "--raw",
           "-");
}

static void a_result_may_be_that_it_was_cancelled(void **state)
{
    (void)state;
    hash("c", "state cancelled type t");
    hash("e", "state expired type t");
    EXPECT(runs_redis, NULL, 1, "cancelled", "", "result", "q/c");
    EXPECT(runs_redis, NULL, 1, "expired", "", "result", "q/e");
}

/* What strangers write there is shown as it is, or not at all. */
static void strange_hashes_do_no_harm(void **state)
{
    (void)state;
    hash("s",
         "state \x1b[2J attempt many due_at 99999999999999999999999 "
         "progress -1 started_at 1e9 ended_at -9223372036854775807 lane \x01");
    struct cli_result r = CLI(runs_redis, NULL, "status", "q/s");
    assert_int_equal(r.status, 0);
    assert_null(strchr(r.out, '\x1b'));
    cli_result_done(&r);
    STATUS("attempt", "\"many\"", "q/s");
    EXPECT(runs_redis, NULL, 0, "q/s: ", "", "explain", "q/s");
    redis_do(runs_redis, "SET belt:{q}:job:list 1");
    EXPECT(runs_redis, NULL, 70, "", "WRONGTYPE", "status", "q/list");
}

static bool is_active(void *arg)
{
    struct cli_result r = CLI(runs_redis, NULL, "status", arg);
    bool found = r.status == 0 && strstr(r.out, "active");

    cli_result_done(&r);
    return found;
}

static void a_running_job_is_found_with_its_worker(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler",
                    runs_handler("t", "while [ ! -e $out ]; do sleep 0.02; "
                                      "done"),
                    NULL);
    runs_push("{\"id\":\"long\",\"type\":\"t\"}");
    char name[] = "q/long";
    assert_true(wait_until(is_active, name, RUN_MS));
    EXPECT(runs_redis, NULL, 1, "(not found)", "", "status", "q/other");
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_rest();
    EXPECT(runs_redis, NULL, 1, "(not found)", "", "status", "q/long");
    runs_end(w);
}

static bool is_half_done(void *arg)
{
    struct cli_result r = CLI(runs_redis, NULL, "status", arg, "--json");
    bool found = strstr(r.out, "\"state\":\"active\"") &&
                 strstr(r.out, "\"progress\":40") &&
                 strstr(r.out, "\"message\":\"half\"");

    cli_result_done(&r);
    return found;
}

static void a_running_job_tells_how_far_it_is(void **state)
{
    char name[] = "q/far";

    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("t", "echo '{\"op\":\"progress\",\"percent\":40,"
                          "\"message\":\"half\"}' >&3\n"
                          "while [ ! -e $out ]; do sleep 0.02; done"),
        NULL);
    EXPECT(runs_redis, NULL, 0, name, "", "push", "-q", "q", "t", "--id", "far",
           "--keep", "1h");
    assert_true(wait_until(is_half_done, name, RUN_MS));
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    EXPECT(runs_redis, NULL, 0, "done", "", "wait", name);
    runs_end(w);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_kept_job_says_what_it_was_told),
        CLAIM(what_has_passed_is_put_right),
        CLAIM(what_is_not_kept_is_looked_for),
        CLAIM(only_the_job_itself_is_found),
        CLAIM(a_long_set_is_looked_through),
        CLAIM(a_bare_id_is_looked_for_in_all_queues),
        CLAIM(names_come_from_stdin_too),
        CLAIM(raw_gives_the_bytes_of_a_result),
        CLAIM(a_result_may_be_that_it_was_cancelled),
        CLAIM(strange_hashes_do_no_harm),
        CLAIM(a_running_job_is_found_with_its_worker),
        CLAIM(a_running_job_tells_how_far_it_is),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
