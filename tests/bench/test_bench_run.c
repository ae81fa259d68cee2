/*
 * What somebody sees who calls the benchmark wrongly, or interrupts it.
 *
 * Thread: main.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/tmp.h"

enum { ARGS_MAX = 12, MORE_ROUNDS = 20 };

struct run {
    pid_t pid;
    FILE *err;
    char text[8192]; /* of err, so far */
};

/* In a process group of its own, as a shell with a terminal would start it. */
static void start(struct run *r, const char *const *argv)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    r->text[0] = '\0';
    r->pid = fork();
    if (r->pid == 0) {
        const char *args[ARGS_MAX] = {NULL};
        for (int i = 0; argv[i] != NULL && i < ARGS_MAX - 1; i++)
            args[i] = argv[i];
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)signal(SIGINT, SIG_DFL);
        if (setpgid(0, 0) == 0 && dup2(fds[1], 2) == 2 && close(fds[0]) == 0 &&
            close(fds[1]) == 0)
            execv(args[0], (char **)(void *)args);
        _exit(127);
    }
    assert_true(r->pid > 0);
    close(fds[1]);
    r->err = fdopen(fds[0], "r");
    assert_non_null(r->err);
}

/* Reads until a line has what, or to the end. Returns whether one has. */
static bool read_until(struct run *r, const char *what)
{
    size_t n = strlen(r->text);

    while (fgets(r->text + n, (int)(sizeof(r->text) - n), r->err) != NULL) {
        if (what != NULL && strstr(r->text + n, what) != NULL)
            return true;
        n += strlen(r->text + n);
        assert_true(n + 1 < sizeof(r->text));
    }
    return false;
}

/* Returns the exit code. */
static int end(struct run *r)
{
    int status;

    (void)read_until(r, NULL);
    fclose(r->err);
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *const *argv, int code, const char *text)
{
    struct run r;

    start(&r, argv);
    assert_int_equal(end(&r), code);
    if (strstr(r.text, text) == NULL || strstr(r.text, "round 1 of") != NULL)
        fail_msg("%s", r.text);
}

/* Nothing can be built with that preset: it fails, but with another code. */
#define RUN BENCH_RUN, "--preset", "none"

static void wrong_arguments_are_named_before_anything_is_built(void **state)
{
    (void)state;
    expect((const char *[]){RUN, "--json", NULL}, 64, "--json needs a value");
    expect((const char *[]){RUN, "--rounds=", NULL}, 64,
           "--rounds needs a value");
    expect((const char *[]){RUN, "--fast", NULL}, 64, "no option --fast");
}

static void an_unknown_section_is_named(void **state)
{
    (void)state;
    expect((const char *[]){BENCH_BIN, "chan", "chance", NULL}, 64,
           "no such section: chance");
}

static void
json_that_cannot_be_written_fails_before_the_first_round(void **state)
{
    (void)state;
    expect((const char *[]){BENCH_BIN, "--smoke", "--json", "/none/x.json",
                            "chan", NULL},
           1, "cannot write /none/x.json: No such file or directory");
}

static void a_full_disk_is_an_error(void **state)
{
    static const char *const argv[] = {BENCH_BIN,   "--smoke",  "--json",
                                       "/dev/full", "textbook", NULL};
    struct run r;

    (void)state;
    start(&r, argv);
    assert_int_equal(end(&r), 1);
    assert_non_null(
        strstr(r.text, "cannot write /dev/full: No space left on device"));
}

/* A cmake that builds nothing, in front of PATH; ctest has built it all. */
static void build_nothing(char dir[TMP_DIR_MAX], char *cmake, size_t size)
{
    char path[4096];

    tmp_dir(dir, TMP_DIR_MAX);
    snprintf(cmake, size, "%s/cmake", dir);
    assert_int_equal(symlink("/bin/true", cmake), 0);
    snprintf(path, sizeof(path), "%s:%s", dir, getenv("PATH"));
    assert_int_equal(setenv("PATH", path, 1), 0);
}

/*
 * As a terminal does it: all programs of the group hear it. The script is the
 * last that does, so that the others have time to complain.
 */
static void interrupt(struct run *r)
{
    int status;

    kill(r->pid, SIGSTOP);
    assert_int_equal(waitpid(r->pid, &status, WUNTRACED), r->pid);
    assert_true(WIFSTOPPED(status));
    kill(-r->pid, SIGINT);
    for (int i = 0; i < MORE_ROUNDS; i++) {
        size_t n = strlen(r->text);
        if (!read_until(r, "\n") || strstr(r->text + n, ": round ") == NULL)
            break;
    }
    kill(r->pid, SIGCONT);
}

static void an_interrupt_says_so_and_nothing_else(void **state)
{
    static const char *const argv[] = {BENCH_RUN, "--preset", BENCH_PRESET,
                                       "--jobs",  "1000",     "--rounds",
                                       "1000000", "textbook", NULL};
    char dir[TMP_DIR_MAX], cmake[TMP_DIR_MAX + 8];
    struct run r;

    (void)state;
    build_nothing(dir, cmake, sizeof(cmake));
    start(&r, argv);
    bool began = read_until(&r, "round 1 of");
    r.text[0] = '\0';
    interrupt(&r);
    int code = end(&r);
    assert_int_equal(unlink(cmake), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_true(began);
    assert_int_equal(code, 130);
    char *line = strtok(r.text, "\n");
    while (line != NULL && strncmp(line, "textbook: round ", 16) == 0)
        line = strtok(NULL, "\n");
    assert_non_null(line);
    assert_string_equal(line, "tests/bench/run: interrupted");
    assert_null(strtok(NULL, "\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_arguments_are_named_before_anything_is_built),
        cmocka_unit_test(an_unknown_section_is_named),
        cmocka_unit_test(
            json_that_cannot_be_written_fails_before_the_first_round),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(an_interrupt_says_so_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
