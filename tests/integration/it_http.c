/*
 * Claims about handlers of kind http in a real worker: a job becomes a POST,
 * the answer its end, and a server that hangs keeps nobody from stopping.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/job.h"
#include "tests/integration/runs.h"
#include "tests/unit/http_server.h"
#include "tests/unit/unit.h"

static struct http_server *server;

/* "TYPE=http:URL", for free(). */
static char *hook(const char *type, const char *path)
{
    return mem_printf("%s=http:http://127.0.0.1:%d%s", type,
                      http_server_port(server), path);
}

static int start(void **state)
{
    server = http_server_start(false);
    return runs_start(state);
}

static int stop(void **state)
{
    http_server_stop(server);
    return runs_stop(state);
}

static void jobs_end_as_they_are_answered(void **state)
{
    enum { JOBS = 200 };
    char *ok = hook("ok", "/ok"), *gone = hook("gone", "/status/410");
    char *slow = hook("slow", "/after/3600");
    (void)state;
    struct worker *w = runs_worker("--handler", ok, "--handler", gone,
                                   "--handler", slow, NULL);
    runs_push("{\"id\":\"a\",\"type\":\"gone\"}");
    runs_push("{\"id\":\"b\",\"type\":\"slow\"}");
    runs_push("{\"id\":\"k\",\"type\":\"ok\",\"keep\":60000,"
              "\"payload\":{\"x\": 1}}");
    for (int i = 0; i < JOBS; i++)
        runs_push("{\"type\":\"ok\",\"payload\":%d}", i);
    runs_await_stat("done", JOBS + 1);
    runs_await_stat("dead", 1);
    runs_await_stat("retried", 1);
    char text[32];
    assert_string_equal(
        redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:job:k result"),
        "{\"x\": 1}");
    struct job *dead = runs_first("dead");
    assert_non_null(strstr(dead->raw, "/status/410 answered 410: first line"));
    job_free(dead);
    /* An hour, as the server asked, and not the policy's quarter of a minute.
     */
    assert_true(redis_int(runs_redis, "ZCOUNT belt:{q}:retry %lld +inf",
                          clock_wall_ms() + 3500 * 1000LL) == 1);
    runs_end(w);
    free(ok);
    free(gone);
    free(slow);
}

static void a_server_that_hangs_keeps_no_worker(void **state)
{
    char *hang = hook("hang", "/hang");
    (void)state;
    struct worker *w =
        runs_worker("--handler", hang, "--drain-timeout", "0", NULL);
    runs_push("{\"id\":\"a\",\"type\":\"hang\"}");
    http_server_await_request(server);
    runs_end(w);
    /* Given back, no attempt counted. */
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 1);
    free(hang);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(jobs_end_as_they_are_answered),
        TEST(a_server_that_hangs_keeps_no_worker),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
