/*
 * Claims about process handlers of a real worker: jobs by the thousand, of
 * which some kill the child that runs them, and children that are killed from
 * outside. Each child notes what it begins before it does anything else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

/*
 * Perl, since it is everywhere and starts in milliseconds. crash: ends by a
 * signal before it answers, the first time; after: once it has answered. The
 * files are log, of "ID ATTEMPT", and pids.
 */
static const char child[] =
    "#!/usr/bin/perl\n"
    "use strict;\n"
    "$| = 1;\n"
    "my $d = shift;\n"
    "open my $log, '>>', \"$d/log\" or die;\n"
    "open my $pids, '>>', \"$d/pids\" or die;\n"
    "syswrite $pids, \"$$\\n\";\n"
    "print qq({\"op\":\"ready\"}\\n);\n"
    "while (<STDIN>) {\n"
    "  my ($id, $attempt, $payload) = /^\\{\"op\":\"job\",\"id\":\"([^\"]+)\""
    ".*\"attempt\":(\\d+),.*\"payload\":(.*)\\}$/ or next;\n"
    "  syswrite $log, \"$id $attempt\\n\";\n"
    "  kill 9, $$ if $payload eq '\"crash\"' && $attempt == 1;\n"
    "  if ($payload eq '\"hang\"') {\n"
    "    system('sleep 1000 & echo $! >>' . \"$d/pids\");\n"
    "    sleep 1000;\n"
    "  }\n"
    "  select undef, undef, undef, 0.0005 if $payload eq '\"slow\"';\n"
    "  print qq({\"op\":\"push\",\"job\":{\"type\":\"x\",\"payload\":1}}\\n)\n"
    "    if $payload eq '\"push\"';\n"
    "  print qq({\"op\":\"done\",\"id\":\"$id\",\"result\":$payload}\\n);\n"
    "  kill 9, $$ if $payload eq '\"after\"';\n"
    "}\n";

/* A worker whose handler of x has these keys, of its section. */
static struct worker *start(struct redis *r, const char *keys)
{
    const char *program = script_file(r, "child", child);
    char *text = mem_printf("handler \"x\" {\n"
                            "  process = \"%s %s\"\n"
                            "%s}\n",
                            program, redis_dir(r), keys);
    const char *conf = script_file(r, "belt.conf", text);
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", "q", "--threads", "4", "-c", conf, NULL});

    free(text);
    assert_true(worker_is_up(w, 1));
    return w;
}

static void push(struct redis *r, int id, const char *payload)
{
    redis_do(r,
             "RPUSH belt:{q} {\"id\":\"j%d\",\"type\":\"x\",\"payload\":\"%s\","
             "\"backoff\":[10]}",
             id, payload);
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

static void a_job_that_crashes_its_child_is_blamed_and_no_other(void **state)
{
    enum { JOBS = 3000, CRASHES = JOBS / 50, AFTERS = JOBS / 50 };
    struct redis *r = story_redis();
    const char *log = story_path(r, "log");
    struct worker *w;

    (void)state;
    for (int i = 0; i < JOBS; i++)
        push(r, i, i % 50 == 7 ? "crash" : i % 50 == 31 ? "after" : "");
    w = start(r, "");
    story_stat(r, "q", "done", JOBS);
    assert_int_equal(queue_stat(r, "q", "done"), JOBS);
    assert_int_equal(queue_stat(r, "q", "retried"), CRASHES);
    assert_int_equal(queue_stat(r, "q", "put_off"), 0);
    /* Each attempt was begun, and none was begun twice. */
    assert_int_equal(file_lines(log), JOBS + CRASHES);
    assert_int_equal(file_distinct_lines(log), JOBS + CRASHES);
    assert_int_equal(worker_count(w, "killed by signal 9 (SIGKILL) before"),
                     CRASHES);
    stop(w);
}

/* The last line of a file of numbers; 0 if there is none. */
static pid_t last_pid(const char *path)
{
    char *text = story_read(path), *at;
    long pid;

    at = text + strlen(text);
    while (at > text && (at == text + strlen(text) || at[-1] != '\n'))
        at--;
    pid = strtol(at, NULL, 10);
    free(text);
    return (pid_t)pid;
}

static void children_may_be_killed_at_any_time(void **state)
{
    enum { JOBS = 1500, KILLS = 20 };
    struct redis *r = story_redis();
    const char *pids = story_path(r, "pids");
    struct worker *w;
    long long retried;
    int kills = 0;
    pid_t last = 0;

    (void)state;
    for (int i = 0; i < JOBS; i++)
        push(r, i, "slow");
    w = start(r, "  processes = 2\n");
    /* After each kill some jobs are done: one that is killed again and again
     * before it is ready would be a handler that is broken. */
    for (long long done = 0, next = 1; kills < KILLS && done < JOBS;) {
        pid_t pid = access(pids, F_OK) == 0 ? last_pid(pids) : 0;

        done = queue_stat(r, "q", "done");
        if (pid <= 1 || pid == last || done < next)
            continue;
        kills += kill(pid, SIGKILL) == 0;
        last = pid;
        next = done + 20;
    }
    story_stat(r, "q", "done", JOBS);
    assert_true(queue_at_rest(r, "q", STORY_MS));
    retried = queue_stat(r, "q", "retried");
    print_message("%d killed, %lld jobs blamed\n", kills, retried);
    assert_true(kills > 0);
    assert_in_range(retried, 0, kills);
    assert_int_equal(queue_stat(r, "q", "done"), JOBS);
    assert_int_equal(queue_stat(r, "q", "dead"), 0);
    stop(w);
}

static void keys_of_the_section_are_obeyed(void **state)
{
    enum { JOBS = 60 };
    struct redis *r = story_redis();
    const char *pids = story_path(r, "pids");
    struct worker *w;

    (void)state;
    for (int i = 0; i < JOBS; i++)
        push(r, i, "");
    w = start(r, "  processes = 1\n  max-jobs = 5\n");
    story_stat(r, "q", "done", JOBS);
    assert_int_equal(file_lines(pids), JOBS / 5);
    stop(w);
    assert_int_equal(file_lines(pids), JOBS / 5);
}

static void what_a_child_pushes_is_enqueued_with_its_done(void **state)
{
    struct redis *r = story_redis();
    struct worker *w = start(r, "");

    (void)state;
    for (int i = 0; i < 10; i++)
        push(r, i, "push");
    story_stat(r, "q", "done", 20);
    stop(w);
}

static bool all_are_gone(void *arg)
{
    char *text = story_read(arg), *at = text, *end;
    bool gone = true;

    for (long pid; (pid = strtol(at, &end, 10)) > 0; at = end)
        gone = gone && !story_lives((pid_t)pid);
    free(text);
    return gone;
}

static void no_child_outlives_its_worker(void **state)
{
    struct redis *r = story_redis();
    char *pids = mem_strdup(story_path(r, "pids"));
    struct worker *w = start(r, "");

    (void)state;
    push(r, 0, "");
    push(r, 1, "hang");
    push(r, 2, "hang");
    story_lines(pids, 4); /* two that hang, and their own children */
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, STORY_MS), -SIGKILL);
    story_until("the end of all children", all_are_gone, pids);
    worker_free(w);
    free(pids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_crashes_its_child_is_blamed_and_no_other),
        cmocka_unit_test(children_may_be_killed_at_any_time),
        cmocka_unit_test(keys_of_the_section_are_obeyed),
        cmocka_unit_test(what_a_child_pushes_is_enqueued_with_its_done),
        cmocka_unit_test(no_child_outlives_its_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
