/*
 * Claims about SIGHUP with a real worker: what a new configuration changes, and
 * when; that one which is wrong changes nothing; and that nothing is lost.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/listen_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

static char *conf_path; /* of the file that the worker reads */

/* Writes the configuration; lines end with NULL. */
static void write_conf(const char *first, ...)
{
    va_list ap;
    FILE *f = fopen(conf_path, "we");
    assert_non_null(f);
    va_start(ap, first);
    for (const char *p = first; p != NULL; p = va_arg(ap, const char *))
        assert_true(fprintf(f, "%s\n", p) > 0);
    va_end(ap);
    assert_int_equal(fclose(f), 0);
}

/* A script in the directory of the test's Redis, as a line of a handler. */
static const char *handler(const char *type, const char *name, const char *text)
{
    static char lines[16][512];
    static unsigned n;
    char *whole = mem_printf("#!/bin/sh\nout=%s\ngate=%s/gate\n%s\n",
                             runs_out(), redis_dir(runs_redis), text);
    char *line = lines[n++ % 16];
    (void)snprintf(line, sizeof(lines[0]), "handler \"%s\" { exec = \"%s\" }",
                   type, script_file(runs_redis, name, whole));
    free(whole);
    return line;
}

#define WAIT_FOR_GATE "while [ ! -e $gate ]; do sleep 0.01; done\n"

static void open_gate(void)
{
    (void)script_file(runs_redis, "gate", "");
}

static struct worker *start(const char *more)
{
    return runs_worker("-c", conf_path, "--threads", more, NULL);
}

struct said {
    struct worker *w;
    const char *text;
    unsigned n;
};

static bool has_said(void *arg)
{
    struct said *s = arg;
    return worker_count(s->w, s->text) >= s->n;
}

static void await_said(struct worker *w, const char *text, unsigned n)
{
    struct said s = {w, text, n};
    if (!wait_until(has_said, &s, RUN_MS))
        fail_msg("the worker does not say %s %u times; its log: %s", text, n,
                 worker_log(w));
}

/* That it was done is told like this, however it went before. */
#define DONE "ev=reload handlers="

static void reload(struct worker *w)
{
    unsigned before = worker_count(w, DONE);
    worker_signal(w, SIGHUP);
    await_said(w, DONE, before + 1);
}

/* Lines of the handlers' file that are this one. */
static unsigned lines(const char *line)
{
    char text[256];
    unsigned n = 0;
    FILE *f = fopen(runs_out(), "re");
    while (f != NULL && fgets(text, sizeof(text), f) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        n += strcmp(text, line) == 0;
    }
    if (f != NULL)
        (void)fclose(f);
    return n;
}

struct wanted_line {
    const char *line;
    unsigned n;
};

static bool is_written(void *arg)
{
    struct wanted_line *l = arg;
    return lines(l->line) >= l->n;
}

static void await_line(const char *line, unsigned n)
{
    struct wanted_line l = {line, n};
    if (!wait_until(is_written, &l, RUN_MS))
        fail_msg("no handler writes %s %u times", line, n);
}

static int setup(void **state)
{
    char gate[256];
    (void)snprintf(gate, sizeof(gate), "%s/gate", redis_dir(runs_redis));
    (void)unlink(gate);
    return runs_clear(state);
}

/* ---- handlers ---- */

static void the_next_job_has_the_new_handler(void **state)
{
    (void)state;
    write_conf(handler("x", "a",
                       "echo a >>$out\n" WAIT_FOR_GATE
                       "echo a end $BELT_MAX_ATTEMPTS >>$out\n"),
               NULL);
    struct worker *w = start("2");
    runs_push("{\"type\":\"x\"}");
    await_line("a", 1);
    write_conf(handler("x", "b", "echo b >>$out\n"),
               handler("y", "c", "echo c >>$out\n"), NULL);
    reload(w);
    runs_push("{\"type\":\"x\"}");
    runs_push("{\"type\":\"y\"}");
    await_line("b", 1);
    await_line("c", 1);
    runs_await_stat("done", 2);
    assert_int_equal(lines("a end 20"), 0);
    open_gate();
    runs_await_stat("done", 3);
    assert_int_equal(lines("a end 20"), 1);
    assert_int_equal(lines("a"), 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:retry"), 0);
    char text[256];
    (void)redis_str(runs_redis, text, sizeof(text), "EVAL %s 0",
                    "local id = redis.call('ZRANGE', 'belt:workers', 0, 0)[1] "
                    "return redis.call('HGET', 'belt:worker:' .. id, "
                    "'handlers')");
    assert_string_equal(text, "x,y");
    runs_end(w);
}

static void what_waits_behind_it_has_the_new_one_too(void **state)
{
    (void)state;
    write_conf(handler("*", "a", "echo a >>$out\n" WAIT_FOR_GATE), NULL);
    struct worker *w = start("1");
    runs_push("{\"type\":\"x\"}");
    await_line("a", 1);
    runs_push("{\"type\":\"x\"}");
    runs_push("{\"type\":\"z\",\"id\":\"z\"}");
    write_conf(handler("x", "b", "echo b >>$out\n"), NULL);
    reload(w);
    open_gate();
    runs_await_stat("done", 2);
    assert_int_equal(lines("a"), 1);
    assert_int_equal(lines("b"), 1);
    /* It has none any more; when it comes again there is one. */
    runs_await_stat("put_off", 1);
    write_conf(handler("*", "c", "echo c >>$out\n"), NULL);
    reload(w);
    (void)redis_int(
        runs_redis, "EVAL %s 0", /* a second sooner */
        "local m = redis.call('ZRANGE', 'belt:{q}:retry', 0, 0)[1] "
        "redis.call('ZADD', 'belt:{q}:retry', 0, m) "
        "return redis.call('PUBLISH', 'belt:{q}:control', 'due 0')");
    await_line("c", 1);
    runs_await_stat("done", 3);
    runs_end(w);
}

/* A handler that stays; it writes how it was told of the job, and its end. */
static const char *keeper(const char *name)
{
    static char line[2][512];
    static unsigned n;
    char *out = line[n++ % 2];
    char *text = mem_printf(
        "#!/bin/sh\nout=%s\nread hello\necho '{\"op\":\"ready\"}'\n"
        "while read job; do case $job in *max_attempts\\\":3,*) most=3;; *) "
        "most=x;; esac\n"
        "id=${job#*id\\\":\\\"}; id=${id%%%%\\\"*}\n"
        "case $job in *drain*) break;; esac\n"
        "echo %s $most $$ >>$out\n"
        "echo \"{\\\"op\\\":\\\"done\\\",\\\"id\\\":\\\"$id\\\"}\"\n"
        "done\necho %s end >>$out\n",
        runs_out(), name, name);
    (void)snprintf(out, sizeof(line[0]),
                   "handler x { process = \"%s\" processes = 1 }",
                   script_file(runs_redis, name, text));
    free(text);
    return out;
}

static void processes_of_an_old_handler_end(void **state)
{
    (void)state;
    write_conf(keeper("old"), "retry default { max-attempts = 3 }", NULL);
    struct worker *w = start("2");
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    write_conf(keeper("new"), NULL);
    reload(w);
    await_line("old end", 1);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 2);
    assert_int_equal(lines("new end"), 0);
    runs_end(w);
    assert_int_equal(lines("new end"), 1);
    assert_int_equal(lines("old end"), 1);
}

static void directories_are_read_again(void **state)
{
    char *dir = mem_printf("%s/handlers", redis_dir(runs_redis));
    char *line = mem_printf("worker { handlers = \"%s\" }", dir);
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    write_conf(line, "handler x { builtin = noop }", NULL);
    struct worker *w = start("1");
    char *text = mem_printf("#!/bin/sh\necho new >>%s\n", runs_out());
    (void)script_file(runs_redis, "handlers/new", text);
    reload(w);
    runs_push("{\"type\":\"new\"}");
    runs_await_stat("done", 1);
    assert_int_equal(lines("new"), 1);
    runs_end(w);
    free(text);
    free(line);
    free(dir);
}

static void policies_change_for_jobs_that_do_not_say(void **state)
{
    const char *x = handler("x", "fails",
                            "echo $BELT_MAX_ATTEMPTS >>$out\n"
                            "exit 1\n");
    (void)state;
    write_conf(x, "retry default { max-attempts = 1 }", NULL);
    struct worker *w = start("1");
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("dead", 1);
    assert_int_equal(lines("1"), 1);
    write_conf(x, "retry default { max-attempts = 3 backoff = 'fixed:0' }",
               NULL);
    reload(w);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("dead", 2);
    assert_int_equal(lines("3"), 3);
    runs_push("{\"type\":\"x\",\"max_attempts\":2}");
    runs_await_stat("dead", 3);
    assert_int_equal(lines("2"), 2);
    runs_end(w);
}

/* ---- what is wrong ---- */

static void a_broken_file_changes_nothing(void **state)
{
    (void)state;
    write_conf(handler("x", "a", "echo a >>$out\n"), NULL);
    struct worker *w = start("1");
    write_conf(handler("x", "b", "echo b >>$out\n"), "thread = 3",
               "handler y { builtin = nop }", NULL);
    worker_signal(w, SIGHUP);
    await_said(w, "belt.conf:2: unknown key", 1);
    await_said(w, "belt.conf:3: handler y=builtin:nop: no such builtin", 1);
    assert_int_equal(worker_count(w, "the old configuration stays"), 2);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    assert_int_equal(lines("a"), 1);
    (void)unlink(conf_path);
    worker_signal(w, SIGHUP);
    await_said(w, "belt.conf: No such file", 1);
    assert_int_equal(worker_count(w, DONE), 0);
    write_conf(handler("x", "b", "echo b >>$out\n"), NULL);
    reload(w);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 2);
    assert_int_equal(lines("b"), 1);
    runs_end(w);
}

static void what_cannot_change_is_named(void **state)
{
    static const char *const keys[] = {
        "max-window",     "lease",      "delivery",        "fence",
        "burst",          "namespace",  "listen",          "redis",
        "name",           "log-format", "subtask-threads", "subtask-window",
        "subtask-results"};
    char line[64];
    (void)state;
    write_conf("handler x { builtin = noop }", NULL);
    struct worker *w = start("1");
    write_conf(
        "handler x { builtin = noop }",
        "worker { lease = 20s delivery = at-most-once fence = on",
        "burst = on namespace = other listen = ':0' name = other",
        "log-format = json threads = 7 subtask-threads = 9 }",
        "limits { max-window = 5 subtask-window = 5 subtask-results = 2m }",
        "redis { password-file = belt.conf }", NULL);
    worker_signal(w, SIGHUP);
    await_said(w, "password file: belt.conf", 1); /* its directory, not ours */
    write_conf(
        "handler x { builtin = noop }",
        "worker { lease = 20s delivery = at-most-once fence = on",
        "burst = on namespace = other listen = ':0' name = other",
        "log-format = json threads = 7 subtask-threads = 9 }",
        "limits { max-window = 5 subtask-window = 5 subtask-results = 2m }",
        NULL);
    reload(w);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        bool is_flag = strcmp(keys[i], "redis") == 0;
        (void)snprintf(line, sizeof(line), "ev=reload_needs_restart key=%s ",
                       keys[i]);
        if (worker_count(w, line) != (is_flag ? 0 : 1))
            fail_msg("%s: %u times", line, worker_count(w, line));
    }
    /* That was a flag, which wins. */
    assert_false(worker_said(w, "key=threads"));
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    /* It is what it was, so there is nothing new to be said. */
    reload(w);
    assert_int_equal(worker_count(w, "key=lease"), 2);
    runs_end(w);
}

/* ---- the rest ---- */

static void the_log_level_changes(void **state)
{
    (void)state;
    write_conf("handler x { builtin = noop }", NULL);
    struct worker *w = start("1");
    runs_push("{\"type\":\"x\",\"then\":[{\"type\":\"x\"}]}");
    runs_await_stat("done", 2);
    assert_false(worker_said(w, "ev=then"));
    write_conf("handler x { builtin = noop }", "log-level = debug", NULL);
    reload(w);
    runs_push("{\"type\":\"x\",\"then\":[{\"type\":\"x\"}]}");
    runs_await_stat("done", 4);
    await_said(w, "ev=then", 1);
    runs_end(w);
}

static void periodic_jobs_change(void **state)
{
    (void)state;
    write_conf("handler x { builtin = noop }",
               "cron a { queue = q spec = '@daily' type = x }", NULL);
    struct worker *w = start("1");
    await_said(w, "ev=cron_file queue=q cron=a spec=@daily", 1);
    write_conf("handler x { builtin = noop }",
               "cron a { queue = q spec = '@weekly' type = x }",
               "cron b { queue = q spec = '@daily' type = x }", NULL);
    reload(w);
    await_said(w, "ev=cron_file queue=q cron=a spec=@weekly", 1);
    await_said(w, "ev=cron_file queue=q cron=b spec=@daily", 1);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:cron:due"), 2);
    reload(w);
    reload(w);
    assert_int_equal(worker_count(w, "ev=cron_file"), 3);
    runs_end(w);
}

static void expect_config(const char *field, const char *value)
{
    char text[64];
    assert_string_equal(redis_str(runs_redis, text, sizeof(text),
                                  "HGET belt:{q}:config %s", field),
                        value);
}

static void bounds_of_queues_are_those_of_the_file(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:config max_bytes 5 dead_max 7");
    write_conf("handler x { builtin = noop }",
               "queue q { max-length = 10 max-bytes = none }", NULL);
    struct worker *w = start("1");
    await_said(w, "ev=queue_file queue=q", 1);
    expect_config("max_length", "10");
    expect_config("max_bytes", "(nil)");
    expect_config("dead_max", "7");
    /* What people set later stays until the file is read again. */
    redis_do(runs_redis, "HSET belt:{q}:config max_length 11");
    write_conf("handler x { builtin = noop }",
               "queue q { max-length = 10 dead-max-age = 7d }", NULL);
    reload(w);
    await_said(w, "ev=queue_file queue=q", 2);
    expect_config("max_length", "10");
    expect_config("dead_max_age", "604800000");
    runs_end(w);
}

static void people_who_watch_it_are_told(void **state)
{
    static struct response answer;
    (void)state;
    write_conf("handler x { exec = /none/such }", NULL);
    struct worker *w =
        runs_worker("-c", conf_path, "--listen", "127.0.0.1:0", NULL);
    struct fixture f = {runs_redis, w, listen_port(w, "addr=127.0.0.1:")};
    metric_until(&f, "belt_config_last_reload_success", 1);
    runs_push("{\"type\":\"x\"}");
    http_until(&f, "/readyz", 503, "handler x: cannot be started");
    write_conf("handler x { nonsense = yes }", NULL);
    worker_signal(w, SIGHUP);
    metric_until(&f, "belt_config_last_reload_success", 0);
    write_conf("handler x { builtin = noop }", NULL);
    reload(w);
    metric_until(&f, "belt_config_last_reload_success", 1);
    http_ask(&f, "GET", "/readyz", &answer);
    assert_int_equal(answer.status, 200);
    runs_end(w);
}

/* ---- queues ---- */

static struct worker *start_by_file(void)
{
    struct worker *w =
        worker_start(runs_redis, NULL, (const char *[]){"-c", conf_path, NULL});
    assert_true(worker_is_up(w, 1));
    return w;
}

static void end(struct worker *w)
{
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    worker_free(w);
}

static void queues_come_and_go(void **state)
{
    const char *x = handler("x", "x", "echo $BELT_QUEUE >>$out\n");
    const char *slow =
        handler("slow", "slow", "echo slow >>$out\n" WAIT_FOR_GATE);
    (void)state;
    write_conf(x, slow, "threads = 1", "queue q { }", NULL);
    struct worker *w = start_by_file();
    redis_do(runs_redis, "RPUSH belt:{r} %s", "{\"type\":\"x\"}");
    write_conf(x, slow, "threads = 1", "queue q { weight = 3 }", "queue r { }",
               NULL);
    reload(w);
    await_line("r", 1);
    /* One that goes lets what runs end, and gives back the rest. */
    runs_push("{\"type\":\"slow\"}");
    await_line("slow", 1);
    runs_push("{\"type\":\"x\"}");
    runs_push("{\"type\":\"x\"}");
    write_conf(x, slow, "threads = 1", "queue r { }", NULL);
    reload(w);
    runs_await("LLEN belt:{q}", 2);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 1);
    open_gate();
    await_said(w, "ev=leave queue=q", 1);
    runs_await_stat("done", 1);
    assert_int_equal(redis_int(runs_redis, "LLEN belt:{q}"), 2);
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:leases"), 0);
    redis_do(runs_redis, "RPUSH belt:{r} %s", "{\"type\":\"x\"}");
    await_line("r", 2);
    /* And comes back, at once or when it has been freed. */
    write_conf(x, slow, "threads = 1", "queue r { }", "queue q { }", NULL);
    reload(w);
    await_line("q", 2);
    end(w);
}

static void patterns_come_and_go(void **state)
{
    const char *x = handler("x", "x", "echo $BELT_QUEUE >>$out\n");
    (void)state;
    redis_do(runs_redis, "SADD belt:queues m.a m.b");
    redis_do(runs_redis, "RPUSH belt:{m.a} %s", "{\"type\":\"x\"}");
    write_conf(x, "queue q { }", NULL);
    struct worker *w = start_by_file();
    write_conf(x, "queue q { }", "queue 'm.*' { }", NULL);
    reload(w);
    await_line("m.a", 1);
    write_conf(x, "queue q { }", "queue m.b { }", NULL);
    reload(w);
    await_said(w, "ev=leave queue=m.a", 1);
    redis_do(runs_redis, "RPUSH belt:{m.b} %s", "{\"type\":\"x\"}");
    await_line("m.b", 1);
    assert_int_equal(worker_count(w, "ev=leave"), 1);
    end(w);
}

/* ---- under load ---- */

static void fifty_reloads_lose_nothing(void **state)
{
    enum { JOBS = 6000, RELOADS = 50 };
    (void)state;
    write_conf("handler x { builtin = noop }", NULL);
    queue_fill(runs_redis, "q", "x", 0, JOBS);
    struct worker *w = start("4");
    for (unsigned i = 0; i < RELOADS; i++) {
        if (i % 2 == 0)
            write_conf("handler x { builtin = 'sleep 1ms' }",
                       "handler '*' { builtin = noop }", NULL);
        else
            write_conf("handler '*' { builtin = noop }",
                       "limits { timeout = 1m }", NULL);
        reload(w);
        queue_fill(runs_redis, "q", i % 3 == 0 ? "x" : "y", i, 20);
    }
    runs_await_rest();
    assert_int_equal(queue_stat(runs_redis, "q", "done"), JOBS + 20 * RELOADS);
    assert_int_equal(queue_stat(runs_redis, "q", "retried"), 0);
    assert_false(worker_said(w, "ev=stale"));
    assert_false(worker_said(w, "ev=resync"));
    runs_end(w);
}

static void many_signals_are_few_reloads(void **state)
{
    (void)state;
    write_conf("handler x { builtin = noop }", NULL);
    struct worker *w = start("1");
    for (int i = 0; i < 200; i++)
        worker_signal(w, SIGHUP);
    await_said(w, DONE, 1);
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    worker_signal(w, SIGHUP); /* the end comes while it is read, or before */
    runs_end(w);
}

static int start_all(void **state)
{
    int rc = runs_start(state);
    conf_path = mem_printf("%s/belt.conf", redis_dir(runs_redis));
    return rc;
}

static int stop_all(void **state)
{
    free(conf_path);
    return runs_stop(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, runs_over)
    const struct CMUnitTest tests[] = {
        T(the_next_job_has_the_new_handler),
        T(what_waits_behind_it_has_the_new_one_too),
        T(processes_of_an_old_handler_end),
        T(directories_are_read_again),
        T(policies_change_for_jobs_that_do_not_say),
        T(a_broken_file_changes_nothing),
        T(what_cannot_change_is_named),
        T(the_log_level_changes),
        T(periodic_jobs_change),
        T(bounds_of_queues_are_those_of_the_file),
        T(people_who_watch_it_are_told),
        T(queues_come_and_go),
        T(patterns_come_and_go),
        T(fifty_reloads_lose_nothing),
        T(many_signals_are_few_reloads),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
