/*
 * Claims about the keys of a handler that isolate its processes: which of them
 * are refused and why, what a run is like from inside, and that nothing of it
 * stays. The same with a real worker is it_isolation.
 */
#include "worker/isolation.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/cgroup.h"
#include "worker/handler_keys.h"
#include "worker/handler_priv.h"
#include "worker/tree.h"

static unsigned row_of(const char *name)
{
    for (unsigned i = 0; handler_keys_name(i) != NULL; i++)
        if (strcmp(handler_keys_name(i), name) == 0)
            return i;
    fail_msg("no key %s", name);
    return 0;
}

/* "key", "value", …, NULL. Lines count from 1. */
static void set_keys(struct handler_keys *k, const char *const *pairs)
{
    struct errbuf eb = {""};

    handler_keys_init(k);
    for (unsigned line = 1; *pairs != NULL; pairs += 2, line++) {
        unsigned row = row_of(pairs[0]);

        if (handler_keys_set(k, row, pairs[1], &eb) != 0)
            fail_msg("%s: %s", pairs[0], eb.text);
        k->lines[row] = line;
    }
}

/* Type x: a script in which $D is the directory, with these keys. */
static int add(struct runner_fixture *f, const char *body,
               struct handler_keys *k, struct errbuf *eb)
{
    char *text = mem_printf("#!/bin/sh\nD=%s\n%s\n", f->dir, body);
    char *what = mem_printf("exec:%s", runner_file(f, "x", text));
    int rc;

    assert_int_equal(chmod(what + 5, 0755), 0);
    assert_int_equal(chmod(f->dir, 0755), 0);
    handlers_free(f->hs);
    f->hs = handlers_new(&f->limits);
    rc = handlers_add_with(f->hs, "x", what, NULL, k, eb);
    handler_keys_done(k);
    free(what);
    free(text);
    return rc;
}

static struct delivery *run(struct runner_fixture *f, const char *body,
                            const char *const *pairs)
{
    struct errbuf eb = {""};
    struct handler_keys k;
    struct delivery *d;

    set_keys(&k, pairs);
    if (add(f, body, &k, &eb) != 0)
        fail_msg("%s", eb.text);
    d = runner_delivery(f, "x", NULL, NULL);
    handler_run(d, f->cancel_fd);
    return d;
}

#define KEYS(...)                                                              \
    (const char *const[])                                                      \
    {                                                                          \
        __VA_ARGS__, NULL                                                      \
    }

static void expect_output(struct runner_fixture *f, const char *body,
                          const char *output, const char *const *keys)
{
    struct delivery *d = run(f, body, keys);

    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, output);
    delivery_free(d);
}

static void expect_refused(struct runner_fixture *f, const char *text,
                           unsigned line, const char *const *pairs)
{
    struct errbuf eb = {""};
    struct handler_keys k;
    unsigned wrong;
    int rc;

    set_keys(&k, pairs);
    char *what = mem_printf("exec:/bin/true");
    handlers_free(f->hs);
    f->hs = handlers_new(&f->limits);
    rc = handlers_add_with(f->hs, "x", what, NULL, &k, &eb);
    wrong = k.wrong_line;
    handler_keys_done(&k);
    free(what);
    assert_int_equal(rc, ERR_INVALID);
    if (strstr(eb.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", eb.text, text);
    assert_int_equal(wrong, line);
}

static void wrong_keys_are_refused_with_their_line(void **state)
{
    struct runner_fixture *f = *state;

    expect_refused(f, "env: A: expected NAME=value", 1, KEYS("env", "A"));
    expect_refused(f, "env: 1A: not the name of a variable", 2,
                   KEYS("nice", "1", "env", "1A=x"));
    expect_refused(f, "env: : not the name", 1, KEYS("env", "=x"));
    expect_refused(f, "env: BELT_JOB_ID is set by the worker", 1,
                   KEYS("env", "BELT_JOB_ID=x"));
    expect_refused(f, "pass-env: A-B: not the name of a variable", 1,
                   KEYS("pass-env", "HOME A-B"));
    expect_refused(f, "pass-env: BELT_LOG_LEVEL is set by the worker", 1,
                   KEYS("pass-env", "BELT_LOG_LEVEL"));
    expect_refused(f, "cgroup: here: not an absolute path", 1,
                   KEYS("cgroup", "here"));
    expect_refused(f, "cgroup-pids: without the key cgroup", 1,
                   KEYS("cgroup-pids", "3"));
}

static void credentials_of_redis_are_not_passed(void **state)
{
    static const char *const names[] = {"BELT_REDIS_URL", "REDIS_URL",
                                        "REDISCLI_AUTH"};

    for (size_t i = 0; i < 3; i++)
        expect_refused(*state, "is what the worker knows of Redis", 1,
                       KEYS("pass-env", names[i]));
}

static void unknown_users_are_refused(void **state)
{
    if (geteuid() != 0) {
        expect_refused(*state, "user: only a worker of root", 1,
                       KEYS("user", "root"));
        return;
    }
    expect_refused(*state, "user: no such user: no-such-user", 1,
                   KEYS("user", "no-such-user"));
    expect_refused(*state, "user: no such group: no-such-group", 2,
                   KEYS("nice", "1", "user", "root:no-such-group"));
    expect_refused(*state, "user: no such user: 4242", 1, KEYS("user", "4242"));
}

/* As a worker that is not root, nice 5, with at most 100 files. */
static void expect_refused_of_a_plain_worker(const char *key, const char *value,
                                             const char *text)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit few = {100, 100};
        char *none[] = {NULL};
        struct isolation *iso = NULL;
        struct errbuf eb = {""};
        struct handler_keys k;

        handler_keys_init(&k);
        if (setrlimit(RLIMIT_NOFILE, &few) != 0 ||
            setpriority(PRIO_PROCESS, 0, 5) != 0 ||
            (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) ||
            handler_keys_set(&k, row_of(key), value, &eb) != 0)
            _exit(2);
        if (isolation_new(&k, none, &iso, &eb) != ERR_INVALID)
            _exit(3);
        _exit(strcmp(eb.text, text) == 0 ? 0 : 4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void what_the_worker_may_not_give_is_refused(void **state)
{
    (void)state;
    expect_refused_of_a_plain_worker(
        "nice", "4", "nice: the worker itself has 5, and may not go below it");
    expect_refused_of_a_plain_worker(
        "max-files", "101",
        "max-files: the worker itself may have no more than 100");
    expect_refused_of_a_plain_worker(
        "user", "nobody",
        "user: only a worker of root can run handlers as nobody");
}

static void environment_is_that_of_the_keys(void **state)
{
    assert_int_equal(setenv("IT_PASSED", "passed", 1), 0);
    assert_int_equal(setenv("IT_BOTH", "worker", 1), 0);
    assert_int_equal(setenv("IT_KEPT_BACK", "secret", 1), 0);
    expect_output(*state,
                  "echo \"$IT_PASSED|$IT_BOTH|$IT_KEPT_BACK|$A|$LANG|"
                  "${IT_ABSENT-none}|$BELT_JOB_ID\"",
                  "passed|key||1 = 2|xx|none|job-1\n",
                  KEYS("pass-env", " IT_PASSED  IT_BOTH IT_ABSENT", "env",
                       "A=1 = 2", "env", "IT_BOTH=key", "env", "LANG=C", "env",
                       "LANG=xx"));
}

static void limits_hold_inside(void **state)
{
    expect_output(*state, "ulimit -n; ulimit -v; ulimit -t; ulimit -Ht; nice",
                  "37\n524288\n2\n3\n11\n",
                  KEYS("max-files", "37", "max-memory", "512m", "max-cpu",
                       "1500ms", "nice", "11"));
}

static void directory_is_that_of_the_key(void **state)
{
    expect_output(*state, "pwd", "/usr/lib\n", KEYS("dir", "/usr/lib"));
    struct delivery *d = run(*state, "pwd", KEYS("dir", "/nowhere"));
    expect_verdict(d, VERDICT_PUT_OFF, "spawn");
    expect_contains(&d->outcome.message, "/x: dir: No such file or directory");
    delivery_free(d);
}

static void a_program_is_found_from_our_directory(void **state)
{
    struct runner_fixture *f = *state;
    struct errbuf eb = {""};
    struct handler_keys k;
    struct delivery *d;
    char here[512];

    (void)runner_file(f, "here", "#!/bin/sh\npwd\n");
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(f->dir), 0);
    set_keys(&k, KEYS("dir", "/usr/lib"));
    f->hs = handlers_new(&f->limits);
    assert_int_equal(
        handlers_add_with(f->hs, "x", "exec:./here", NULL, &k, &eb), 0);
    handler_keys_done(&k);
    d = runner_delivery(f, "x", NULL, NULL);
    handler_run(d, f->cancel_fd);
    assert_int_equal(chdir(here), 0);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "/usr/lib\n");
    delivery_free(d);
}

/* How many private directories there are in $D. */
static unsigned private_dirs(const struct runner_fixture *f)
{
    DIR *d = opendir(f->dir);
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strncmp(e->d_name, "belt-run.", 9) == 0;
    closedir(d);
    return n;
}

static int setup(void **state)
{
    struct runner_fixture *f;

    if (runner_setup(state) != 0)
        return -1;
    f = *state;
    return setenv("TMPDIR", f->dir, 1);
}

static int teardown(void **state)
{
    (void)unsetenv("TMPDIR");
    return runner_teardown(state);
}

static void private_directory_is_empty_and_goes(void **state)
{
    struct runner_fixture *f = *state;

    expect_output(f,
                  "[ \"$PWD\" = \"$TMPDIR\" ] && ls -A && stat -c %a . &&"
                  " ls -d $D/belt-run.* | wc -l && mkdir -p a/b && touch a/b/c"
                  " && chmod 0 a/b && ln -s / root",
                  "700\n1\n", KEYS("private-tmp", "true"));
    assert_int_equal(private_dirs(f), 0);
    expect_output(f, "pwd; [ -d \"$TMPDIR\" ] && touch $TMPDIR/x", "/usr/lib\n",
                  KEYS("private-tmp", "true", "dir", "/usr/lib"));
    expect_output(f, "echo $TMPDIR", "/var/tmp\n",
                  KEYS("private-tmp", "true", "env", "TMPDIR=/var/tmp"));
    assert_int_equal(private_dirs(f), 0);
}

static void private_directory_goes_when_nothing_starts(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d =
        run(f, "exit", KEYS("private-tmp", "true", "dir", "/nowhere"));

    expect_verdict(d, VERDICT_PUT_OFF, "spawn");
    delivery_free(d);
    assert_int_equal(private_dirs(f), 0);
}

static void no_room_for_it_puts_off(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    assert_int_equal(setenv("TMPDIR", "/nowhere", 1), 0);
    d = run(f, "exit", KEYS("private-tmp", "true"));
    expect_verdict(d, VERDICT_PUT_OFF, "spawn");
    expect_contains(&d->outcome.message,
                    "private-tmp in /nowhere: No such file or directory");
    delivery_free(d);
}

static void what_a_dead_worker_left_is_swept(void **state)
{
    struct runner_fixture *f = *state;
    char left[96], used[96], file[112];
    int lock;

    (void)snprintf(left, sizeof(left), "%s/belt-run.left", f->dir);
    (void)snprintf(used, sizeof(used), "%s/belt-run.used", f->dir);
    (void)snprintf(file, sizeof(file), "%s/sub", left);
    assert_int_equal(mkdir(left, 0500), 0);
    assert_int_equal(mkdir(used, 0700), 0);
    if (geteuid() == 0)
        assert_int_equal(mkdir(file, 0700), 0);
    lock = open(used, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(lock);
    lock = tree_lock(used);
    assert_true(lock >= 0);
    expect_output(f, "ls -d $D/belt-run.* | wc -l", "2\n",
                  KEYS("private-tmp", "true"));
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(access(used, F_OK), 0);
    close(lock);
    assert_int_equal(rmdir(used), 0);
}

static void cpu_time_has_an_end_even_if_the_signal_is_caught(void **state)
{
    struct delivery *d =
        run(*state, "trap : XCPU; while :; do :; done", KEYS("max-cpu", "1s"));

    expect_verdict(d, VERDICT_RETRY, "cpu");
    expect_contains(&d->outcome.message, "used more CPU time than max-cpu, 1s");
    assert_int_equal(d->outcome.exit_status, 128 + 9);
    assert_false(d->outcome.crashed);
    assert_in_range(d->outcome.cpu_us, 1000000, 4000000);
    delivery_free(d);
}

static void memory_has_an_end(void **state)
{
    struct delivery *d =
        run(*state, "exec dd if=/dev/zero of=/dev/null bs=100M count=1",
            KEYS("max-memory", "32m"));

    expect_verdict(d, VERDICT_RETRY, "exit");
    expect_contains(&d->outcome.message, "memory exhausted");
    delivery_free(d);
}

static void another_user_runs_it(void **state)
{
    struct runner_fixture *f = *state;

    if (geteuid() != 0) {
        print_message("skipped: not root\n");
        skip();
    }
    assert_int_equal(chmod(f->dir, 0755), 0);
    expect_output(f,
                  "id -u; id -g; id -G; echo $HOME $USER; stat -c %U:%a ."
                  " && echo said >/dev/stdout && touch mine",
                  "65534\n65534\n65534\n/nonexistent nobody\n"
                  "nobody:700\nsaid\n",
                  KEYS("user", "nobody", "private-tmp", "true"));
    expect_output(f, "id -u; id -g; id -G", "4242\n4343\n4343\n",
                  KEYS("user", "4242:4343"));
    expect_output(f, "id -u; id -g", "65534\n4343\n",
                  KEYS("user", "nobody:4343"));
    assert_int_equal(private_dirs(f), 0);
}

/* Plain files in the place of those of the kernel: what is written there. */
static void limits_of_a_cgroup_are_written(void **state)
{
    struct runner_fixture *f = *state;
    struct isolation iso = {
        .cgroup_memory = 64 << 20, .cgroup_cpu = 150, .cgroup_pids = 7};
    static const struct {
        const char *file, *text;
    } rows[] = {{"memory.max", "67108864"},
                {"memory.oom.group", "1"},
                {"cpu.max", "150000 100000"},
                {"pids.max", "7"}};
    struct errbuf eb = {""};
    int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(dir >= 0);
    for (size_t i = 0; i < 4; i++)
        (void)runner_file(f, rows[i].file, "");
    assert_int_equal(cgroup_limit(dir, &iso, &eb), 0);
    for (size_t i = 0; i < 4; i++) {
        char text[64] = "";
        int fd = openat(dir, rows[i].file, O_RDONLY | O_CLOEXEC);

        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        assert_string_equal(text, rows[i].text);
    }
    assert_int_equal(unlinkat(dir, "cpu.max", 0), 0);
    assert_int_equal(cgroup_limit(dir, &iso, &eb), ERR_SYSTEM);
    assert_string_equal(
        eb.text, "cgroup-cpu: the controller cpu is not on in that cgroup");
    close(dir);
}

/* The same for what is read of them. */
static void a_cgroup_tells_of_time_and_memory(void **state)
{
    struct runner_fixture *f = *state;
    struct cgroup cg = {.path = f->dir, .procs = -1};

    cg.fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(cg.fd >= 0);
    assert_int_equal(cgroup_cpu_us(&cg), -1);
    assert_false(cgroup_oom(&cg));
    (void)runner_file(f, "cpu.stat",
                      "nr_usage_usec 7\nusage_usec 4711\n"
                      "user_usec 1\n");
    (void)runner_file(f, "memory.events", "low 0\nmax 3\noom 1\noom_kill 0\n");
    assert_int_equal(cgroup_cpu_us(&cg), 4711);
    assert_false(cgroup_oom(&cg));
    (void)runner_file(f, "memory.events", "oom 1\noom_kill 2\n");
    assert_true(cgroup_oom(&cg));
    close(cg.fd);
}

static void a_kill_for_memory_is_a_crash_of_that_class(void **state)
{
    struct exec_end end = {.oom = true};
    struct delivery *d =
        run(*state, "exit", KEYS("cgroup", "/nowhere", "cgroup-memory", "1m"));

    end.info.si_code = CLD_KILLED;
    end.info.si_status = SIGKILL;
    exec_end_judge(d, &end);
    expect_verdict(d, VERDICT_RETRY, "memory");
    expect_contains(&d->outcome.message, "cgroup-memory, 1048576 bytes");
    assert_true(d->outcome.crashed);
    end.info.si_status = SIGSEGV; /* which the kernel does not send for that */
    exec_end_judge(d, &end);
    expect_verdict(d, VERDICT_RETRY, "signal");
    delivery_free(d);
}

static void a_directory_that_is_no_cgroup_puts_off(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d = run(f, "exit", KEYS("cgroup", f->dir));

    expect_verdict(d, VERDICT_PUT_OFF, "spawn");
    expect_contains(&d->outcome.message, "cgroup.procs: No such file");
    assert_false(runner_has(f, "belt-run-0"));
    delivery_free(d);
    d = run(f, "exit", KEYS("cgroup", "/nowhere/at/all"));
    expect_verdict(d, VERDICT_PUT_OFF, "spawn");
    expect_contains(&d->outcome.message, "cgroup /nowhere/at/all: No such");
    delivery_free(d);
}

static void usage_is_told(void **state)
{
    struct delivery *d =
        run(*state,
            "x=$(head -c 40000000 /dev/zero | tr '\\0' x); i=0;"
            " while [ $i -lt 300000 ]; do i=$((i+1)); done",
            KEYS("nice", "1"));

    expect_verdict(d, VERDICT_DONE, "");
    assert_in_range(d->outcome.cpu_us, 50 * 1000, 60 * 1000 * 1000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(d->outcome.peak_rss, 40 * 1000 * 1000, 1000 * 1000 * 1000);
#endif
    delivery_free(d);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(wrong_keys_are_refused_with_their_line),
        CLAIM(credentials_of_redis_are_not_passed),
        CLAIM(unknown_users_are_refused),
        CLAIM(what_the_worker_may_not_give_is_refused),
        CLAIM(environment_is_that_of_the_keys),
        CLAIM(limits_hold_inside),
        CLAIM(directory_is_that_of_the_key),
        CLAIM(a_program_is_found_from_our_directory),
        CLAIM(private_directory_is_empty_and_goes),
        CLAIM(private_directory_goes_when_nothing_starts),
        CLAIM(no_room_for_it_puts_off),
        CLAIM(what_a_dead_worker_left_is_swept),
        CLAIM(cpu_time_has_an_end_even_if_the_signal_is_caught),
        CLAIM(memory_has_an_end),
        CLAIM(another_user_runs_it),
        CLAIM(limits_of_a_cgroup_are_written),
        CLAIM(a_cgroup_tells_of_time_and_memory),
        CLAIM(a_kill_for_memory_is_a_crash_of_that_class),
        CLAIM(a_directory_that_is_no_cgroup_puts_off),
        CLAIM(usage_is_told),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
