/*
 * Claims about the handler of battles: that it does what it is told to, and
 * that its books have it all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/faults/record.h"
#include "tests/faults/store.h"
#include "tests/support/tmp.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60 * 1000 };

struct fixture {
    char dir[TMP_DIR_MAX], record[TMP_DIR_MAX + 16], store[TMP_DIR_MAX + 16],
        in[TMP_DIR_MAX + 16], out[TMP_DIR_MAX + 16];
    unsigned attempt, recovered, fence; /* of the next run */
};

static int setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    *f = (struct fixture){.attempt = 1, .fence = 1};
    tmp_dir(f->dir, sizeof(f->dir));
    (void)snprintf(f->record, sizeof(f->record), "%s/record", f->dir);
    (void)snprintf(f->store, sizeof(f->store), "%s/store", f->dir);
    (void)snprintf(f->in, sizeof(f->in), "%s/in", f->dir);
    (void)snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char *snoozed = mem_printf("%s-j", f->record);
    (void)unlink(snoozed);
    free(snoozed);
    (void)unlink(f->record);
    (void)unlink(f->store);
    (void)unlink(f->in);
    (void)unlink(f->out);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

/* In a child: becomes the handler, in a group of its own. */
static void become(const struct fixture *f, int in, int out)
{
    char *env[] = {mem_strdup("BELT_JOB_ID=j"),
                   mem_printf("BELT_ATTEMPT=%u", f->attempt),
                   mem_printf("BELT_RECOVERED=%u", f->recovered),
                   mem_printf("BELT_FENCE=%u", f->fence), NULL};
    char *argv[] = {mem_strdup(BATTLE_HANDLER), mem_strdup(f->record),
                    mem_strdup(f->store), NULL};
    if (setpgid(0, 0) == 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 &&
        dup2(out, 2) == 2 && dup2(out, 3) == 3 && fcntl(3, F_SETFD, 0) == 0)
        (void)execve(argv[0], argv, env);
    _exit(127);
}

static int open_out(const struct fixture *f)
{
    return open(f->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* Starts it with this payload. Not waited for. */
static pid_t start(const struct fixture *f, const char *payload)
{
    FILE *in = fopen(f->in, "we");
    assert_non_null(in);
    assert_true(fputs(payload, in) >= 0);
    assert_int_equal(fclose(in), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become(f, open(f->in, O_RDONLY | O_CLOEXEC), open_out(f));
    return pid;
}

/* Its exit code, or -signal. */
static int end_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int handle(const struct fixture *f, const char *payload)
{
    return end_of(start(f, payload));
}

/* Of n runs this is the last one, as the record has it; -1: killed. */
static void expect_run(const struct fixture *f, size_t n, uint64_t serial,
                       int code)
{
    size_t is = 0;
    struct run *runs = record_read(f->record, &is);
    assert_int_equal(is, n);
    const struct run *r = &runs[n - 1];
    assert_int_equal(r->serial, serial);
    assert_string_equal(r->id, "j");
    assert_int_equal(r->attempt, f->attempt);
    assert_int_equal(r->recovered, f->recovered);
    assert_int_equal(r->fence, f->fence);
    assert_int_equal(r->exit, code);
    free(runs);
}

static void expect_effects(const struct fixture *f, uint64_t n)
{
    struct store_sums s = store_audit(f->store, NULL, 0);
    assert_int_equal(s.effects, n);
    assert_int_equal(s.jobs, n);
    assert_int_equal(s.balance, s.log_balance);
}

static void it_books_what_it_did(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(handle(f, "{\"n\":7,\"do\":\"ok\"}"), 0);
    expect_run(f, 1, 7, 0);
    expect_effects(f, 1);
    assert_int_equal(store_audit(f->store, NULL, 0).balance, 8);
}

static void delivered_again_it_takes_no_effect(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(handle(f, "{\"n\":7}"), 0);
    f->fence = 2;
    assert_int_equal(handle(f, "{\"n\":7}"), 0);
    expect_run(f, 2, 7, 0);
    expect_effects(f, 1);
}

static void a_stale_delivery_is_no_success(void **state)
{
    struct fixture *f = *state;
    f->fence = 2;
    assert_int_equal(handle(f, "{\"n\":7,\"do\":\"temp\"}"), 75);
    f->fence = 1;
    assert_int_equal(handle(f, "{\"n\":7}"), 75);
    expect_run(f, 2, 7, 75);
    expect_effects(f, 0);
}

static void exit_codes_are_as_told(void **state)
{
    static const struct {
        const char *what;
        int code[3]; /* of the attempts 1 to 3 */
    } table[] = {
        {"fail:2", {1, 1, 0}},  {"temp", {75, 0, 0}},
        {"dead", {65, 65, 65}}, {"discard", {99, 99, 99}},
        {"sleep:1", {0, 0, 0}},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char payload[64];
        (void)unlink(f->record);
        (void)unlink(f->store);
        (void)snprintf(payload, sizeof(payload), "{\"n\":0,\"do\":\"%s\"}",
                       table[i].what);
        for (f->attempt = 1; f->attempt <= 3; f->attempt++) {
            int code = table[i].code[f->attempt - 1];
            assert_int_equal(handle(f, payload), code);
            expect_run(f, f->attempt, 0, code);
        }
        expect_effects(f, table[i].code[2] == 0);
    }
}

static void a_crash_is_a_run_without_an_end(void **state)
{
    struct fixture *f = *state;
    const char *payload = "{\"n\":4,\"do\":\"crash:2\"}";
    assert_int_equal(handle(f, payload), -SIGSEGV);
    expect_run(f, 1, 4, -1);
    f->attempt = 2;
    assert_int_equal(handle(f, payload), -SIGKILL);
    expect_run(f, 2, 4, -1);
    expect_effects(f, 0);
    f->attempt = 3;
    assert_int_equal(handle(f, payload), 0);
    expect_run(f, 3, 4, 0);
    expect_effects(f, 1);
}

static void an_odd_one_crashes_after_its_effect(void **state)
{
    struct fixture *f = *state;
    const char *payload = "{\"n\":5,\"do\":\"crash:1\"}";
    assert_int_equal(handle(f, payload), -SIGSEGV);
    expect_run(f, 1, 5, -1);
    expect_effects(f, 1);
    f->attempt = f->fence = 2;
    assert_int_equal(handle(f, payload), 0);
    expect_effects(f, 1);
}

/* The end of a process of that name, whose child the handler is. */
static int end_of_parent(const struct fixture *f, const char *name,
                         const char *payload)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_NAME, name);
        _exit(handle(f, payload));
    }
    return end_of(pid);
}

static void it_kills_its_worker_and_nobody_else(void **state)
{
    struct fixture *f = *state;
    const char *payload = "{\"n\":4,\"do\":\"killworker:1\"}";
    assert_int_equal(end_of_parent(f, "belt-worker", payload), -SIGKILL);
    expect_run(f, 1, 4, -1);
    assert_int_equal(end_of_parent(f, "init", payload), 1);
    expect_run(f, 2, 4, 1);
    f->recovered = 1;
    assert_int_equal(end_of_parent(f, "belt-worker", payload), 0);
    expect_run(f, 3, 4, 0);
    expect_effects(f, 1);
}

static void a_flood_is_of_that_size(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"flood:3\"}"), 0);
    assert_int_equal(stat(f->out, &st), 0);
    assert_true(st.st_size == (3 + 3) * 1024 * 1024);
    expect_run(f, 1, 4, 0);
}

static bool ignores_term(void *arg)
{
    char path[64], line[256];
    bool ignores = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)*(pid_t *)arg);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "SigIgn:", 7) == 0)
            ignores = strtoull(line + 7, NULL, 16) >> (SIGTERM - 1) & 1;
    }
    (void)fclose(f);
    return ignores;
}

static void the_deaf_does_not_hear_term(void **state)
{
    struct fixture *f = *state;
    pid_t pid = start(f, "{\"n\":4,\"do\":\"deaf:60000\"}");
    bool deaf = wait_until(ignores_term, &pid, PATIENCE_MS);
    (void)kill(pid, SIGTERM);
    bool lives = kill(pid, 0) == 0 && waitpid(pid, NULL, WNOHANG) == 0;
    (void)kill(pid, SIGKILL);
    assert_int_equal(end_of(pid), -SIGKILL);
    assert_true(deaf);
    assert_true(lives);
    expect_run(f, 1, 4, -1);
    f->attempt = 2;
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"deaf:60000\"}"), 0);
}

/*
 * Stopped after it has begun, while the next delivery begins or also ends;
 * then let go. Its exit code. It takes long enough to be seen and stopped
 * before it goes on, however busy the machine is.
 */
static int overtaken_by(struct fixture *f, const char *payload, int code)
{
    pid_t pid = start(f, "{\"n\":7,\"do\":\"deaf:1500\"}");
    bool begun = wait_until(ignores_term, &pid, PATIENCE_MS);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    f->fence = 2;
    int next = handle(f, payload);
    assert_int_equal(kill(pid, SIGCONT), 0);
    int own = end_of(pid);
    assert_true(begun);
    assert_int_equal(next, code);
    return own;
}

static void overtaken_by_the_end_it_takes_no_effect(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(overtaken_by(f, "{\"n\":7}", 0), 0);
    expect_effects(f, 1);
}

static void overtaken_by_the_beginning_it_takes_no_effect(void **state)
{
    struct fixture *f = *state;
    const char *temp = "{\"n\":7,\"do\":\"temp\"}";
    assert_int_equal(overtaken_by(f, temp, 75), 75);
    expect_effects(f, 0);
    f->attempt = 2;
    f->fence = 3;
    assert_int_equal(handle(f, temp), 0);
    expect_effects(f, 1);
}

static bool is_at_end(void *arg)
{
    char byte;
    return read(*(int *)arg, &byte, 1) == 0;
}

static void who_forks_leaves_two_behind(void **state)
{
    struct fixture *f = *state;
    char byte;
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    FILE *in = fopen(f->in, "we");
    assert_non_null(in);
    assert_true(fputs("{\"n\":4,\"do\":\"fork\"}", in) >= 0);
    assert_int_equal(fclose(in), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become(f, open(f->in, O_RDONLY | O_CLOEXEC), out[1]);
    assert_int_equal(close(out[1]), 0);
    assert_int_equal(end_of(pid), 0);
    expect_run(f, 1, 4, 0);
    assert_int_equal(kill(-pid, SIGKILL), 0);
    assert_int_equal(read(out[0], &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(unlink(f->record), 0);
    assert_true(wait_until(is_at_end, &out[0], PATIENCE_MS));
    assert_int_equal(close(out[0]), 0);
}

/* Writes a payload of 1 MiB until nobody wants more of it. */
static void who_closes_reads_no_long_payload(void **state)
{
    struct fixture *f = *state;
    const char *head = "{\"n\":4,\"do\":\"close\",\"fill\":\"";
    char *payload = mem_new(1024 * 1024);
    size_t len = strlen(head);
    int in[2];
    memset(payload, 'x', 1024 * 1024);
    memcpy(payload, head, len);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    (void)signal(SIGPIPE, SIG_IGN);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become(f, in[0], open_out(f));
    assert_int_equal(close(in[0]), 0);
    ssize_t n = 1;
    for (size_t at = 0; n > 0 && at < 1024 * 1024; at += (size_t)n)
        n = write(in[1], payload + at, 1024 * 1024 - at);
    assert_int_equal(n, -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(end_of(pid), 0);
    assert_int_equal(close(in[1]), 0);
    free(payload);
    expect_run(f, 1, 4, 0);
    expect_effects(f, 1);
}

static void who_leaks_ends_in_order(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"leak\"}"), 0);
    expect_run(f, 1, 4, 0);
    expect_effects(f, 1);
}

static void another_payload_is_dead(void **state)
{
    static const char *const wrong[] = {
        "",
        "{}",
        "{\"n\":}",
        "{\"n\":1",
        "{\"n\":18446744073709551616}",
        "{\"n\":1,\"do\":\"\"}",
        "{\"n\":1,\"do\":\"nonsense\"}",
        "{\"n\":1,\"do\":\"fail:\"}",
        "{\"n\":1,\"do\":\"okokokokokokokokokokokokokokokokokok\"}",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t n = 0;
        assert_int_equal(handle(f, wrong[i]), 65);
        struct run *runs = record_read(f->record, &n);
        assert_int_equal(n, i + 1);
        assert_int_equal(runs[i].exit, 65);
        free(runs);
    }
    expect_effects(f, 0);
}

static void expect_said(const struct fixture *f, const char *text)
{
    char said[200] = "";
    FILE *out = fopen(f->out, "re");
    assert_non_null(out);
    said[fread(said, 1, sizeof(said) - 1, out)] = '\0';
    (void)fclose(out);
    assert_string_equal(said, text);
}

static void it_asks_to_be_run_later_once(void **state)
{
    const struct fixture *f = *state;
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"snooze:60\"}"), 0);
    expect_said(f, "{\"op\":\"snooze\",\"after\":60}\n");
    expect_effects(f, 0);
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"snooze:60\"}"), 0);
    expect_said(f, "");
    expect_run(f, 2, 4, 0);
    expect_effects(f, 1);
}

static void it_asks_for_its_own_delay(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"delay:90\"}"), 1);
    expect_said(f, "{\"op\":\"retry\",\"after\":90}\n");
    expect_run(f, 1, 4, 1);
    f->attempt = 2;
    f->fence = 2;
    assert_int_equal(handle(f, "{\"n\":4,\"do\":\"delay:90\"}"), 0);
    expect_effects(f, 1);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(it_asks_to_be_run_later_once),
        CLAIM(it_asks_for_its_own_delay),
        CLAIM(it_books_what_it_did),
        CLAIM(delivered_again_it_takes_no_effect),
        CLAIM(a_stale_delivery_is_no_success),
        CLAIM(exit_codes_are_as_told),
        CLAIM(a_crash_is_a_run_without_an_end),
        CLAIM(an_odd_one_crashes_after_its_effect),
        CLAIM(it_kills_its_worker_and_nobody_else),
        CLAIM(a_flood_is_of_that_size),
        CLAIM(the_deaf_does_not_hear_term),
        CLAIM(overtaken_by_the_end_it_takes_no_effect),
        CLAIM(overtaken_by_the_beginning_it_takes_no_effect),
        CLAIM(who_forks_leaves_two_behind),
        CLAIM(who_closes_reads_no_long_payload),
        CLAIM(who_leaks_ends_in_order),
        CLAIM(another_payload_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
