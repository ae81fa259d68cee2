/*
 * Claims about jobs that a run pushes by its control channel: they are there
 * exactly if it is done, and all of them are.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/job.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

/* Lines of descriptor 3, each with one envelope. */
#define PUSH "push() { printf '{\"op\":\"push\",\"job\":%s}\\n' \"$1\" >&3; }\n"
/* Pushes so many at once, without a process for each. */
#define MANY                                                                   \
    PUSH "many() { seq $1 | sed 's/.*/"                                        \
         "{\"op\":\"push\",\"job\":{\"type\":\"leaf\",\"payload\":&}}/' >&3; " \
         "}\n"
#define LEAF runs_handler("leaf", "echo leaf $(cat) >> $out")

static void expect_stat(const char *name, long long n)
{
    if (queue_stat(runs_redis, "q", name) != n)
        fail_msg("%s is %lld, not %lld", name,
                 queue_stat(runs_redis, "q", name), n);
}

static void expect_dead(const char *class, const char *message)
{
    struct job *job = runs_first("dead");
    char *text =
        mem_printf("\"class\":\"%s\",\"message\":\"%s", class, message);
    if (strstr(job->raw, text) == NULL)
        fail_msg("no %s in %s", text, job->raw);
    free(text);
    job_free(job);
}

static void pushes_come_if_and_only_if_the_run_is_done(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p",
                     PUSH "push '{\"type\":\"leaf\",\"payload\":'$(cat)'}'\n"
                          "[ $BELT_JOB_ID != snooze ] || "
                          "printf '{\"op\":\"snooze\",\"after\":\"1h\"}' >&3\n"
                          "exit ${BELT_JOB_ID#code}"),
        "--handler", LEAF, NULL);
    runs_push("{\"id\":\"code65\",\"type\":\"p\",\"payload\":65}");
    runs_push("{\"id\":\"code99\",\"type\":\"p\",\"payload\":99}");
    runs_push("{\"id\":\"code126\",\"type\":\"p\",\"payload\":126}");
    runs_push("{\"id\":\"code1\",\"type\":\"p\",\"payload\":1,"
              "\"backoff\":[3600000]}");
    runs_await_stat("dead", 1);
    runs_await_stat("discarded", 1);
    runs_await_stat("put_off", 1);
    runs_await_stat("retried", 1);
    expect_stat("pushed", 0);
    runs_push("{\"id\":\"code0\",\"type\":\"p\",\"payload\":7}");
    runs_await_stat("done", 2);
    runs_expect_line("leaf 7");
    expect_stat("pushed", 1);
    expect_stat("sent", 0);
    runs_end(w);
}

static void a_snoozed_run_pushes_nothing(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p",
                     PUSH "push '{\"type\":\"leaf\"}'\n"
                          "echo '{\"op\":\"snooze\",\"after\":\"1h\"}' >&3"),
        NULL);
    runs_push("{\"type\":\"p\"}");
    runs_await_stat("snoozed", 1);
    expect_stat("pushed", 0);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 0);
    runs_end(w);
}

static void they_go_where_they_say_before_what_follows(void **state)
{
    char text[64];
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p",
                     PUSH "push '{\"type\":\"there\",\"queue\":\"other\"}'\n"
                          "push '{\"type\":\"leaf\",\"in\":3600000}'\n"
                          "push ' {\"type\":\"leaf\",\"id\":\"mine\","
                          "\"payload\":1}'\n"
                          "push '{\"type\":\"leaf\",\"queue\":\"q\","
                          "\"payload\":2}'\n"),
        "--handler", LEAF, "--threads", "1", NULL);
    runs_push("{\"type\":\"p\",\"then\":{\"type\":\"leaf\",\"payload\":3}}");
    runs_await_stat("done", 4);
    runs_end(w); /* after what goes through the outbox has arrived */
    expect_stat("pushed", 4);
    expect_stat("sent", 2);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{other}"), 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:scheduled"), 1);
    FILE *f = fopen(runs_out(), "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    assert_string_equal(text, "leaf 1\nleaf 2\nleaf 3\n");
}

static bool has_told(void *arg)
{
    (void)arg;
    return file_lines(runs_out()) == 1;
}

/* The first run is killed with its worker between its push and its end. */
static void a_worker_that_dies_leaves_one_set(void **state)
{
    (void)state;
    const char *p =
        runs_handler("p", PUSH "push '{\"type\":\"leaf\",\"payload\":1}'\n"
                               "push '{\"type\":\"x\",\"queue\":\"other\"}'\n"
                               "echo told >> $out\n"
                               "[ $BELT_RECOVERED -gt 0 ] || sleep 1000");
    const char *leaf = LEAF;
    struct worker *w = runs_worker("--handler", p, "--handler", leaf, NULL);
    runs_push("{\"type\":\"p\"}");
    assert_true(wait_until(has_told, NULL, RUN_MS));
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, RUN_MS), -SIGKILL);
    assert_int_equal(queue_stat(runs_redis, "q", "pushed"), 0);
    struct worker *second =
        runs_worker("--handler", p, "--handler", leaf, NULL);
    runs_await_stat("done", 2);
    runs_end(second);
    expect_stat("pushed", 1);
    expect_stat("sent", 1);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{other}"), 1);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 0);
    assert_int_equal(file_lines(runs_out()), 3);
}

static void one_run_may_push_a_thousand(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("p", MANY "many $(cat)"),
                    "--handler", "leaf=builtin:noop", NULL);
    for (int i = 0; i < 3; i++)
        runs_push("{\"type\":\"p\",\"payload\":1000}");
    runs_await_stat("done", 3003);
    expect_stat("pushed", 3000);
    runs_push("{\"type\":\"p\",\"payload\":1001,\"max_attempts\":1}");
    runs_await_stat("dead", 1);
    expect_dead("push", "push 1001: one run may push 1000 jobs");
    assert_int_equal(worker_count(w, "ev=push_refused"), 1);
    runs_await_rest();
    expect_stat("pushed", 3000);
    runs_end(w);
}

static void they_and_what_follows_fit_one_call(void **state)
{
    struct buf b = {0};
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("p", MANY "many $(cat)"),
                    "--handler", "leaf=builtin:noop", NULL);
    buf_str(&b, "\"then\":[");
    for (int i = 0; i < 100; i++)
        buf_str(&b, i > 0 ? ",{\"type\":\"leaf\"}" : "{\"type\":\"leaf\"}");
    buf_str(&b, "]");
    runs_push("{\"type\":\"p\",\"payload\":900,%s}", b.data);
    runs_await_stat("done", 1001);
    runs_push("{\"type\":\"p\",\"payload\":901,\"max_attempts\":1,%s}", b.data);
    runs_await_stat("dead", 1);
    expect_dead("push", "push 901: one run may push 900 jobs beside its");
    expect_stat("pushed", 1000);
    buf_done(&b);
    runs_end(w);
}

static void large_ones_fit_one_call(void **state)
{
    (void)state;
    /* A little less than 1 MiB each. */
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p", "for i in $(seq $(cat)); do\n"
                          "printf '{\"op\":\"push\",\"job\":{\"type\":\"leaf\","
                          "\"payload\":\"%01048000d\"}}\\n' $i; done >&3"),
        "--handler", "leaf=builtin:noop", NULL);
    for (int i = 0; i < 3; i++)
        runs_push("{\"type\":\"p\",\"payload\":4}");
    runs_await_stat("done", 15);
    runs_push("{\"type\":\"p\",\"payload\":5,\"max_attempts\":1}");
    runs_await_stat("dead", 1);
    expect_dead("push", "push 5: one run may push 4 MiB");
    runs_await_rest();
    expect_stat("pushed", 12);
    runs_end(w);
}

static void a_push_that_is_refused_fails_the_run(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"{\"op\":\"push\",\"job\":{\"payload\":1}}", "push 2: type: missing"},
        {"{\"op\":\"push\",\"job\":[]}", "push 2: not an object"},
        {"{\"op\":\"push\"}", "push 2: \\\"job\\\" is missing"},
        {"{\"op\":\"push\",\"job\":{\"type\":\"leaf\"}", "push 2: "},
        {"{\"op\":\"push\",\"job\":{\"type\":\"leaf\",\"queue\":\"-\"}}",
         "push 2: queue: not a name"},
        {"{\"op\":\"push\",\"job\":{\"type\":\"leaf\",\"then\":[{}]}}",
         "push 2: then 1: type: missing"},
    };
    (void)state;
    struct worker *w =
        runs_worker("--handler",
                    runs_handler("p", PUSH "push '{\"type\":\"leaf\"}'\n"
                                           "read -r line; eval line=$line\n"
                                           "printf '%s\\n' \"$line\" >&3\n"
                                           "push '{\"type\":\"leaf\"}'\n"
                                           "echo result"),
                    NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = {0};
        /* A JSON string of it is, with these, a word of sh. */
        buf_json_string(&b, rows[i].line, strlen(rows[i].line));
        runs_push("{\"id\":\"j\",\"type\":\"p\",\"max_attempts\":1,\"keep\":"
                  "600000,\"payload\":%s}",
                  b.data);
        buf_done(&b);
        runs_await_stat("dead", (long long)i + 1);
        expect_dead("push", rows[i].message);
        assert_int_equal(redis_int(runs_redis, "HEXISTS belt:{q}:job:j result"),
                         0);
        redis_do(runs_redis, "DEL belt:{q}:dead");
    }
    expect_stat("pushed", 0);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 0);
    runs_end(w);
}

/* Handlers with keys need a file. */
static const char *config(const char *handler)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/belt.conf", redis_dir(runs_redis));
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(handler, f);
    (void)fclose(f);
    return path;
}

static void who_is_silent_is_stopped_and_retried(void **state)
{
    const char *spec = runs_handler(
        "h", "trap 'echo term >> $out; exit 0' TERM\n"
             "case $(cat) in\n"
             "1) echo began >> $out; while :; do sleep 0.02; done;;\n"
             "2) for i in 1 2 3 4 5 6 7 8; do sleep 0.1\n"
             "   echo '{\"op\":\"heartbeat\"}' >&3; done;;\n"
             "3) for i in 1 2 3 4 5 6 7 8; do sleep 0.1\n"
             "   echo '{\"op\":\"progress\",\"percent\":1}' >&3; done;;\n"
             "esac\n");
    char *text = mem_printf("handler \"h\" { exec = \"%s\" heartbeat = 500ms "
                            "kill-after = 5s }\n",
                            strchr(spec, ':') + 1);
    (void)state;
    struct worker *w = runs_worker("-c", config(text), "--threads", "3", NULL);
    free(text);
    runs_push("{\"type\":\"h\",\"payload\":1,\"max_attempts\":1}");
    runs_push("{\"type\":\"h\",\"payload\":2,\"max_attempts\":1}");
    runs_push("{\"type\":\"h\",\"payload\":3,\"max_attempts\":1}");
    runs_await_stat("dead", 1);
    expect_dead("heartbeat", "said nothing for 500ms");
    runs_expect_line("term");
    runs_await_stat("done", 2);
    expect_stat("dead", 1);
    runs_end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pushes_come_if_and_only_if_the_run_is_done),
        TEST(a_snoozed_run_pushes_nothing),
        TEST(they_go_where_they_say_before_what_follows),
        TEST(a_worker_that_dies_leaves_one_set),
        TEST(one_run_may_push_a_thousand),
        TEST(they_and_what_follows_fit_one_call),
        TEST(large_ones_fit_one_call),
        TEST(a_push_that_is_refused_fails_the_run),
        TEST(who_is_silent_is_stopped_and_retried),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
