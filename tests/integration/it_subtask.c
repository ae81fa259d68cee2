/*
 * Claims about sub-tasks of a real worker: parents in sh split their jobs by
 * the control channel and read what comes back.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

/* Functions that parents in sh begin with. */
#define SH                                                                     \
    "say() { printf '%s\\n' \"$1\" >&3; }\n"                                   \
    "part() { say \"{\\\"op\\\":\\\"subtask\\\",\\\"type\\\":\\\"$1\\\","      \
    "\\\"payload\\\":$2}\"; }\n"                                               \
    "end() { say '{\"op\":\"subtasks_end\"}'; }\n"

static struct worker *start(struct redis *r, const char *threads,
                            const char *const *more)
{
    const char *flags[32] = {
        "-q",        "q",
        "--threads", threads,
        "--handler", "noop=builtin:noop",
        "--handler", "echo=builtin:echo",
        "--handler", "sleep=builtin:sleep 1h",
        "--handler", "fail=builtin:fail",
    };
    unsigned n = 12;
    for (; *more != NULL; more++)
        flags[n++] = *more;
    struct worker *w = worker_start(r, NULL, flags);
    assert_true(worker_is_up(w, 1));
    return w;
}

static struct worker *start_parent(struct redis *r, const char *body)
{
    char *text = mem_printf("%s%s", SH, body);
    const char *more[] = {"--handler", story_script(r, "x", "x", text), NULL};
    struct worker *w = start(r, "2", more);
    free(text);
    return w;
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

static void push(struct redis *r, const char *id)
{
    redis_do(r, "RPUSH belt:{q} %s", id);
}

#define JOB(id, more)                                                          \
    "{\"id\":\"" id "\",\"type\":\"x\",\"keep\":600000,"                       \
    "\"backoff\":[3600000]" more "}"

static void expect_kept(struct redis *r, const char *id, const char *field,
                        const char *value)
{
    char text[4096];
    assert_string_equal(
        redis_str(r, text, sizeof(text), "HGET belt:{q}:job:%s %s", id, field),
        value);
}

static void expect_last(struct redis *r, const char *set, const char *text)
{
    char job[8192];
    (void)snprintf(job, sizeof(job), "nothing");
    redisReply *all = redis_cmd(r, "ZRANGE belt:{q}:%s 0 -1", set);
    if (all->elements == 1)
        (void)snprintf(job, sizeof(job), "%s", all->element[0]->str);
    freeReplyObject(all);
    if (strstr(job, text) == NULL)
        fail_msg("no %s in %s", text, job);
}

static void results_come_on_descriptor_4_in_the_order_of_emission(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(
        r, "say '{\"op\":\"subtasks\",\"order\":\"emitted\"}'\n"
           "part sleep 20\n"
           "part echo '\"two\"'\n"
           "say '{\"op\":\"subtask\",\"type\":\"echo\",\"payload\":{\"n\":3},"
           "\"key\":\"k\"}'\n"
           "end\n"
           "cat <&4\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    expect_kept(
        r, "a", "result",
        "{\"op\":\"result\",\"number\":1,\"state\":\"done\",\"result\":null}\n"
        "{\"op\":\"result\",\"number\":2,\"state\":\"done\",\"result\":\"two\"}"
        "\n"
        "{\"op\":\"result\",\"number\":3,\"key\":\"k\",\"state\":\"done\","
        "\"result\":{\"n\":3}}\n"
        "{\"op\":\"end\",\"done\":3,\"failed\":0,\"cancelled\":0}\n");
    story_said(w, "ev=subtasks job=a type=x queue=q done=3 failed=0", 1);
    stop(w);
}

static void finished_order_is_that_of_the_ends(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(r, "part sleep 100\n"
                                       "part echo 2\n"
                                       "read -r line <&4\n"
                                       "echo \"$line\"\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    expect_kept(r, "a", "result",
                "{\"op\":\"result\",\"number\":2,\"state\":\"done\","
                "\"result\":2}\n");
    /* It had ended when both had. */
    story_said(w, "done=2 failed=0 cancelled=0", 1);
    stop(w);
}

static void first_failure_ends_the_parent_in_its_way(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    char *dead = mem_printf(
        "%s", story_script(r, "bad", "bad", "echo no good >&2; exit 65\n"));
    char *x = mem_printf("%s", story_script(r, "x", "x",
                                            SH "part sleep null\n"
                                               "part $(cat | tr -d '\"') 1\n"
                                               "sleep 1000\n"));
    const char *more[] = {"--handler", dead, "--handler", x, NULL};
    struct worker *w = start(r, "2", more);
    push(r, JOB("a", ",\"payload\":\"bad\""));
    story_stat(r, "q", "dead", 1);
    expect_last(r, "dead", "\"class\":\"subtask\"");
    expect_last(r, "dead", "sub-task 2 (bad): exit code 65: no good");
    expect_last(r, "dead", "\"stderr\":\"no good");
    push(r, JOB("b", ",\"payload\":\"fail\""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "sub-task 2 (fail): failed on request");
    redis_do(r, "DEL belt:{q}:retry");
    push(r, JOB("c", ",\"payload\":\"nobody\""));
    story_stat(r, "q", "put_off", 1);
    expect_last(r, "retry", "\"attempt\":0");
    expect_last(r, "retry", "no handler for this type here");
    story_said(w, "done=0 failed=1 cancelled=1", 3);
    free(dead);
    free(x);
    stop(w);
}

static void collect_lets_the_parent_decide(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(
        r, "say '{\"op\":\"subtasks\",\"on_error\":\"collect\"}'\n"
           "part fail null\n"
           "say '{\"op\":\"subtask\",\"type\":\"echo\",\"payload\":nonsense}'\n"
           "say '{\"op\":\"subtask\",\"payload\":1}'\n"
           "end\n"
           "sort <&4\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    char text[4096];
    (void)redis_str(r, text, sizeof(text), "HGET belt:{q}:job:a result");
    static const char refused[] = "\"number\":2,\"state\":\"failed\","
                                  "\"error\":{\"class\":\"refused\"";
    const char *const parts[] = {"\"failed\":3",
                                 "\"message\":\"failed on request\"", refused,
                                 "\\\"type\\\" is missing"};
    for (int i = 0; i < 4; i++) {
        if (strstr(text, parts[i]) == NULL)
            fail_msg("no %s in %s", parts[i], text);
    }
    stop(w);
}

/* A pipe holds 64 KiB: this parent is far ahead of what is run and read. */
static void an_emitter_waits_and_nothing_is_lost(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(
        r, "seq 1 5000 | sed 's/.*/{\"op\":\"subtask\",\"type\":\"echo\","
           "\"payload\":&}/' >&3\n"
           "echo all emitted >&2\n"
           "end\n"
           "sed -n 's/.*\"result\":\\([0-9]*\\).*/\\1/p' <&4 | sort -n | uniq |"
           " awk '{ n++; s += $1 } END { print n, s }'\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    expect_kept(r, "a", "result", "5000 12502500\n");
    story_said(w, "all emitted", 1);
    stop(w);
}

static void
what_was_emitted_last_is_run_after_the_parent_has_ended(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(
        r, "say '{\"op\":\"subtasks\",\"results\":false}'\n"
           "seq 1 3000 | sed 's/.*/{\"op\":\"subtask\",\"type\":\"noop\"}/' "
           ">&3\n"
           "printf '{\"op\":\"subtask\",\"type\":\"noop\"}' >&3\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    story_said(w, "done=3001 failed=0 cancelled=0", 1);
    stop(w);
}

static void a_parent_that_waits_for_room_is_heard_otherwise(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(r, "(while :; do part sleep null; done) &\n"
                                       "sleep 0.1\n"
                                       "echo still heard >&2\n"
                                       "wait\n");
    push(r, JOB("a", ",\"timeout\":60000"));
    story_said(w, "still heard", 1);
    worker_signal(w, SIGTERM);
    story_said(w, "ev=drain", 1);
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
    assert_int_equal(redis_int(r, "LLEN belt:{q}"), 1);
}

static void a_timeout_ends_parent_and_subtasks(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    char *part = mem_printf("%s", story_script(r, "part", "part",
                                               "echo $$ >> pids\n"
                                               "exec sleep 1000\n"));
    char *x = mem_printf("%s", story_script(r, "x", "x",
                                            SH "part part null\n"
                                               "part part null\n"
                                               "end; cat <&4\n"));
    const char *pids = story_path(r, "pids");
    const char *more[] = {"--handler", part, "--handler", x, NULL};
    struct worker *w = start(r, "2", more);
    push(r, JOB("a", ",\"timeout\":300"));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "\"class\":\"timeout\"");
    char *text = story_read(pids), *p = text;
    int n = 0;
    for (; *p != '\0'; n++, p++)
        assert_false(story_lives((pid_t)strtol(p, &p, 10)));
    assert_int_equal(n, 2);
    free(text);
    free(part);
    free(x);
    stop(w);
}

static void pushes_of_subtasks_come_with_the_done_of_the_parent(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    char *part = mem_printf(
        "%s",
        story_script(r, "part", "part",
                     SH "say '{\"op\":\"push\",\"job\":{\"type\":\"next\","
                        "\"queue\":\"other\",\"payload\":'$(cat)'}}'\n"));
    char *x = mem_printf(
        "%s", story_script(r, "x", "x",
                           SH "for i in 1 2 3; do part part $i; done; end\n"
                              "cat <&4 >&2\n"
                              "[ $BELT_ATTEMPT -gt 1 ] || exit 75\n"));
    const char *more[] = {"--handler", part, "--handler", x, NULL};
    struct worker *w = start(r, "2", more);
    push(r, "{\"id\":\"a\",\"type\":\"x\",\"backoff\":[1]}");
    story_stat(r, "q", "done", 1);
    story_int(r, 3, "LLEN belt:{other}");
    story_said(w, "ev=subtasks", 2);
    free(part);
    free(x);
    stop(w);
    assert_int_equal(redis_int(r, "LLEN belt:{other}"), 3);
}

static void
parents_fill_the_pool_and_one_thread_runs_what_they_emit(void **state)
{
    enum { PARENTS = 8 };
    struct redis *r = story_redis();
    (void)state;
    const char *more[] = {
        "--subtask-threads",
        "1",
        "--subtask-window",
        "2",
        "--handler",
        story_script(r, "x", "x",
                     SH "for i in 1 2 3 4 5; do part echo $i; done; end\n"
                        "grep -c result <&4\n"),
        NULL};
    struct worker *w = start(r, "4", more);
    for (int i = 0; i < PARENTS; i++)
        push(r, "{\"type\":\"x\"}");
    story_stat(r, "q", "done", PARENTS);
    story_said(w, "done=5 failed=0 cancelled=0", PARENTS);
    stop(w);
}

static void a_subtask_that_emits_one_fails(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(r, "part x null\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry",
                "sub-task 1 (x): a sub-task may not have sub-tasks");
    stop(w);
}

/* Nothing would ever come on its descriptor 4. */
static void a_subtask_that_waits_for_results_is_ended(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(r, "part x null; end; exec cat <&4\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry",
                "sub-task 1 (x): a sub-task may not have sub-tasks");
    stop(w);
}

/* Far more than its window; none of them would ever end. */
static void what_a_parent_that_failed_has_emitted_last_is_not_run(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_parent(
        r, "seq 1000 | sed 's/.*/{\"op\":\"subtask\",\"type\":\"sleep\"}/'"
           " >&3\n"
           "exit 3\n");
    push(r, JOB("a", ""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "exit code 3");
    stop(w);
}

static void a_parent_is_run_again_whole_when_its_worker_dies(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    char *part = mem_printf(
        "%s", story_script(r, "part", "part",
                           "echo $BELT_JOB_ID >> ran\n"
                           "[ $BELT_RECOVERED -gt 0 ] || exec sleep 1000\n"));
    char *x = mem_printf("%s", story_script(r, "x", "x",
                                            SH "part part 1; part part 2\n"
                                               "end; grep -c done <&4\n"));
    const char *ran = story_path(r, "ran");
    const char *more[] = {"--handler", part, "--handler", x, NULL};
    struct worker *w = start(r, "2", more);
    push(r, JOB("a", ""));
    story_lines(ran, 2);
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, STORY_MS), -SIGKILL);
    worker_free(w);
    w = start(r, "2", more);
    story_stat(r, "q", "done", 1);
    expect_kept(r, "a", "state", "done");
    assert_int_equal(story_count(ran, "a.1"), 2);
    assert_int_equal(story_count(ran, "a.2"), 2);
    free(part);
    free(x);
    stop(w);
}

/* ---- parents of kind process ---- */

/* A process in Python; main(job) gives the answer. */
#define PYTHON                                                                 \
    "#!/usr/bin/python3 -S\n"                                                  \
    "import json, os, sys\n"                                                   \
    "def say(**m):\n"                                                          \
    "    print(json.dumps(m), flush=True)\n"                                   \
    "def results(job):\n"                                                      \
    "    for line in sys.stdin:\n"                                             \
    "        m = json.loads(line)\n"                                           \
    "        assert m.get('id') == job['id'], line\n"                          \
    "        yield m\n"                                                        \
    "        if m['op'] == 'end': break\n"
#define PYTHON_LOOP                                                            \
    "say(op='ready')\n"                                                        \
    "for line in iter(sys.stdin.readline, ''):\n"                              \
    "    job = json.loads(line)\n"                                             \
    "    if job['op'] == 'job':\n"                                             \
    "        say(op='done', id=job['id'], result=main(job))\n"

static struct worker *start_process(struct redis *r, const char *body,
                                    const char *keys)
{
    char *text = mem_printf(PYTHON "%s" PYTHON_LOOP, body);
    char *conf = mem_printf("handler \"x\" { process = \"%s\"\n%s }\n",
                            script_file(r, "python", text), keys);
    const char *more[] = {"-c", script_file(r, "conf", conf), NULL};
    struct worker *w = start(r, "1", more);
    free(conf);
    free(text);
    return w;
}

static void a_process_splits_its_jobs_one_after_the_other(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_process(
        r,
        "def main(job):\n"
        "    say(op='subtasks', order='emitted')\n"
        "    for i in range(3000):\n"
        "        say(op='subtask', type='echo', payload=i)\n"
        "    say(op='subtasks_end')\n"
        "    back = list(results(job))\n"
        "    assert [m['result'] for m in back[:-1]] == list(range(3000))\n"
        "    return back[-1]\n",
        "");
    push(r, JOB("a", ""));
    push(r, JOB("b", ""));
    story_stat(r, "q", "done", 2);
    expect_kept(r, "a", "result",
                "{\"op\": \"end\", \"id\": \"a\", \"done\": 3000, "
                "\"failed\": 0, \"cancelled\": 0}");
    stop(w);
}

static void a_process_may_answer_before_its_subtasks_have_ended(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_process(
        r,
        "def main(job):\n"
        "    for i in range(500):\n"
        "        say(op='subtask', type='noop')\n"
        "    os.write(3, b'{\"op\":\"subtask\",\"type\":\"noop\"}\\n' * 500)\n"
        "    return job['id']\n",
        "");
    push(r, JOB("a", ""));
    push(r, JOB("b", ""));
    story_stat(r, "q", "done", 2);
    expect_kept(r, "b", "result", "\"b\"");
    story_said(w, "done=1000 failed=0 cancelled=0", 2);
    stop(w);
}

static void a_failure_asks_the_process_to_stop(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w =
        start_process(r,
                      "def main(job):\n"
                      "    say(op='subtask', type='fail', key='k')\n"
                      "    m = json.loads(sys.stdin.readline())\n"
                      "    print(m['op'], m['reason'], file=sys.stderr)\n"
                      "    return 0\n",
                      "");
    push(r, JOB("a", ""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "sub-task 1 (fail, k): failed on request");
    story_said(w, "message=\"cancel subtask\"", 1);
    assert_int_equal(worker_count(w, "ev=process_ended"), 0);
    stop(w);
}

/* The only child of the handler waits for a child of the handler. */
static void parents_do_not_keep_the_processes_of_their_subtasks(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w =
        start_process(r,
                      "def main(job):\n"
                      "    if '.' in job['id']: return job['payload'] + 1\n"
                      "    say(op='subtask', type='x', payload=41)\n"
                      "    say(op='subtasks_end')\n"
                      "    return next(results(job))['result']\n",
                      "processes = 1");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    expect_kept(r, "a", "result", "42");
    stop(w);
}

static void a_process_that_dies_takes_its_subtasks_with_it(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start_process(r,
                                     "def main(job):\n"
                                     "    say(op='subtask', type='sleep')\n"
                                     "    os._exit(3)\n",
                                     "");
    push(r, JOB("a", ""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "exit code 3 before it answered");
    story_said(w, "done=0 failed=0 cancelled=1", 1);
    stop(w);
}

/* Most of its lines wait for room when it ends, and room would never come. */
static void what_a_process_has_emitted_counts_if_it_is_done(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w =
        start_process(r,
                      "def main(job):\n"
                      "    t = job['payload']\n"
                      "    for i in range(1000):\n"
                      "        say(op='subtask', type=t, payload=1)\n"
                      "    if t == 'echo': say(op='done', id=job['id'])\n"
                      "    if job['id'] == 'c':\n"
                      "        say(op='fail', id='c', error='no')\n"
                      "    os._exit(3)\n",
                      "");
    push(r, JOB("a", ",\"payload\":\"echo\""));
    story_stat(r, "q", "done", 1);
    story_said(w, "done=1000 failed=0 cancelled=0", 1);
    push(r, JOB("b", ",\"payload\":\"sleep\""));
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "exit code 3 before it answered");
    redis_do(r, "DEL belt:{q}:retry");
    push(r, JOB("c", ",\"payload\":\"sleep\""));
    story_stat(r, "q", "retried", 2);
    expect_last(r, "retry", "\"message\":\"no\"");
    stop(w);
}

static void a_broken_line_is_a_subtask_that_failed(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w =
        start_process(r,
                      "def main(job):\n"
                      "    say(op='subtasks', on_error='collect')\n"
                      "    print('{\"op\":\"subtask\",\"type\":', flush=True)\n"
                      "    say(op='subtasks_end')\n"
                      "    return next(results(job))['error']['class']\n",
                      "");
    push(r, JOB("a", ""));
    story_stat(r, "q", "done", 1);
    expect_kept(r, "a", "result", "\"refused\"");
    stop(w);
}

/* ---- the examples ---- */

/* belt is found beside the worker. */
static void set_path(void)
{
    const char *bin = BELT_WORKER_BIN, *slash = strrchr(bin, '/');
    char *path = mem_printf("%.*s:%s", (int)(slash - bin), bin, getenv("PATH"));
    assert_int_equal(setenv("PATH", path, 1), 0);
    free(path);
}

static void the_example_in_sh_says_which_ones_failed(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    set_path();
    char *centre =
        mem_printf("%s", story_script(r, "check.centre", "check.centre",
                                      "! grep -q nice\n"));
    static const char all[] = "check.all=exec:sh " BELT_EXAMPLES "/split.sh";
    const char *more[] = {"--handler", centre, "--handler", all, NULL};
    struct worker *w = start(r, "2", more);
    push(r, "{\"id\":\"a\",\"type\":\"check.all\",\"keep\":600000,"
            "\"payload\":\"lyon nice paris\"}");
    push(r, "{\"id\":\"b\",\"type\":\"check.all\",\"keep\":600000,"
            "\"payload\":\"lyon\"}");
    story_stat(r, "q", "done", 2);
    expect_kept(r, "a", "result", "failed: nice\n");
    expect_kept(r, "b", "result", "failed: none\n");
    free(centre);
    stop(w);
}

static void the_example_in_python_adds_up_what_comes_back(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    const char *more[] = {
        "--handler", "text.*=process:python3 " BELT_EXAMPLES "/split.py", NULL};
    struct worker *w = start(r, "1", more);
    push(r, "{\"id\":\"a\",\"type\":\"text.words\",\"keep\":600000,"
            "\"payload\":[\"one two\",\"three\",\"\",\"four five six\"]}");
    story_stat(r, "q", "done", 1);
    expect_kept(r, "a", "result", "6");
    push(r, "{\"id\":\"b\",\"type\":\"text.words\",\"keep\":600000,"
            "\"payload\":[\"one\",2],\"backoff\":[3600000]}");
    story_stat(r, "q", "retried", 1);
    expect_last(r, "retry", "sub-task 2 (text.count, 1): ");
    push(r, "{\"id\":\"c\",\"type\":\"text.words\",\"keep\":600000,"
            "\"payload\":[\"one\"]}");
    story_stat(r, "q", "done", 2);
    expect_kept(r, "c", "result", "1");
    stop(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_come_on_descriptor_4_in_the_order_of_emission),
        cmocka_unit_test(finished_order_is_that_of_the_ends),
        cmocka_unit_test(first_failure_ends_the_parent_in_its_way),
        cmocka_unit_test(collect_lets_the_parent_decide),
        cmocka_unit_test(an_emitter_waits_and_nothing_is_lost),
        cmocka_unit_test(
            what_was_emitted_last_is_run_after_the_parent_has_ended),
        cmocka_unit_test(a_parent_that_waits_for_room_is_heard_otherwise),
        cmocka_unit_test(a_timeout_ends_parent_and_subtasks),
        cmocka_unit_test(pushes_of_subtasks_come_with_the_done_of_the_parent),
        cmocka_unit_test(
            parents_fill_the_pool_and_one_thread_runs_what_they_emit),
        cmocka_unit_test(a_subtask_that_emits_one_fails),
        cmocka_unit_test(a_subtask_that_waits_for_results_is_ended),
        cmocka_unit_test(what_a_parent_that_failed_has_emitted_last_is_not_run),
        cmocka_unit_test(a_parent_is_run_again_whole_when_its_worker_dies),
        cmocka_unit_test(a_process_splits_its_jobs_one_after_the_other),
        cmocka_unit_test(a_process_may_answer_before_its_subtasks_have_ended),
        cmocka_unit_test(a_failure_asks_the_process_to_stop),
        cmocka_unit_test(parents_do_not_keep_the_processes_of_their_subtasks),
        cmocka_unit_test(a_process_that_dies_takes_its_subtasks_with_it),
        cmocka_unit_test(what_a_process_has_emitted_counts_if_it_is_done),
        cmocka_unit_test(a_broken_line_is_a_subtask_that_failed),
        cmocka_unit_test(the_example_in_sh_says_which_ones_failed),
        cmocka_unit_test(the_example_in_python_adds_up_what_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
