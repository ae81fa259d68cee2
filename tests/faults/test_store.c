/*
 * Claims about a store that takes each job once.
 */
#include "tests/faults/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/mem.h"
#include "tests/support/tmp.h"
#include "tests/unit/unit.h"

struct fixture {
    char dir[TMP_DIR_MAX], path[TMP_DIR_MAX + 16];
    struct store *a, *b; /* of two handlers */
};

static int setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    tmp_dir(f->dir, sizeof(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/store", f->dir);
    f->a = store_open(f->path);
    f->b = store_open(f->path);
    assert_non_null(f->a);
    assert_non_null(f->b);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char journal[96];
    store_close(f->a);
    store_close(f->b);
    (void)snprintf(journal, sizeof(journal), "%s-journal", f->path);
    (void)unlink(journal);
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

/* All is well, with so many effects that add up to the balance. */
static void expect_sums(struct fixture *f, uint64_t effects, int64_t balance)
{
    struct store_sums s = store_audit(f->path, NULL, 0);
    assert_int_equal(s.effects, effects);
    assert_int_equal(s.jobs, effects);
    assert_int_equal(s.unrecorded, 0);
    assert_int_equal(s.balance, balance);
    assert_int_equal(s.log_balance, balance);
}

static void a_job_takes_effect(void **state)
{
    struct fixture *f = *state;
    unsigned by_serial[3] = {9, 9, 9};
    assert_int_equal(store_begin(f->a, "j", 5), STORE_OK);
    expect_sums(f, 0, 0);
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_OK);
    expect_sums(f, 1, 30);
    (void)store_audit(f->path, by_serial, 3);
    assert_int_equal(by_serial[0], 0);
    assert_int_equal(by_serial[1], 1);
    assert_int_equal(by_serial[2], 0);
}

/* Stopped between begin and commit, it wakes when another has the job. */
static void a_stale_commit_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_begin(f->a, "j", 5), STORE_OK);
    assert_int_equal(store_begin(f->b, "j", 6), STORE_OK);
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_STALE);
    expect_sums(f, 0, 0);
    assert_int_equal(store_commit(f->b, "j", 1, 6, 30), STORE_OK);
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_ALREADY);
    expect_sums(f, 1, 30);
}

static void a_stale_delivery_does_not_begin(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_begin(f->b, "j", 6), STORE_OK);
    assert_int_equal(store_begin(f->a, "j", 5), STORE_STALE);
    assert_int_equal(store_commit(f->b, "j", 1, 6, 30), STORE_OK);
    expect_sums(f, 1, 30);
}

/* The worker died between the commit and the settle. */
static void redelivery_after_the_commit_changes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_begin(f->a, "j", 5), STORE_OK);
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_OK);
    assert_int_equal(store_begin(f->b, "j", 6), STORE_ALREADY);
    assert_int_equal(store_commit(f->b, "j", 1, 6, 30), STORE_ALREADY);
    expect_sums(f, 1, 30);
}

/* Both have begun before one commits. */
static void without_tokens_too_one_takes_effect(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_begin(f->a, "j", 0), STORE_OK);
    assert_int_equal(store_begin(f->b, "j", 0), STORE_OK);
    assert_int_equal(store_commit(f->b, "j", 1, 0, 30), STORE_OK);
    assert_int_equal(store_commit(f->a, "j", 1, 0, 30), STORE_ALREADY);
    expect_sums(f, 1, 30);
}

static void equal_jobs_are_told_apart_by_their_ids(void **state)
{
    struct fixture *f = *state;
    unsigned by_serial[1];
    assert_int_equal(store_begin(f->a, "j", 5), STORE_OK);
    assert_int_equal(store_begin(f->a, "k", 4), STORE_OK);
    assert_int_equal(store_commit(f->a, "k", 0, 4, 1), STORE_OK);
    assert_int_equal(store_commit(f->a, "j", 0, 5, 1), STORE_OK);
    expect_sums(f, 2, 2);
    (void)store_audit(f->path, by_serial, 1);
    assert_int_equal(by_serial[0], 2);
}

static void a_commit_without_a_begin_is_an_error(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_ERROR);
    expect_sums(f, 0, 0);
}

enum { RACERS = 2, RACES = 200 };

/* Two deliveries of each job, each by one of two processes. */
static void race(const char *path, unsigned racer)
{
    struct store *s = store_open(path);
    int rc = 0;
    for (unsigned i = 0; s != NULL && i < RACES; i++) {
        char job[16];
        (void)snprintf(job, sizeof(job), "j%u", i);
        uint64_t fence = 1 + 2 * i + (i + racer) % 2;
        enum store_answer begun = store_begin(s, job, fence);
        enum store_answer done =
            begun == STORE_OK ? store_commit(s, job, i, fence, 1) : begun;
        rc |= done == STORE_ERROR;
    }
    store_close(s);
    _exit(s == NULL || rc);
}

static void of_two_processes_one_takes_effect(void **state)
{
    struct fixture *f = *state;
    unsigned by_serial[RACES];
    pid_t pid[RACERS];
    for (unsigned i = 0; i < RACERS; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0)
            race(f->path, i);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    expect_sums(f, RACES, RACES);
    (void)store_audit(f->path, by_serial, RACES);
    for (unsigned i = 0; i < RACES; i++)
        assert_int_equal(by_serial[i], 1);
}

static void all_that_open_an_empty_store_agree(void **state)
{
    enum { OPENERS = 4 };
    struct fixture *f = *state;
    pid_t pid[OPENERS];
    char path[80];
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    for (unsigned i = 0; i < OPENERS; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0) {
            struct store *s = store_open(path);
            char job[2] = {(char)('a' + i)};
            _exit(s == NULL || store_begin(s, job, 1) != STORE_OK ||
                  store_commit(s, job, 1, 1, 1) != STORE_OK);
        }
    }
    for (unsigned i = 0; i < OPENERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(store_audit(path, NULL, 0).balance, OPENERS);
    assert_int_equal(unlink(path), 0);
}

/* Changes the store behind its back; with kill, dies before the end of it. */
static void meddle(const char *path, const char *sql, int kill_self)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(path, &db) != SQLITE_OK ||
             sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK;
    if (kill_self)
        (void)raise(SIGKILL);
    (void)sqlite3_close(db);
    assert_int_equal(rc, 0);
}

/* A small cache: it has written to the file when it dies. */
static void the_half_of_a_killed_process_is_undone(void **state)
{
    struct fixture *f = *state;
    char journal[96];
    int status = -1;
    assert_int_equal(store_begin(f->a, "j", 5), STORE_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        meddle(f->path,
               "PRAGMA cache_size = 2; PRAGMA cache_spill = 1;"
               "BEGIN IMMEDIATE; UPDATE delivery SET applied = 1;"
               "UPDATE account SET balance = 7;"
               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
               " WHERE i < 5000) INSERT INTO effect SELECT 'j', 1, 5, 7 FROM n",
               1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    (void)snprintf(journal, sizeof(journal), "%s-journal", f->path);
    assert_int_equal(access(journal, F_OK), 0);
    expect_sums(f, 0, 0);
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_OK);
    expect_sums(f, 1, 30);
}

static void the_audit_sees_what_is_wrong(void **state)
{
    struct fixture *f = *state;
    unsigned by_serial[2];
    assert_int_equal(store_begin(f->a, "j", 5), STORE_OK);
    assert_int_equal(store_commit(f->a, "j", 1, 5, 30), STORE_OK);
    meddle(f->path, "INSERT INTO effect VALUES ('j', 1, 6, 30)", 0);
    struct store_sums s = store_audit(f->path, by_serial, 2);
    assert_int_equal(s.effects, 2);
    assert_int_equal(s.jobs, 1);
    assert_int_equal(by_serial[1], 2);
    assert_int_equal(s.balance, 30);
    assert_int_equal(s.log_balance, 60);
    assert_int_equal(s.unrecorded, 0);
    meddle(f->path,
           "INSERT INTO delivery VALUES ('k', 1, 1);"
           "UPDATE delivery SET applied = 0 WHERE job = 'j'",
           0);
    assert_int_equal(store_audit(f->path, NULL, 0).unrecorded, 2);
}

static void a_store_that_is_not_there_is_empty(void **state)
{
    struct fixture *f = *state;
    unsigned by_serial[1] = {9};
    char path[80];
    (void)snprintf(path, sizeof(path), "%s/none", f->dir);
    struct store_sums s = store_audit(path, by_serial, 1);
    assert_int_equal(s.effects, 0);
    assert_int_equal(by_serial[0], 0);
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_job_takes_effect),
        CLAIM(a_stale_commit_is_refused),
        CLAIM(a_stale_delivery_does_not_begin),
        CLAIM(redelivery_after_the_commit_changes_nothing),
        CLAIM(without_tokens_too_one_takes_effect),
        CLAIM(equal_jobs_are_told_apart_by_their_ids),
        CLAIM(a_commit_without_a_begin_is_an_error),
        CLAIM(of_two_processes_one_takes_effect),
        CLAIM(all_that_open_an_empty_store_agree),
        CLAIM(the_half_of_a_killed_process_is_undone),
        CLAIM(the_audit_sees_what_is_wrong),
        CLAIM(a_store_that_is_not_there_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
