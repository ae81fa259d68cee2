/*
 * Claims about plugins in a real worker: what becomes of their jobs, and what
 * of a worker whose plugin does not stop, or crashes.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/job/job.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define PLUGIN "x=plugin:" TEST_PLUGIN " text"

/* A kept job whose id is the act, with more members. */
static void push(const char *act, const char *more)
{
    runs_push("{\"id\":\"%s\",\"type\":\"x\",\"payload\":\"%s\",\"keep\":60000,"
              "\"backoff\":[3600000]%s}",
              act, act, more);
}

static void expect_kept(const char *id, const char *field, const char *value)
{
    char text[1024];
    assert_string_equal(redis_str(runs_redis, text, sizeof(text),
                                  "HGET belt:{q}:job:%s %s", id, field),
                        value);
}

static void expect_first(const char *set, const char *id, int attempt,
                         const char *const *texts)
{
    struct job *job = runs_first(set);
    assert_string_equal(job->id, id);
    assert_int_equal(job->attempt, attempt);
    for (; *texts != NULL; texts++) {
        char *raw = mem_dup(job->raw, job->raw_len);
        if (strstr(raw, *texts) == NULL)
            fail_msg("no %s in %s", *texts, raw);
        free(raw);
    }
    job_free(job);
}

struct said {
    struct worker *w;
    const char *text;
    unsigned n;
};

static bool is_said(void *arg)
{
    struct said *s = arg;
    return worker_count(s->w, s->text) >= s->n;
}

static void await_said(struct worker *w, const char *text, unsigned n)
{
    struct said s = {w, text, n};
    if (!wait_until(is_said, &s, RUN_MS))
        fail_msg("%s is not said %u times in %s", text, n, worker_log(w));
}

/* Waits until the job runs: it says how far it is. */
static void await_running(const char *id)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "HEXISTS belt:{q}:job:%s progress",
                   id);
    runs_await(command, 1);
}

static void every_verdict_has_its_end(void **state)
{
    static const char *const acts[] = {"done", "retry",  "dead", "discard",
                                       "big",  "snooze", "odd",  "wrong"};
    (void)state;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        push(acts[i], "");
    struct worker *w = runs_worker("--handler", PLUGIN, "--threads", "2", NULL);
    runs_await_stat("done", 3);
    runs_await_stat("retried", 2);
    runs_await_stat("dead", 1);
    runs_await_stat("discarded", 1);
    runs_await_stat("snoozed", 1);
    expect_kept("done", "state", "done");
    expect_kept("done", "result",
                "{\"id\":\"done\",\"type\":\"x\",\"queue\":\"q\","
                "\"attempt\":1,\"max_attempts\":20,\"recovered\":0,"
                "\"args\":\"text\"}");
    expect_kept("discard", "state", "cancelled");
    assert_int_equal(redis_int(runs_redis, "HSTRLEN belt:{q}:job:big result"),
                     65536);
    expect_first("dead", "dead", 1,
                 (const char *[]){"\"class\":\"input\"", "no sense", NULL});
    expect_first("retry", "odd", 1, (const char *[]){"returned 42", NULL});
    expect_first("scheduled", "snooze", 0, (const char *[]){NULL});
    assert_int_equal(worker_count(w, "ev=plugin type=x path="), 1);
    runs_end(w);
}

static void pushes_come_with_its_done(void **state)
{
    (void)state;
    push("push", "");
    struct worker *w = runs_worker("--handler", PLUGIN, NULL);
    runs_await_stat("done", 2);
    expect_kept("pushed", "state", "done");
    runs_end(w);
}

static void a_cancelled_run_is_told(void **state)
{
    (void)state;
    push("waits", "");
    struct worker *w = runs_worker("--handler", PLUGIN, NULL);
    await_running("waits");
    expect_kept("waits", "progress", "40");
    EXPECT(runs_redis, NULL, 0, "cancelled", "", "cancel", "--wait", "q/waits");
    assert_int_equal(worker_count(w, "message=cancelled"), 1);
    expect_kept("waits", "state", "cancelled");
    runs_end(w);
}

static void a_run_beyond_its_limit_is_told(void **state)
{
    (void)state;
    push("waits", ",\"timeout\":50");
    struct worker *w = runs_worker("--handler", PLUGIN, NULL);
    runs_await_stat("retried", 1);
    assert_int_equal(worker_count(w, "message=timeout"), 1);
    expect_first("retry", "waits", 1,
                 (const char *[]){"timed out after 50ms\"", NULL});
    runs_end(w);
}

static void a_run_of_a_worker_that_ends_is_given_back(void **state)
{
    (void)state;
    push("waits", "");
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--drain-timeout", "50ms", NULL);
    await_running("waits");
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    assert_int_equal(worker_count(w, "message=stopping"), 1);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 1);
    assert_int_equal(worker_count(w, "ev=given_up"), 0);
    (void)runs_over(NULL);
}

/* ---- runs that do not stop ---- */

/* Entries of a directory of /proc/PID. */
static unsigned entries(pid_t pid, const char *name)
{
    char path[64];
    unsigned n = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static unsigned open_files(pid_t pid)
{
    return entries(pid, "fd");
}

static unsigned threads_of(pid_t pid)
{
    return entries(pid, "task");
}

/* A line of /proc/PID/status, with its name. */
static void expect_status(pid_t pid, const char *line)
{
    char path[64], text[256];
    bool found = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (!found && fgets(text, sizeof(text), f) != NULL)
        found = strcmp(text, line) == 0;
    (void)fclose(f);
    if (!found)
        fail_msg("no %s", line);
}

static void a_hanging_run_costs_its_job_an_attempt_and_no_more(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler", PLUGIN, "--handler", "s=builtin:sleep 300ms", "--threads",
        "3", "--timeout", "100ms", "--kill-after", "50ms", NULL);
    pid_t pid = worker_pid(w);
    runs_await_idle(1);
    unsigned files = open_files(pid), threads = threads_of(pid);
    push("hangs", "");
    push("late", "");
    await_running("hangs");
    await_running("late");
    /* Begun when the others are about to be given up; it may take its time. */
    runs_push("{\"id\":\"s\",\"type\":\"s\",\"timeout\":60000}");
    runs_await_stat("retried", 2);
    runs_await_stat("done", 1);
    await_said(w, "ev=replace ", 1);
    await_said(w, "ev=start ", 2);
    push("done", "");
    runs_await_stat("done", 2);
    assert_false(worker_has_ended(w));
    assert_int_equal(worker_pid(w), pid);
    runs_await_idle(1);
    if (open_files(pid) > files)
        fail_msg("%u descriptors, before %u", open_files(pid), files);
    expect_status(pid, "SigBlk:\t0000000000000000\n");
    assert_int_equal(threads_of(pid), threads);
    assert_int_equal(worker_count(w, "ev=given_up "), 2);
    assert_int_equal(worker_count(w, "too late"), 0);
    assert_int_equal(queue_stat(runs_redis, "q", "released"), 0);
    expect_first("retry", "hangs", 1,
                 (const char *[]){"\"class\":\"timeout\"", "timed out after",
                                  "did not stop", NULL});
    runs_end(w);
}

static void a_cancelled_run_that_hangs_is_given_up(void **state)
{
    (void)state;
    push("hangs", "");
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--cancel-kill-after", "10ms", NULL);
    await_running("hangs");
    EXPECT(runs_redis, NULL, 0, "cancelled", "", "cancel", "--wait", "q/hangs");
    await_said(w, "ev=start ", 2);
    assert_true(worker_is_up(w, 2));
    runs_end(w);
}

static void a_hanging_run_does_not_keep_a_worker_from_its_end(void **state)
{
    (void)state;
    push("hangs", "");
    struct worker *w = runs_worker("--handler", PLUGIN, "--drain-timeout",
                                   "10ms", "--kill-after", "10ms", NULL);
    await_running("hangs");
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 1);
    assert_int_equal(worker_count(w, "ev=given_up "), 1);
    assert_int_equal(worker_count(w, "ev=start "), 1);
    (void)runs_over(NULL);
}

static void a_burst_goes_on_after_a_hanging_run(void **state)
{
    (void)state;
    push("hangs", "");
    for (int i = 0; i < 10; i++)
        runs_push("{\"type\":\"x\",\"payload\":\"naps\"}");
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--threads", "1", "--burst",
                    "--timeout", "50ms", "--kill-after", "10ms", NULL);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    assert_int_equal(queue_stat(runs_redis, "q", "done"), 10);
    assert_int_equal(queue_stat(runs_redis, "q", "retried"), 1);
    (void)runs_over(NULL);
}

/* It hangs again at once: no more than one replacement in 30 s. */
static void
a_plugin_that_always_hangs_is_not_replaced_all_the_time(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--threads", "2", "--timeout", "20ms",
                    "--kill-after", "10ms", NULL);
    push("hangs", "");
    await_said(w, "ev=start ", 2);
    assert_true(worker_is_up(w, 2));
    runs_push("{\"id\":\"a\",\"type\":\"x\",\"payload\":\"hangs\","
              "\"backoff\":[3600000]}");
    runs_await_stat("retried", 2);
    /* The other thread works on. */
    push("done", "");
    runs_await_stat("done", 1);
    assert_int_equal(worker_count(w, "ev=replace "), 1);
    /* Then none is left: what it had goes back, and so does it. */
    runs_push("{\"id\":\"b\",\"type\":\"x\",\"payload\":\"hangs\","
              "\"backoff\":[3600000]}");
    runs_await_stat("retried", 3);
    await_said(w, "ev=replace ", 2);
    await_said(w, "ev=stop ", 2);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 0);
    assert_int_equal(worker_count(w, "ev=start "), 2);
    runs_end(w);
}

/* ---- sub-tasks ---- */

static void a_run_has_parts(void **state)
{
    (void)state;
    push("parts", "");
    push("bad-part", "");
    struct worker *w = runs_worker("--handler", PLUGIN, "--handler",
                                   "echo=builtin:echo", NULL);
    runs_await_stat("done", 2);
    expect_kept("parts", "result", "4950");
    expect_kept("bad-part", "result", "no sense in it");
    runs_end(w);
}

static void a_part_that_hangs_is_given_up(void **state)
{
    (void)state;
    push("parts-hang", ",\"timeout\":500"); /* the part has to begin in it */
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--kill-after", "10ms", NULL);
    runs_await_stat("retried", 1);
    await_said(w, "ev=start ", 2);
    assert_int_equal(worker_count(w, "ev=given_up "), 1);
    assert_true(worker_is_up(w, 2));
    runs_end(w);
}

static void a_parent_that_hangs_is_given_up_with_its_parts(void **state)
{
    (void)state;
    push("all-hang", ",\"timeout\":500"); /* the part has to begin in it */
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--kill-after", "10ms", NULL);
    runs_await_stat("retried", 1);
    await_said(w, "ev=start ", 2);
    assert_true(worker_is_up(w, 2));
    expect_first("retry", "all-hang", 1,
                 (const char *[]){"\"class\":\"timeout\"", "given up", NULL});
    runs_end(w);
}

static void a_crash_is_recovered_from_and_counted(void **state)
{
    (void)state;
    push("crash", "");
    for (int i = 0; i < 2; i++) {
        struct worker *w =
            runs_worker("--handler", PLUGIN, "--max-recoveries", "2", NULL);
        assert_int_equal(worker_wait(w, RUN_MS), -SIGABRT);
        (void)runs_over(NULL);
    }
    struct worker *w =
        runs_worker("--handler", PLUGIN, "--max-recoveries", "2", NULL);
    runs_await_stat("dead", 1);
    expect_first(
        "dead", "crash", 0,
        (const char *[]){"\"class\":\"poison\"", "recovered 2 times", NULL});
    runs_end(w);
}

/* ---- configuration ---- */

static void expect_exit(int code, const char *said, const char *handler,
                        const char *flag)
{
    struct worker *w = worker_exec(
        runs_redis,
        (const char *[]){BELT_WORKER_BIN, "-u", redis_url(runs_redis), "-q",
                         "q", "--handler", handler, flag, NULL},
        NULL);
    assert_int_equal(worker_wait(w, RUN_MS), code);
    if (!worker_said(w, said))
        fail_msg("\"%s\" is not in %s", said, worker_log(w));
    worker_free(w);
}

static void what_cannot_be_loaded_is_an_error_of_the_configuration(void **state)
{
    (void)state;
    push("done", "");
    expect_exit(64, "/nowhere/x.so: cannot open", "x=plugin:/nowhere/x.so",
                "--check");
    expect_exit(64, "made for plugin ABI 99", "x=plugin:" TEST_PLUGIN_ABI,
                NULL);
    expect_exit(0, "ok", "x=plugin:" TEST_PLUGIN " fail", "--check");
    expect_exit(78, "init: no luck", "x=plugin:" TEST_PLUGIN " fail no luck",
                NULL);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:leases"), 0);
}

static bool is_ended(void *arg)
{
    (void)arg;
    return access(runs_out(), F_OK) == 0;
}

static const char *write_config(const char *args)
{
    char *text =
        mem_printf("handler \"x\" { plugin = \"%s %s\" }\n", TEST_PLUGIN, args);
    const char *path = script_file(runs_redis, "belt.conf", text);
    free(text);
    return path;
}

/* Both are the same object, with a state each. */
static void another_configuration_begins_before_the_old_one_ends(void **state)
{
    (void)state;
    char *fini = mem_printf("fini %s", runs_out());
    struct worker *w = runs_worker("-c", write_config(fini), NULL);
    free(fini);
    (void)write_config("fail no luck");
    worker_signal(w, SIGHUP);
    await_said(w, "init: no luck", 1);
    push("done", "");
    runs_await_stat("done", 1);
    assert_true(access(runs_out(), F_OK) != 0);
    (void)write_config("new");
    worker_signal(w, SIGHUP);
    await_said(w, "ev=plugin ", 2);
    assert_true(wait_until(is_ended, NULL, RUN_MS));
    push("push", "");
    runs_await_stat("done", 3);
    runs_end(w);
}

static void the_example_works(void **state)
{
    char *handler =
        mem_printf("c=plugin:%s %s", TEST_PLUGIN_CRC32, redis_dir(runs_redis));
    (void)state;
    (void)script_file(runs_redis, "nine", "123456789");
    struct worker *w = runs_worker("--handler", handler, NULL);
    EXPECT(runs_redis, NULL, 0, "{\"bytes\":9,\"crc32\":\"cbf43926\"}", "",
           "push", "-q", "q", "--wait", "c", "\"nine\"");
    runs_push("{\"id\":\"a\",\"type\":\"c\",\"payload\":\"../nine\"}");
    runs_push("{\"id\":\"b\",\"type\":\"c\",\"payload\":\"ten\"}");
    runs_await_stat("dead", 2);
    runs_end(w);
    free(handler);
}

#define RUN(f) cmocka_unit_test_setup_teardown(f, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_verdict_has_its_end),
        RUN(pushes_come_with_its_done),
        RUN(a_cancelled_run_is_told),
        RUN(a_run_beyond_its_limit_is_told),
        RUN(a_run_of_a_worker_that_ends_is_given_back),
        RUN(a_hanging_run_costs_its_job_an_attempt_and_no_more),
        RUN(a_cancelled_run_that_hangs_is_given_up),
        RUN(a_hanging_run_does_not_keep_a_worker_from_its_end),
        RUN(a_burst_goes_on_after_a_hanging_run),
        RUN(a_plugin_that_always_hangs_is_not_replaced_all_the_time),
        RUN(a_run_has_parts),
        RUN(a_part_that_hangs_is_given_up),
        RUN(a_parent_that_hangs_is_given_up_with_its_parts),
        RUN(a_crash_is_recovered_from_and_counted),
        RUN(what_cannot_be_loaded_is_an_error_of_the_configuration),
        RUN(another_configuration_begins_before_the_old_one_ends),
        RUN(the_example_works),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
