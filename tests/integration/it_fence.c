/*
 * Claims about examples/fence, the handler whose effects happen exactly once,
 * under real workers that are killed and stopped.
 *
 * In front of the real sqlite3 stands a script, found first in PATH, that
 * holds the handler before or after its transaction for as long as a file is
 * there. The handler itself is the one of the example.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/mem.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

enum { SKIPPED = 77 };

struct fixture {
    struct redis *r;
    char *store;        /* owned */
    char *path;         /* owned: "PATH=…" with the script in front */
    const char *sqlite; /* the real one */
};

/*
 * Holds while hold-STEP-RECOVERED is there, and tells in STEP-RECOVERED that
 * it has come so far; tells the first word of each answer in verdicts-….
 */
static const char shim[] =
    "sql=$(cat)\n"
    "gate() {\n"
    "    echo here >>\"$1-$BELT_RECOVERED\"\n"
    "    while [ -e \"hold-$1-$BELT_RECOVERED\" ]; do sleep 0.02; done\n"
    "}\n"
    "case $sql in *'UPDATE account'*) step=commit ;; *) step=begin ;; esac\n"
    "[ $step = begin ] || gate before\n"
    "out=$(printf '%s\\n' \"$sql\" | \"$real\" \"$@\") || exit\n"
    "echo $step $out >>\"verdicts-$BELT_RECOVERED\"\n"
    "[ $step = begin ] || gate after\n"
    "printf '%s\\n' \"$out\"\n";

static const char *find_sqlite(void)
{
    static const char *const places[] = {"/usr/bin/sqlite3",
                                         "/usr/local/bin/sqlite3"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static char *read_schema(void)
{
    char *text = story_read(BELT_EXAMPLE "/schema.sql");
    assert_true(text[0] != '\0');
    return text;
}

static void make_store(const struct fixture *f)
{
    sqlite3 *db = NULL;
    char *schema = read_schema();
    assert_int_equal(sqlite3_open(f->store, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    free(schema);
}

/* A number that the store answers. */
static long long ask(const struct fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(f->store, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, STORY_MS);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    long long n = sqlite3_column_int64(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    f->r = story_redis();
    f->sqlite = find_sqlite();
    f->store = mem_printf("%s/account.db", redis_dir(f->r));
    char *script = mem_printf("#!/bin/sh\ncd %s || exit 1\nreal=%s\n%s",
                              redis_dir(f->r), f->sqlite, shim);
    (void)script_file(f->r, "sqlite3", script);
    f->path = mem_printf("PATH=%s:%s", redis_dir(f->r), getenv("PATH"));
    free(script);
    make_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    free(f->store);
    free(f->path);
    free(f);
    return 0;
}

/* A worker on that host with a lease of three seconds. */
static struct worker *start(const struct fixture *f, const char *host,
                            const char *flag)
{
    char *handler = mem_printf("account.credit=exec:%s/account.credit %s",
                               BELT_EXAMPLE, f->store);
    char *host_env = mem_printf("BELT_HOST=%s", host);
    const char *env[] = {host_env, f->path, NULL};
    const char *argv[] = {
        BELT_WORKER_BIN, "-u", redis_url(f->r), "-q",    "q",  "--lease", "3s",
        "--threads",     "2",  "--handler",     handler, flag, NULL};
    struct worker *w = worker_exec(f->r, argv, env);
    assert_true(worker_is_up(w, 1));
    free(host_env);
    free(handler);
    return w;
}

static void push(const struct fixture *f, const char *payload)
{
    redis_do(f->r,
             "RPUSH belt:{q} {\"type\":\"account.credit\",\"payload\":%s}",
             payload);
}

static void hold(const struct fixture *f, const char *gate)
{
    char *path = mem_printf("%s/hold-%s", redis_dir(f->r), gate);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void let_go(const struct fixture *f, const char *gate)
{
    char *path = mem_printf("%s/hold-%s", redis_dir(f->r), gate);
    assert_int_equal(unlink(path), 0);
    free(path);
}

/* Waits until so many lines are in a file that the script writes. */
static void wait_lines(const struct fixture *f, const char *name, unsigned n)
{
    char *path = mem_printf("%s/%s", redis_dir(f->r), name);
    story_lines(path, n);
    free(path);
}

/* What the store answered to all deliveries with so many recoveries. */
static void expect_verdicts(const struct fixture *f, unsigned recovered,
                            const char *verdicts)
{
    char *path = mem_printf("%s/verdicts-%u", redis_dir(f->r), recovered);
    char *text = story_read(path);
    assert_string_equal(text, verdicts);
    free(text);
    free(path);
}

/* One job of 30 in the books of the store and in those of Redis. */
static void expect_credited_once(const struct fixture *f)
{
    assert_true(queue_at_rest(f->r, "q", STORY_MS));
    assert_int_equal(ask(f, "SELECT balance FROM account"), 30);
    assert_int_equal(ask(f, "SELECT count(*) FROM effect"), 1);
    assert_int_equal(ask(f, "SELECT sum(applied) FROM delivery"), 1);
    assert_int_equal(queue_stat(f->r, "q", "done"), 1);
    assert_int_equal(queue_stat(f->r, "q", "retried"), 0);
    assert_int_equal(queue_stat(f->r, "q", "dead"), 0);
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

static void each_job_is_credited(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 20; i++)
        push(f, "30");
    struct worker *w = start(f, "a", "--fence");
    story_stat(f->r, "q", "done", 20);
    assert_int_equal(ask(f, "SELECT balance FROM account"), 600);
    assert_int_equal(ask(f, "SELECT count(DISTINCT job) FROM effect"), 20);
    assert_int_equal(ask(f, "SELECT count(*) FROM effect"), 20);
    stop(w);
}

static void killed_before_the_effect_it_is_credited_once(void **state)
{
    struct fixture *f = *state;
    hold(f, "before-0");
    push(f, "30");
    struct worker *a = start(f, "a", "--fence");
    wait_lines(f, "before-0", 1);
    worker_signal(a, SIGKILL); /* a neighbour of its host notices at once */
    story_ends(a, -SIGKILL);
    struct worker *b = start(f, "a", "--fence");
    story_stat(f->r, "q", "done", 1);
    expect_credited_once(f);
    expect_verdicts(f, 0, "begin ours\n");
    expect_verdicts(f, 1, "begin ours\ncommit applied already\n");
    stop(b);
}

static void killed_after_the_effect_it_is_credited_once(void **state)
{
    struct fixture *f = *state;
    hold(f, "after-0");
    push(f, "30");
    struct worker *a = start(f, "a", "--fence");
    wait_lines(f, "after-0", 1);
    worker_signal(a, SIGKILL);
    story_ends(a, -SIGKILL);
    assert_int_equal(queue_stat(f->r, "q", "done"), 0);
    struct worker *b = start(f, "a", "--fence");
    story_stat(f->r, "q", "done", 1);
    expect_credited_once(f);
    expect_verdicts(f, 0, "begin ours\ncommit applied already\n");
    expect_verdicts(f, 1, "begin already\n");
    stop(b);
}

/* A's handler goes on although A stands still; B has the job, and waits. */
static void paused_and_late_it_is_stale(void **state)
{
    struct fixture *f = *state;
    hold(f, "before-0");
    hold(f, "before-1");
    push(f, "30");
    struct worker *a = start(f, "a", "--fence");
    wait_lines(f, "before-0", 1);
    worker_signal(a, SIGSTOP);
    struct worker *b = start(f, "b", "--fence");
    wait_lines(f, "before-1", 1);
    let_go(f, "before-0");
    wait_lines(f, "verdicts-0", 2);
    expect_verdicts(f, 0, "begin ours\ncommit stale\n");
    assert_int_equal(ask(f, "SELECT balance FROM account"), 0);
    worker_signal(a, SIGCONT);
    story_said(a, "ev=fenced", 1);
    let_go(f, "before-1");
    story_stat(f->r, "q", "done", 1);
    expect_credited_once(f);
    expect_verdicts(f, 1, "begin ours\ncommit applied already\n");
    stop(a);
    stop(b);
}

static void paused_and_later_still_it_finds_it_done(void **state)
{
    struct fixture *f = *state;
    hold(f, "before-0");
    push(f, "30");
    struct worker *a = start(f, "a", "--fence");
    wait_lines(f, "before-0", 1);
    worker_signal(a, SIGSTOP);
    struct worker *b = start(f, "b", "--fence");
    story_stat(f->r, "q", "done", 1);
    let_go(f, "before-0");
    wait_lines(f, "verdicts-0", 2);
    expect_verdicts(f, 0, "begin ours\ncommit already\n");
    worker_signal(a, SIGCONT);
    story_said(a, "ev=fenced", 1);
    expect_credited_once(f);
    stop(a);
    stop(b);
}

static void what_is_no_amount_is_dead(void **state)
{
    static const char *const wrong[] = {"-1",
                                        "1.5",
                                        "\"1\"",
                                        "null",
                                        "{}",
                                        "\"0); DELETE FROM account; --\"",
                                        "1000000000000000"};
    enum { WRONG = sizeof(wrong) / sizeof(wrong[0]) };
    struct fixture *f = *state;
    for (unsigned i = 0; i < WRONG; i++)
        push(f, wrong[i]);
    push(f, "999999999999999");
    struct worker *w = start(f, "a", "--fence");
    story_stat(f->r, "q", "done", 1);
    story_stat(f->r, "q", "dead", WRONG);
    assert_int_equal(ask(f, "SELECT balance FROM account"), 999999999999999);
    assert_int_equal(ask(f, "SELECT count(*) FROM delivery"), 1);
    stop(w);
}

static void without_a_token_it_refuses_to_work(void **state)
{
    struct fixture *f = *state;
    push(f, "30");
    struct worker *w = start(f, "a", NULL);
    story_said(w, "has to be started with --fence", 1);
    story_stat(f->r, "q", "put_off", 1);
    assert_int_equal(ask(f, "SELECT count(*) FROM delivery"), 0);
    stop(w);
}

/* The handler by itself, as that delivery of a job of 30. */
static struct worker *deliver(const struct fixture *f, const char *fence,
                              const char *recovered)
{
    char *command =
        mem_printf("echo 30 | %s/account.credit %s", BELT_EXAMPLE, f->store);
    char *fence_env = mem_printf("BELT_FENCE=%s", fence);
    char *recovered_env = mem_printf("BELT_RECOVERED=%s", recovered);
    struct worker *w =
        worker_exec(f->r, (const char *[]){"sh", "-c", command, NULL},
                    (const char *[]){"BELT_JOB_ID=j", fence_env, recovered_env,
                                     f->path, NULL});
    free(recovered_env);
    free(fence_env);
    free(command);
    return w;
}

/* For a store whose effects fit into one transaction the mark is enough. */
static void with_equal_tokens_it_is_credited_once(void **state)
{
    struct fixture *f = *state;
    hold(f, "before-0");
    struct worker *a = deliver(f, "7", "0");
    wait_lines(f, "before-0", 1);
    story_ends(deliver(f, "7", "1"), 0);
    let_go(f, "before-0");
    story_ends(a, 0);
    assert_int_equal(ask(f, "SELECT balance FROM account"), 30);
    assert_int_equal(ask(f, "SELECT count(*) FROM effect"), 1);
}

/* Else a job could end as done with nothing done. */
static void a_stale_delivery_asks_for_a_retry(void **state)
{
    struct fixture *f = *state;
    hold(f, "before-1");
    struct worker *later = deliver(f, "8", "1");
    wait_lines(f, "before-1", 1);
    story_ends(deliver(f, "7", "0"), 75);
    assert_int_equal(ask(f, "SELECT balance FROM account"), 0);
    let_go(f, "before-1");
    story_ends(later, 0);
    assert_int_equal(ask(f, "SELECT balance FROM account"), 30);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(each_job_is_credited),
        CLAIM(killed_before_the_effect_it_is_credited_once),
        CLAIM(killed_after_the_effect_it_is_credited_once),
        CLAIM(paused_and_late_it_is_stale),
        CLAIM(paused_and_later_still_it_finds_it_done),
        CLAIM(with_equal_tokens_it_is_credited_once),
        CLAIM(a_stale_delivery_asks_for_a_retry),
        CLAIM(what_is_no_amount_is_dead),
        CLAIM(without_a_token_it_refuses_to_work),
    };
    if (find_sqlite() == NULL) {
        print_message("skipped: no sqlite3 (Debian package sqlite3)\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
