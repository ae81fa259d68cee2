/*
 * Claims about starting processes, and about the guard that ends them when
 * the worker dies.
 */
#include "worker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/guard.h"

struct output {
    int rd, wr, null;
    char text[4096];
};

static void output_open(struct output *o)
{
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    o->rd = p[0];
    o->wr = p[1];
    o->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(o->null >= 0);
}

/* Starts argv with stdout into the pipe; "" or the reason why not, lent. */
static const char *start_with(struct output *o, char *const *argv,
                              const char *dir, const struct spawn_setup *setup,
                              struct child *ret_child)
{
    static struct errbuf eb;
    char *const envp[] = {NULL};
    struct spawn s = {.path = argv[0],
                      .argv = argv,
                      .envp = envp,
                      .dir = dir,
                      .setup = setup,
                      .fds = {o->null, o->wr, o->wr, o->null}};

    return spawn_start(&s, ret_child, &eb) == 0 ? "" : eb.text;
}

static const char *start(struct output *o, char *const *argv, const char *dir,
                         struct child *ret_child)
{
    return start_with(o, argv, dir, NULL, ret_child);
}

/* Reads until every writer is gone, and reaps. Returns the exit code. */
static int finish(struct output *o, struct child *c)
{
    size_t len = 0;
    ssize_t n;
    int status;

    close(o->wr);
    close(o->null);
    while ((n = read(o->rd, o->text + len, sizeof(o->text) - 1 - len)) > 0)
        len += (size_t)n;
    o->text[len] = '\0';
    close(o->rd);
    assert_true(fd_becomes_readable(c->pidfd));
    close(c->pidfd);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define ARGV(...)                                                              \
    (char *const[])                                                            \
    {                                                                          \
        __VA_ARGS__, NULL                                                      \
    }

/* The strings of argv are not written to; execve lacks the const. */
static char *word(const char *s)
{
    static char words[8][512];
    static unsigned next;
    char *w = words[next++ % 8];

    snprintf(w, sizeof(words[0]), "%s", s);
    return w;
}

static int run(struct output *o, char *const *argv, const char *dir)
{
    struct child c;

    output_open(o);
    assert_string_equal(start(o, argv, dir, &c), "");
    return finish(o, &c);
}

static int run_sh(struct output *o, const char *script)
{
    return run(o, ARGV(word("/bin/sh"), word("-c"), word(script)), NULL);
}

static void child_has_four_descriptors(void **state)
{
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
    int high = fcntl(leak, F_DUPFD, 700);
    struct output o;

    (void)state;
    assert_true(leak > 2 && high >= 700);
    /* 4 is the directory that ls reads. */
    assert_int_equal(
        run(&o, ARGV(word("/bin/ls"), word("/proc/self/fd")), NULL), 0);
    assert_string_equal(o.text, "0\n1\n2\n3\n4\n");
    close(leak);
    close(high);
}

static void child_has_default_signals(void **state)
{
    sigset_t all, old;
    struct output o;

    (void)state;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(run(&o,
                         ARGV(word("/bin/grep"), word("-E"),
                              word("^Sig(Blk|Ign)"), word("/proc/self/status")),
                         NULL),
                     0);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert_string_equal(o.text, "SigBlk:\t0000000000000000\n"
                                "SigIgn:\t0000000000000000\n");
}

static void caller_keeps_its_signals(void **state)
{
    sigset_t some, old, now;
    struct output o;

    (void)state;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &some, &old);
    assert_int_equal(run_sh(&o, "exit 0"), 0);
    pthread_sigmask(SIG_SETMASK, &old, &now);
    assert_true(sigismember(&now, SIGUSR2));
    assert_false(sigismember(&now, SIGTERM));
    assert_true(signal(SIGPIPE, SIG_IGN) == SIG_IGN);
}

static void child_leads_a_group_of_its_own(void **state)
{
    struct output o;
    long pid, pgid;

    (void)state;
    assert_int_equal(
        run_sh(&o, "read pid comm state ppid pgid rest </proc/self/stat\n"
                   "echo $$ $pgid"),
        0);
    assert_int_equal(sscanf(o.text, "%ld %ld", &pid, &pgid), 2);
    assert_int_equal(pid, pgid);
    assert_int_not_equal(pgid, getpgrp());
}

static void child_starts_in_the_directory(void **state)
{
    struct output o;

    (void)state;
    assert_int_equal(run(&o, ARGV(word("/bin/pwd")), "/usr/lib"), 0);
    assert_string_equal(o.text, "/usr/lib\n");
}

static void crossed_descriptors_arrive_right(void **state)
{
    char *const argv[] = {word("/bin/sh"), word("-c"),
                          word("cat; echo err >&2; echo control >&3"), NULL};
    char *const envp[] = {NULL};
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 3);
    struct errbuf eb;
    struct spawn s = {.path = argv[0], .argv = argv, .envp = envp};
    struct output o;
    struct child c;

    (void)state;
    output_open(&o);
    assert_true(saved >= 3 && dup2(o.wr, 0) == 0);
    s.fds[0] = o.null;
    s.fds[1] = 0; /* which the first one replaces */
    s.fds[2] = 0;
    s.fds[3] = 0;
    assert_int_equal(spawn_start(&s, &c, &eb), 0);
    assert_true(dup2(saved, 0) == 0);
    close(saved);
    assert_int_equal(finish(&o, &c), 0);
    assert_string_equal(o.text, "err\ncontrol\n");
}

static void failure_tells_why_and_leaves_nothing(void **state)
{
    static const struct {
        const char *path, *dir, *why;
    } rows[] = {{"/nowhere/x", NULL, "No such file or directory"},
                {"/tmp", NULL, "Permission denied"},
                {"/etc/passwd", NULL, "Permission denied"},
                {"/bin/true", "/nowhere", "dir: No such file or directory"},
                {"/bin/true/x", NULL, "Not a directory"}};
    struct output o;

    (void)state;
    output_open(&o);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct child c;

        assert_string_equal(
            start(&o, ARGV(word(rows[i].path)), rows[i].dir, &c), rows[i].why);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
    }
    close(o.rd);
    close(o.wr);
    close(o.null);
}

static void what_was_asked_for_is_done_or_named(void **state)
{
    static const struct {
        struct spawn_setup setup;
        const char *why;
    } rows[] = {
        {{.cgroup_procs = 9999}, "cgroup: Bad file descriptor"},
        {{.cgroup_procs = -1,
          .limits = {{"max-files", RLIMIT_NOFILE, {9, 9}}, {"bad", 99, {1, 1}}},
          .limit_count = 2},
         "bad: Invalid argument"},
        {{.cgroup_procs = -1, .has_user = true, .group_count = SIZE_MAX},
         "user (its groups): Invalid argument"},
        {{.cgroup_procs = -1, .has_user = true, .gid = (gid_t)-1},
         ""}, /* -1: as it is */
    };
    struct output o;
    struct child c;

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        output_open(&o);
        const char *why =
            start_with(&o, ARGV(word("/bin/true")), NULL, &rows[i].setup, &c);
        assert_string_equal(why, rows[i].why);
        if (why[0] == '\0') {
            assert_int_equal(finish(&o, &c), 0);
            continue;
        }
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        close(o.rd);
        close(o.wr);
        close(o.null);
    }
}

static void shortage_of_descriptors_starts_nothing(void **state)
{
    struct rlimit old, few;
    struct output o;
    struct child c;

    (void)state;
    output_open(&o);
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){.rlim_cur = 4, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    const char *why = start(&o, ARGV(word("/bin/true")), NULL, &c);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_string_equal(why, "Too many open files");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    close(o.rd);
    close(o.wr);
    close(o.null);
}

static const struct spawn_setup *spawner_setup; /* for the next thread */

static void *spawner_main(void *arg)
{
    struct output o;
    struct child *c = arg;

    output_open(&o);
    return start_with(&o, ARGV(word("/bin/sleep"), word("1000")), NULL,
                      spawner_setup, c)[0] == '\0'
               ? NULL
               : arg;
}

static void child_dies_with_the_thread_that_started_it(void **state)
{
    struct child c;
    pthread_t t;
    void *failed;
    int status;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, spawner_main, &c), 0);
    pthread_join(t, &failed);
    assert_null(failed);
    assert_true(fd_becomes_readable(c.pidfd));
    close(c.pidfd);
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A change of user takes the death signal back: it is armed after that. */
static void so_does_a_child_of_another_user(void **state)
{
    static const struct spawn_setup nobody = {
        .cgroup_procs = -1, .has_user = true, .uid = 65534, .gid = 65534};

    if (geteuid() != 0)
        skip();
    spawner_setup = &nobody;
    child_dies_with_the_thread_that_started_it(state);
    spawner_setup = NULL;
}

static void program_is_found_in_the_first_directory(void **state)
{
    struct runner_fixture *f = *state;
    char out[256], dirs[256], small[4];

    runner_file(f, "env", "");
    snprintf(dirs, sizeof(dirs), "/nowhere:%s:/usr/bin", f->dir);
    assert_int_equal(spawn_find("env", dirs, out, sizeof(out)), 0);
    assert_true(strncmp(out, f->dir, strlen(f->dir)) == 0);
    assert_int_equal(chmod(out, 0600), 0);
    if (geteuid() != 0 || access(out, X_OK) != 0) {
        assert_int_equal(spawn_find("env", dirs, out, sizeof(out)), 0);
        assert_string_equal(out, "/usr/bin/env");
    }
    assert_int_equal(spawn_find("./env", dirs, out, sizeof(out)), 0);
    assert_string_equal(out, "./env");
    assert_int_equal(spawn_find("no-such", dirs, out, sizeof(out)),
                     ERR_MISSING);
    assert_int_equal(spawn_find("./env", dirs, small, sizeof(small)),
                     ERR_TOO_BIG);
}

/* A process that stands for a worker: runs play, then waits to be killed. */
static pid_t fork_worker(void (*play)(int wr), int *ret_rd)
{
    int p[2];
    pid_t pid;

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(p[0]);
        play(p[1]);
        for (;;)
            pause();
    }
    close(p[1]);
    *ret_rd = p[0];
    return pid;
}

static void kill_worker(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void guard_or_exit(void)
{
    struct errbuf eb;

    if (guard_start(4, &eb) != 0)
        _exit(1);
}

static void play_handler_with_grandchild(int wr)
{
    struct output o = {.rd = -1, .wr = wr};
    struct child c;

    guard_or_exit();
    o.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (start(&o,
              ARGV(word("/bin/sh"), word("-c"),
                   word("/bin/sleep 1000 & echo $$ $!; wait")),
              NULL, &c)[0] != '\0')
        _exit(1);
}

static void read_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n < size - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
}

static void grandchildren_die_with_the_worker(void **state)
{
    char line[64];
    int rd, child, grandchild;
    pid_t worker = fork_worker(play_handler_with_grandchild, &rd);

    (void)state;
    read_line(rd, line, sizeof(line));
    assert_int_equal(sscanf(line, "%d %d", &child, &grandchild), 2);
    assert_int_equal(kill(grandchild, 0), 0);
    kill_worker(worker);
    assert_true(process_ends(child));
    assert_true(process_ends(grandchild));
    close(rd);
}

static void play_guard_only(int wr)
{
    guard_or_exit();
    close(wr);
}

static void guard_holds_no_file_of_ours(void **state)
{
    int rd;
    pid_t worker = fork_worker(play_guard_only, &rd);
    char c;

    (void)state;
    /* The end of the pipe comes while worker and guard live. */
    assert_true(fd_becomes_readable(rd));
    assert_int_equal(read(rd, &c, 1), 0);
    assert_int_equal(kill(worker, 0), 0);
    kill_worker(worker);
    close(rd);
}

/* A process alone in its group. */
static pid_t fork_group(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    assert_int_equal(setpgid(pid, pid), 0);
    return pid;
}

static pid_t groups[2];

static void play_one_group_removed(int wr)
{
    guard_or_exit();
    for (int i = 0; i < 100; i++) { /* places are used again */
        guard_add(getpid());
        guard_remove(getpid());
    }
    guard_add(groups[0]);
    guard_add(groups[1]);
    guard_remove(groups[0]);
    if (write(wr, "\n", 1) != 1)
        _exit(1);
}

static void guard_spares_groups_that_were_removed(void **state)
{
    pid_t worker;
    char line[8];
    int rd, status;

    (void)state;
    groups[0] = fork_group();
    groups[1] = fork_group();
    worker = fork_worker(play_one_group_removed, &rd);
    read_line(rd, line, sizeof(line));
    kill_worker(worker);
    assert_int_equal(waitpid(groups[1], &status, 0), groups[1]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(waitpid(groups[0], &status, WNOHANG), 0);
    kill(groups[0], SIGKILL);
    assert_int_equal(waitpid(groups[0], NULL, 0), groups[0]);
    close(rd);
}

static void guard_ends_in_peace(void **state)
{
    struct errbuf eb = {""};

    (void)state;
    assert_int_equal(guard_start(4, &eb), 0);
    guard_add(getpid());
    guard_remove(getpid());
    guard_stop();
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_has_four_descriptors),
        cmocka_unit_test(child_has_default_signals),
        cmocka_unit_test(caller_keeps_its_signals),
        cmocka_unit_test(child_leads_a_group_of_its_own),
        cmocka_unit_test(child_starts_in_the_directory),
        cmocka_unit_test(crossed_descriptors_arrive_right),
        cmocka_unit_test(failure_tells_why_and_leaves_nothing),
        cmocka_unit_test(what_was_asked_for_is_done_or_named),
        cmocka_unit_test(shortage_of_descriptors_starts_nothing),
        cmocka_unit_test(child_dies_with_the_thread_that_started_it),
        cmocka_unit_test(so_does_a_child_of_another_user),
        cmocka_unit_test_setup_teardown(program_is_found_in_the_first_directory,
                                        runner_setup, runner_teardown),
        cmocka_unit_test(grandchildren_die_with_the_worker),
        cmocka_unit_test(guard_holds_no_file_of_ours),
        cmocka_unit_test(guard_spares_groups_that_were_removed),
        cmocka_unit_test(guard_ends_in_peace),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
