/*
 * Claims about belt progress, belt log and belt emit: what a handler that is a
 * shell script says with them, and what they say to who is in no handler.
 */
#include <stdio.h>
#include <string.h>

#include "common/job/job.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

#define B BELT_BIN " "

static bool has_message(void *arg)
{
    char text[64];
    (void)redis_str(runs_redis, text, sizeof(text),
                    "HGET belt:{q}:job:j message");
    return strcmp(text, arg) == 0;
}

static bool has_logged(void *arg)
{
    return worker_said(arg, "message=first");
}

static void a_script_tells_how_far_it_is_and_logs(void **state)
{
    char text[64], message[] = "half way";
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p", B "progress 3/8 half way && " B
                            "log --level warn 'two words' and more && "
                            "printf 'one\\ntwo' | " B "log - && "
                            "until [ -e $out ]; do sleep 0.01; done"),
        NULL);
    runs_push("{\"id\":\"j\",\"type\":\"p\",\"keep\":600000}");
    assert_true(wait_until(has_message, message, RUN_MS));
    assert_string_equal(redis_str(runs_redis, text, sizeof(text),
                                  "HGET belt:{q}:job:j progress"),
                        "37.5");
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_stat("done", 1);
    assert_int_equal(worker_count(w, "lvl=warn ev=log "), 1);
    assert_int_equal(worker_count(w, "lvl=info ev=log "), 2);
    assert_int_equal(worker_count(w, "message=\"two words and more\""), 1);
    assert_int_equal(worker_count(w, "message=one"), 1);
    assert_int_equal(worker_count(w, "message=two"), 1);
    runs_end(w);
}

static void a_script_emits_what_push_would_push(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p", B "emit leaf name=Ada age:=36 --id mine "
                            "--max-attempts 3 --timeout 5s --in 1h "
                            "--backoff fixed:2s --meta a=b "
                            "--after other/first && "
                            "echo '[1, 2]' | " B "emit -q other leaf - && " B
                            "emit leaf"),
        "--handler", runs_handler("leaf", "cat >> $out"), NULL);
    runs_push("{\"type\":\"p\"}");
    runs_await_stat("done", 2);
    runs_end(w);
    runs_expect_line("null");
    struct job *job = runs_first("scheduled");
    assert_string_equal(job->id, "mine");
    assert_int_equal(job->max_attempts, 3);
    assert_int_equal(job->timeout_ms, 5000);
    assert_non_null(strstr(job->raw, "{\"name\":\"Ada\",\"age\":36}"));
    assert_non_null(strstr(job->raw, "\"meta\":{\"a\":\"b\"}"));
    assert_non_null(strstr(job->raw, "\"after\":\"other/first\""));
    assert_non_null(strstr(job->raw, "{\"kind\":\"fixed\",\"delay\":2000}"));
    assert_true(job->created_at_ms > 0);
    job_free(job);
    char text[512];
    assert_non_null(strstr(
        redis_str(runs_redis, text, sizeof(text), "LINDEX belt:{other} 0"),
        "\"payload\":[1, 2]"));
}

/* Each line is larger than what one write can bring at once. */
static void lines_of_many_at_once_do_not_mix(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do\n"
                          "(for j in 1 2 3; do printf '\"%0100000d\"' $i$j | " B
                          "emit leaf - || exit 1; " B "log short; done) &\n"
                          "done; wait"),
        "--handler", "leaf=builtin:noop", "--threads", "1", NULL);
    runs_push("{\"type\":\"p\",\"max_attempts\":1}");
    runs_await_stat("done", 37);
    assert_int_equal(worker_count(w, "ev=log "), 36);
    runs_end(w);
}

/* Its next line may take long to come: others speak meanwhile. */
static void a_log_that_waits_for_its_next_line_is_in_nobodys_way(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("p", "mkfifo $out.in && { " B "log - < $out.in & } && "
                          "exec 5> $out.in && echo first >&5 && "
                          "until [ -e $out ]; do sleep 0.01; done; "
                          "timeout 5 " B "progress 50 half way || exit 65; "
                          "exec 5>&-; wait"),
        NULL);
    runs_push("{\"id\":\"j\",\"type\":\"p\",\"max_attempts\":1}");
    assert_true(wait_until(has_logged, w, RUN_MS));
    FILE *f = fopen(runs_out(), "we");
    assert_non_null(f);
    (void)fclose(f);
    runs_await_stat("done", 1);
    runs_end(w);
}

static void a_script_speaks_of_sub_tasks(void **state)
{
    static const char said[] =
        "{\"op\":\"subtasks\",\"order\":\"emitted\",\"results\":false}\n"
        "{\"op\":\"subtask\",\"type\":\"resize\",\"key\":\"a b\","
        "\"payload\":{\"width\":640}}\n"
        "{\"op\":\"subtasks_end\"}\n"
        "{\"op\":\"subtasks_cancel\"}\n"
        "{\"op\":\"subtask\",\"type\":\"t\",\"payload\":{ \"a\": 1}}\n";
    char got[sizeof(said) + 64];
    static const char script[] =
        "export BELT_CONTROL_FD=1; " B
        "emit --subtasks order=emitted results:=false && " B
        "emit --subtask --key 'a b' resize width:=640 && " B "emit --end && " B
        "emit --cancel && "
        "printf '{\n\"a\":\n1}\n' | " B "emit --subtask t -";
    FILE *p = popen(script, "re"); /* NOLINT(cert-env33-c) paths are ours */
    (void)state;
    assert_non_null(p);
    size_t n = fread(got, 1, sizeof(got) - 1, p);
    got[n] = '\0';
    assert_int_equal(pclose(p), 0);
    assert_string_equal(got, said);
}

static void outside_of_a_handler_nothing_is_said(void **state)
{
    static const char why[] = "not in a handler: BELT_CONTROL_FD is not set";
    (void)state;
    EXPECT(NULL, NULL, 64, "", why, "progress", "5");
    EXPECT(NULL, NULL, 64, "", why, "log", "x");
    EXPECT(NULL, NULL, 64, "", why, "emit", "t");
    EXPECT(NULL, NULL, 64, "", why, "emit", "--end");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    EXPECT(NULL, NULL, 64, "", "101: neither a number", "progress", "101");
    EXPECT(NULL, NULL, 64, "", "3/0: neither a number", "progress", "3/0");
    EXPECT(NULL, NULL, 64, "", "0x10: neither a number", "progress", "0x10");
    EXPECT(NULL, NULL, 64, "", "\"loud\" is none of", "log", "--level", "loud",
           "x");
    EXPECT(NULL, NULL, 64, "", "an argument is missing", "log");
    EXPECT(NULL, NULL, 64, "", "TYPE is missing", "emit");
    EXPECT(NULL, NULL, 65, "", "neither JSON nor", "emit", "t", "x");
    EXPECT(NULL, NULL, 66, "", "/nowhere", "emit", "t", "@/nowhere");
    EXPECT(NULL, NULL, 65, "", "queue: -: not a name", "emit", "t",
           "--queue=-");
    EXPECT(NULL, NULL, 64, "", "--backoff", "emit", "t", "--backoff=soon");
    EXPECT(NULL, NULL, 64, "", "one of them", "emit", "--end", "--cancel");
    EXPECT(NULL, NULL, 64, "", "no flag of a job", "emit", "--subtask", "t",
           "-q", "x");
    EXPECT(NULL, NULL, 64, "", "--key is for", "emit", "t", "--key=1");
    EXPECT(NULL, NULL, 65, "", "order: \"finished\" or", "emit", "--subtasks",
           "order=any");
    EXPECT(NULL, NULL, 65, "", "\"ordr\": order, on_error", "emit",
           "--subtasks", "ordr=emitted");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_script_tells_how_far_it_is_and_logs),
        TEST(a_script_emits_what_push_would_push),
        TEST(lines_of_many_at_once_do_not_mix),
        TEST(a_log_that_waits_for_its_next_line_is_in_nobodys_way),
        TEST(a_script_speaks_of_sub_tasks),
        TEST(outside_of_a_handler_nothing_is_said),
        TEST(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
