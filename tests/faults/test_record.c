/*
 * Claims about what handlers write down.
 */
#include "tests/faults/record.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/support/tmp.h"
#include "tests/unit/unit.h"

struct fixture {
    char dir[TMP_DIR_MAX], path[TMP_DIR_MAX + 16];
};

static int setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    tmp_dir(f->dir, sizeof(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/record", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static struct run run_of(uint64_t serial, int pid)
{
    struct run r = {.serial = serial,
                    .id = "01K0A",
                    .attempt = 1,
                    .recovered = 2,
                    .fence = 70,
                    .pid = pid,
                    .started_at_ms = 1000,
                    .ended_at_ms = 1001,
                    .exit = 0};
    return r;
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void what_is_written_is_read(void **state)
{
    struct fixture *f = *state;
    struct run wrote[2] = {run_of(UINT64_MAX, 4194303), run_of(8, 9)};
    size_t n;
    memset(wrote[0].id, 'x', 64);
    wrote[0].attempt = wrote[0].recovered = UINT32_MAX;
    wrote[0].fence = UINT64_MAX;
    wrote[0].started_at_ms = wrote[0].ended_at_ms = INT64_MAX;
    wrote[0].exit = 255;
    for (unsigned i = 0; i < 2; i++)
        record_start(f->path, &wrote[i]);
    for (unsigned i = 0; i < 2; i++)
        record_end(f->path, &wrote[i]);
    struct run *read = record_read(f->path, &n);
    assert_int_equal(n, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(read[i].id, wrote[i].id);
        assert_true(read[i].serial == wrote[i].serial);
        assert_int_equal(read[i].attempt, wrote[i].attempt);
        assert_int_equal(read[i].recovered, wrote[i].recovered);
        assert_true(read[i].fence == wrote[i].fence);
        assert_int_equal(read[i].pid, wrote[i].pid);
        assert_true(read[i].started_at_ms == wrote[i].started_at_ms);
        assert_true(read[i].ended_at_ms == wrote[i].ended_at_ms);
        assert_int_equal(read[i].exit, wrote[i].exit);
    }
    free(read);
}

static void a_usual_line_lies_in_one_page(void **state)
{
    struct fixture *f = *state;
    struct run r = run_of(10 * 1000 * 1000, 4194303);
    (void)snprintf(r.id, sizeof(r.id), "01KB0000000000000000000000");
    r.started_at_ms = r.ended_at_ms = INT64_C(1) << 40;
    record_start(f->path, &r);
    assert_int_equal(size_of(f->path), RECORD_LINE);
    record_end(f->path, &r);
    assert_int_equal(size_of(f->path), 2 * RECORD_LINE);
    assert_int_equal(sysconf(_SC_PAGESIZE) % RECORD_LINE, 0);
}

static void a_run_without_an_end_was_killed(void **state)
{
    struct fixture *f = *state;
    struct run r[3] = {run_of(1, 30), run_of(2, 30), run_of(2, 31)};
    size_t n;
    for (unsigned i = 0; i < 3; i++)
        record_start(f->path, &r[i]);
    record_end(f->path, &r[1]);
    struct run *read = record_read(f->path, &n);
    assert_int_equal(n, 3);
    assert_int_equal(read[0].exit, -1);
    assert_int_equal(read[0].ended_at_ms, -1);
    assert_int_equal(read[1].exit, 0);
    assert_int_equal(read[1].ended_at_ms, 1001);
    assert_int_equal(read[2].exit, -1);
    free(read);
}

/* The same job, tried again by a process of the same number. */
static void an_end_belongs_to_the_later_start(void **state)
{
    struct fixture *f = *state;
    struct run r = run_of(1, 30);
    size_t n;
    record_start(f->path, &r);
    record_start(f->path, &r);
    record_end(f->path, &r);
    struct run *read = record_read(f->path, &n);
    assert_int_equal(n, 2);
    assert_int_equal(read[0].exit, -1);
    assert_int_equal(read[1].exit, 0);
    free(read);
}

static void without_a_file_nothing_ran(void **state)
{
    struct fixture *f = *state;
    struct record_tail t = {.path = f->path};
    size_t n = 7;
    free(record_read(f->path, &n));
    assert_int_equal(n, 0);
    record_follow(&t);
    assert_int_equal(t.starts + t.ends, 0);
}

static void writer(const char *path, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        struct run r = run_of(i, (int)getpid());
        record_start(path, &r);
        record_end(path, &r);
    }
    _exit(0);
}

static void writers_at_once_tear_no_line(void **state)
{
    enum { WRITERS = 4, RUNS = 250 };
    struct fixture *f = *state;
    bool seen[WRITERS * RUNS] = {false};
    pid_t pid[WRITERS];
    size_t n;
    for (unsigned i = 0; i < WRITERS; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0)
            writer(f->path, i * RUNS, RUNS);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    struct run *read = record_read(f->path, &n);
    assert_int_equal(n, WRITERS * RUNS);
    for (size_t i = 0; i < n; i++) {
        assert_in_range(read[i].serial, 0, WRITERS * RUNS - 1);
        assert_false(seen[read[i].serial]);
        seen[read[i].serial] = true;
        assert_int_equal(read[i].exit, 0);
    }
    free(read);
}

/* Puts text at the end of the file as it is. */
static void write_text(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

/* Fills it up as the record does. */
static void write_line(const char *path, const char *text)
{
    char line[RECORD_LINE + 1];
    (void)snprintf(line, sizeof(line), "%-*s\n", RECORD_LINE - 1, text);
    write_text(path, line, RECORD_LINE);
}

/* Whether reading it ends the program, with 1. */
static bool is_refused(const char *path)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        size_t n;
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDERR_FILENO);
        free(record_read(path, &n));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    return WEXITSTATUS(status) == 1;
}

#define START "S 1 a 1 0 7 30 1000"

static void what_no_handler_wrote_is_refused(void **state)
{
    static const char *const wrong[] = {
        "S 1 a 1 0 7 30",
        START " 0",
        "E 1 a 1 0 7 30 1000",
        "X 1 a 1 0 7 30 1000",
        " " START,
        "",
        "S  1 a 1 0 7 30 1000",
        "S 01 a 1 0 7 30 1000",
        "S -1 a 1 0 7 30 1000",
        "S 18446744073709551616 a 1 0 7 30 1000",
        "S 1 a,b 1 0 7 30 1000",
        "S 1  1 0 7 30 1000",
        "S 1 a 4294967296 0 7 30 1000",
        "S 1 a 1 0 7 4194304 1000",
        "S 1 a 1 0 7 0 1000",
        "S 1 a 1 0 7 30 9223372036854775808",
        START "x",
        "S 1 a 1 0 7 " START,
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)unlink(f->path);
        write_line(f->path, START);
        assert_false(is_refused(f->path));
        write_line(f->path, wrong[i]);
        if (!is_refused(f->path))
            fail_msg("read: %s", wrong[i]);
    }
}

static void an_end_that_fits_no_start_is_refused(void **state)
{
    static const char *const wrong[] = {
        "E 2 a 1 0 7 30 1001 0", "E 1 b 1 0 7 30 1001 0",
        "E 1 a 2 0 7 30 1001 0", "E 1 a 1 1 7 30 1001 0",
        "E 1 a 1 0 8 30 1001 0", "E 1 a 1 0 7 31 1001 0",
        "E 1 a 1 0 7 30 999 0",  "E 1 a 1 0 7 30 1001 256",
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)unlink(f->path);
        write_line(f->path, START);
        write_line(f->path, wrong[i]);
        if (!is_refused(f->path))
            fail_msg("read: %s", wrong[i]);
    }
    (void)unlink(f->path);
    write_line(f->path, START);
    write_line(f->path, "E 1 a 1 0 7 30 1001 0");
    assert_false(is_refused(f->path));
    write_line(f->path, "E 1 a 1 0 7 30 1002 0");
    assert_true(is_refused(f->path));
}

static void a_torn_line_is_refused(void **state)
{
    struct fixture *f = *state;
    char nul[RECORD_LINE] = "S 1";
    nul[RECORD_LINE - 1] = '\n';
    write_line(f->path, START);
    assert_int_equal(truncate(f->path, RECORD_LINE - 1), 0);
    assert_true(is_refused(f->path));
    (void)unlink(f->path);
    write_text(f->path, START "\n", strlen(START "\n"));
    assert_true(is_refused(f->path));
    (void)unlink(f->path);
    write_text(f->path, nul, sizeof(nul));
    assert_true(is_refused(f->path));
}

static void following_counts_whole_lines_once(void **state)
{
    enum { MANY = 300 };
    struct fixture *f = *state;
    struct record_tail t = {.path = f->path};
    for (unsigned i = 0; i < MANY; i++)
        write_line(f->path, START);
    write_line(f->path, "E 1 a 1 0 7 30 1000 0");
    record_follow(&t);
    assert_int_equal(t.starts, MANY);
    assert_int_equal(t.ends, 1);
    write_text(f->path, "S 2", 3);
    record_follow(&t);
    assert_int_equal(t.starts, MANY);
    write_text(f->path, "\nE", 2);
    record_follow(&t);
    assert_int_equal(t.starts, MANY + 1);
    assert_int_equal(t.ends, 1);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(what_is_written_is_read),
        CLAIM(a_usual_line_lies_in_one_page),
        CLAIM(a_run_without_an_end_was_killed),
        CLAIM(an_end_belongs_to_the_later_start),
        CLAIM(without_a_file_nothing_ran),
        CLAIM(writers_at_once_tear_no_line),
        CLAIM(what_no_handler_wrote_is_refused),
        CLAIM(an_end_that_fits_no_start_is_refused),
        CLAIM(a_torn_line_is_refused),
        CLAIM(following_counts_whole_lines_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
